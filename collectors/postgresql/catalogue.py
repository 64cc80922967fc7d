"""All probes of PostgreSQL: those declared in YAML and those in code."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from collectors.catalogue import CatalogueEntry, entries_of, entry_of
from collectors.definition import ProbeDef, load
from collectors.engine import metrics_files
from collectors.postgresql.probe import CodeProbe

ENGINE_NAME = "postgresql"
CODE_MODULES: tuple[str, ...] = (
    "settings",
    "connections",
    "lag",
    "blocking",
    "horizon",
    "xids",
    "statements",
    "statement_texts",
    "companions",
    "bloat",
)
"""Modules of this package that have `PROBES`."""


@cache
def declared() -> tuple[ProbeDef, ...]:
    """Return the probes declared in `metrics/*.yaml`; raise InvalidFile."""
    return tuple(
        probe for path in metrics_files(Path(__file__).parent) for probe in load(path, engine=ENGINE_NAME)
    )


@cache
def in_code() -> tuple[CodeProbe, ...]:
    """Return the probes written in code."""
    return tuple(probe for name in CODE_MODULES for probe in _probes_of(name))


def entries() -> list[CatalogueEntry]:
    """Return every metric, declared or in code, for the catalogue; raise InvalidFile."""
    coded = (
        entry for name in CODE_MODULES for probe in _probes_of(name) for entry in _entries_of(probe, name)
    )
    return [*entries_of(declared()), *coded]


def _probes_of(module: str) -> Sequence[CodeProbe]:
    probes: Sequence[CodeProbe] = importlib.import_module(f"collectors.{ENGINE_NAME}.{module}").PROBES
    return probes


def _entries_of(probe: CodeProbe, module: str) -> Iterator[CatalogueEntry]:
    notes = probe.notes or {}
    for metric in probe.info.metrics:
        yield entry_of(
            metric,
            probe.info,
            engine=ENGINE_NAME,
            source=str(Path(__file__).with_name(f"{module}.py")),
            probe_help=probe.help,
            role=probe.role,
            default=probe.default,
            needs=(*probe.needs, *([notes[metric.name]] if metric.name in notes else ())),
        )
