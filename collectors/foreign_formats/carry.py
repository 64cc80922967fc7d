"""The common shape that other tools' queries are brought into, and the way from there to our probes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from collectors.definition import ProbeDef, build, duration_text
from collectors.model import Kind, Scope
from collectors.strict_yaml import Document, InvalidFile, Path_, Problem, did_you_mean

_SELECTS = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL
)
_OUR_MARKS = re.compile(r"\{(?:columns|extension:[^}]*)\}")
_DATABASE_LABELS = frozenset({"datname", "dbname", "database"})


@dataclass(slots=True, kw_only=True)
class Value:
    """A column that becomes a metric."""

    column: str
    metric: str
    kind: Kind
    help: str
    at: Path_
    sql: str = ""
    """An expression over the query's columns; empty for the column as it is."""


@dataclass(slots=True, kw_only=True)
class Foreign:
    """One query of another tool's file."""

    name: str
    at: Path_
    sql: str
    help: str = ""
    every_seconds: float = 0.0
    within_seconds: float = 0.0
    scope: Scope = Scope.SERVER
    role: str = "any"
    default: bool = True
    needs: list[str] = field(default_factory=list)
    labels: dict[str, tuple[str, Path_]] = field(default_factory=dict)
    """Label -> (column, where it stands)."""
    values: list[Value] = field(default_factory=list)
    database_label: str = "datname"
    """The label that tells databases apart, added where the query has none."""


class Mistakes:
    """Collects what is wrong with a file, so that all of it is told at once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def add(self, at: Path_, message: str, hint: str = "") -> None:
        """Note a mistake."""
        self.problems.append(self.document.problem(at, message, hint))

    def mapping(self, value: Any, at: Path_, what: str) -> dict[str, Any]:  # noqa: ANN401 - from a file
        """Return a mapping, or note that it is none."""
        if isinstance(value, dict):
            return value
        self.add(at, f"{what}: expected a mapping")
        return {}

    def text(self, value: Any, at: Path_, what: str) -> str:  # noqa: ANN401
        """Return a text, or note that it is none."""
        if isinstance(value, str) and value.strip():
            return value
        self.add(at, f"{what}: expected a text")
        return ""

    def number(self, value: Any, at: Path_, what: str) -> float:  # noqa: ANN401
        """Return a number (also one in quotes), or note that it is none."""
        if not isinstance(value, bool):
            try:
                return float(value)
            except (TypeError, ValueError):
                pass
        self.add(at, f"{what}: expected a number")
        return 0.0

    def truth(self, value: Any, at: Path_, what: str) -> bool:  # noqa: ANN401
        """Return a truth value, or note that it is none."""
        if isinstance(value, bool):
            return value
        self.add(at, f"{what}: expected true or false")
        return False

    def unknown(self, body: dict[str, Any], known: Iterable[str], at: Path_) -> None:
        """Note keys that the format does not have."""
        names = list(known)
        for key in body:
            if key not in names:
                self.add((*at, key), f"{key}: unknown key", did_you_mean(key, names))


def finish(queries: Iterable[Foreign], mistakes: Mistakes, *, engine: str, custom: bool) -> list[ProbeDef]:
    """Return the probes; raise InvalidFile with all mistakes, those found before as well."""
    probes: list[ProbeDef] = []
    for query in queries:
        _complete(query, mistakes)
        try:
            probes += build(_document(query, mistakes.document), engine=engine, custom=custom)
        except InvalidFile as error:
            mistakes.problems += error.problems
    _clashes(probes, mistakes)
    if mistakes.problems:
        raise InvalidFile(mistakes.problems)
    return probes


def probe_name(text: str) -> str:
    """Return a name as probes have it."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower())
    return name if re.match(r"[a-z]", name) else f"q_{name}"


def quoted(column: str) -> str:
    """Return a column of the wrapped query."""
    return 'q."' + column.replace('"', '""') + '"'


def _complete(query: Foreign, mistakes: Mistakes) -> None:
    query.sql = query.sql.strip().rstrip(";").rstrip()
    if _OUR_MARKS.search(query.sql):
        mistakes.add(
            (*query.at, "query"), f"{query.name}: the query holds a text in braces that means something here"
        )
    adds_label = query.scope is Scope.DATABASE and not _DATABASE_LABELS & query.labels.keys()
    renames = any(label != column for label, (column, _) in query.labels.items())
    if not (adds_label or renames or any(value.sql for value in query.values)):
        return
    if not _SELECTS.match(query.sql):
        mistakes.add(
            query.at, f"{query.name}: only a SELECT can be carried over with what is asked of its columns"
        )
    for value in query.values:
        value.sql = value.sql or quoted(value.column)
    labels = {label: (quoted(column), at) for label, (column, at) in query.labels.items()}
    if adds_label:
        labels = {query.database_label: ("pg_catalog.current_database()", query.at)} | labels
    query.labels = labels
    # A comment at the end of the query must not swallow what follows.
    query.sql = f"select {{columns}} from (\n{query.sql}\n) as q"  # noqa: S608 - the user's own query


def _document(query: Foreign, document: Document) -> Document:
    """Write a query down as our own format has it, each part at the line where it stands."""
    name = query.name
    marks = dict(document.marks)
    _mark(marks, (name,), document, query.at)
    wrapped = "{columns}" in query.sql
    body: dict[str, Any] = {"help": query.help, "sql": query.sql, "labels": {}, "values": {}}
    body |= {"scope": query.scope.value, "role": query.role, "default": query.default, "needs": query.needs}
    if query.every_seconds > 0:
        body["every"] = duration_text(query.every_seconds)
    if query.within_seconds > 0:
        body["within"] = duration_text(query.within_seconds)
    for label, (column, at) in query.labels.items():
        body["labels"][label] = column if wrapped else None
        _mark(marks, (name, "labels", label), document, at)
    for value in query.values:
        one = {
            "metric": value.metric,
            "kind": value.kind.value,
            "help": value.help or f"{value.column} of {name}.",
        }
        body["values"][value.column] = one | ({"sql": value.sql} if wrapped else {})
        for key in ((), ("metric",)):
            _mark(marks, (name, "values", value.column, *key), document, value.at)
    return Document(document.file, {name: body}, marks)


def _mark(marks: dict[Path_, tuple[int, int]], here: Path_, document: Document, there: Path_) -> None:
    place = document.problem(there, "")
    marks[here] = (place.line, place.column)


def _clashes(probes: list[ProbeDef], mistakes: Mistakes) -> None:
    names: dict[str, ProbeDef] = {}
    owners: dict[str, list[ProbeDef]] = {}
    for probe in probes:
        line = int(probe.source.rpartition(":")[2])
        if names.setdefault(probe.name, probe) is not probe:
            mistakes.problems.append(
                Problem(
                    mistakes.document.file,
                    line,
                    1,
                    f"two queries become the probe {probe.name!r}",
                    "rename one",
                )
            )
        for metric in probe.metrics:
            for other in owners.setdefault(metric.name, []):
                if not apart(probe, other):
                    message = f"{metric.name!r} is already given by {other.name!r} ({other.source})"
                    hint = "two queries may share a metric where their versions or roles exclude each other"
                    mistakes.problems.append(Problem(mistakes.document.file, line, 1, message, hint))
            owners[metric.name].append(probe)


def apart(one: ProbeDef, other: ProbeDef) -> bool:
    """Tell whether no server can be asked both."""
    if "any" not in (one.role, other.role) and one.role != other.role:
        return True
    return any(f"!{need}" in other.needs for need in one.needs) or any(
        f"!{need}" in one.needs for need in other.needs
    )
