"""Reads SQL metrics of the user's own, and sees that they clash with nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.foreign_formats import load_any
from collectors.foreign_formats.carry import apart
from collectors.registry import engines
from collectors.strict_yaml import Document, InvalidFile, Problem, did_you_mean
from daemon.config.files import found_files
from daemon.config.known import Known
from daemon.config.messages import Place, where
from daemon.config.model import MetricsFile

OWN_PREFIX = "dbarchitect_"
"""Metrics about the daemon itself."""
_READS = frozenset({"select", "with", "values", "table", "show"})
_NOT_CODE = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$[A-Za-z_]*\$).*?\1""", re.DOTALL
)


def read_all(
    entries: Sequence[MetricsFile], document: Document, builtin: Mapping[str, Known]
) -> tuple[list[ProbeDef], list[Problem]]:
    """Return what `metrics_files` declares, with every mistake in it."""
    probes: list[ProbeDef] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for index, entry in enumerate(entries):
        at: Place = ("metrics_files", index)
        engine = engines().get(entry.engine)
        if engine is None or not engine.custom_sql:
            problems.append(_no_engine(entry.engine, document, at))
            continue
        paths, reason = found_files(entry.files)
        if reason:
            problems.append(document.problem(at, f"{where(at)}: {reason}"))
        for path in paths:
            if path not in seen:
                seen.add(path)
                found, wrong = _file(path, engine)
                probes += found
                problems += wrong
    return probes, problems + list(_clashes(probes, builtin))


def _no_engine(name: str, document: Document, at: Place) -> Problem:
    able = sorted(engine.name for engine in engines().values() if engine.custom_sql)
    message = f"{where(at)}.engine: should be an engine that takes metrics of your own: {', '.join(able)}"
    return document.problem((*at, "engine"), message, did_you_mean(name, able))


def _file(path: Path, engine: Engine) -> tuple[list[ProbeDef], list[Problem]]:
    try:
        probes = load_any(path, engine=engine.name, custom=True)
    except InvalidFile as error:
        return [], error.problems
    problems = []
    for probe in probes:
        reason = wrong_sql(probe.sql)
        if reason:
            problems.append(_at(probe, f"{probe.name}.sql: {reason}", "one SELECT gives the rows"))
    return probes, problems


def wrong_sql(sql: str) -> str:
    """Return why a text cannot be one reading statement, or an empty string."""
    code = _NOT_CODE.sub(" ", sql).strip()
    if ";" in code.rstrip("; \n\t"):
        return "there are several statements"
    first = re.match(r"[(\s]*([a-zA-Z]+)", code)
    if first is None or first[1].lower() not in _READS:
        return "the statement does not read: it should begin with SELECT, WITH, VALUES, TABLE or SHOW"
    return ""


def _clashes(probes: Sequence[ProbeDef], builtin: Mapping[str, Known]) -> Iterator[Problem]:
    names = {(engine, name): source for engine, one in builtin.items() for name, source in one.probes.items()}
    metrics = {metric: source for one in builtin.values() for metric, source in one.metrics.items()}
    owners: dict[str, list[ProbeDef]] = {}
    for probe in probes:
        other = names.setdefault((probe.engine, probe.name), probe.source)
        if other != probe.source:
            yield _at(probe, f"there is already a probe {probe.name!r} ({other})", "choose another name")
        for metric in (name for one in probe.metrics for name in (one.name, *one.aliases)):
            if metric.startswith(OWN_PREFIX):
                yield _at(
                    probe, f"{probe.name}: {metric!r} begins with {OWN_PREFIX}, the daemon's own prefix"
                )
                continue
            given = metrics.get(metric) or next(
                (
                    each.source
                    for each in owners.get(metric, ())
                    if each is not probe and not apart(each, probe)
                ),
                "",
            )
            owners.setdefault(metric, []).append(probe)
            if given:
                message = f"{probe.name}: the metric {metric!r} exists already ({given})"
                yield _at(probe, message, "choose another name")


def _at(probe: ProbeDef, message: str, hint: str = "") -> Problem:
    file, _, line = probe.source.rpartition(":")
    return Problem(file, int(line), 1, message, hint)
