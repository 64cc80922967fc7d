"""Every metric there is: those of all engines, those a user declared, and the daemon's own."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from collectors.catalogue import CatalogueEntry, entries_of
from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.model import MetricDef

OWN = "dbarchitect"
"""Stands for the engine where the daemon speaks of itself."""
_ROOT = Path(__file__).resolve().parent.parent


def catalogue(
    engines: Iterable[Engine], own: Sequence[MetricDef] = (), custom: Sequence[ProbeDef] = ()
) -> list[CatalogueEntry]:
    """Return the entries by engine, probe and metric as they are declared; raise InvalidFile.

    `own` are the daemon's metrics about itself.
    """
    found = [entry for engine in engines for entry in of_engine(engine)]
    found += entries_of(custom)
    found += [_own(metric) for metric in own]
    return found


def of_engine(engine: Engine) -> list[CatalogueEntry]:
    """Return the entries of one engine, `up` first; raise InvalidFile."""
    entries = list(engine.catalogue() if engine.catalogue else entries_of(engine.definitions()))
    if all(entry.metric.name != engine.up_metric.name for entry in entries):
        up = CatalogueEntry(metric=engine.up_metric, engine=engine.name, probe="", source="")
        entries.insert(0, up)
    return entries


def matching(entries: Iterable[CatalogueEntry], pattern: str, engine: str) -> list[CatalogueEntry]:
    """Return the entries whose metric, alias or probe has `pattern` in its name; `*?[` make it a glob."""
    glob = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    return [
        entry
        for entry in entries
        if engine in ("", entry.engine)
        and any(
            fnmatch.fnmatchcase(name.lower(), glob.lower())
            for name in (entry.metric.name, entry.probe, *entry.metric.aliases)
        )
    ]


def source_of(entry: CatalogueEntry) -> str:
    """Return where an entry is declared: from the top of the source tree, if it is in there."""
    file, colon, line = entry.source.rpartition(":")
    path = Path(file if colon and line.isdigit() else entry.source)
    if path.is_absolute() and path.is_relative_to(_ROOT):
        return str(path.relative_to(_ROOT)) + (f":{line}" if str(path) == file else "")
    return entry.source


def _own(metric: MetricDef) -> CatalogueEntry:
    return CatalogueEntry(metric=metric, engine=OWN, probe="", source="daemon/selfmetrics.py")
