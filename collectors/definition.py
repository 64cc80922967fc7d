"""Probes declared in YAML: SQL with the metrics that its columns become.

    database:                              # the probe's name, as in `collect:` and `?collect=`
      help: Statistics of each database.
      every: 15s                           # left out: the target's own interval
      within: 2s
      cost: light                          # light | medium | heavy
      scope: server                        # server | database
      role: any                            # any | primary | replica
      needs: [pg_catalog.pg_stat_database] # left out: always tried
      sql: |
        select {columns} from pg_catalog.pg_stat_database s
      labels:
        datid: s.datid::text               # label: SQL expression (left out: the column itself)
        datname: coalesce(s.datname, '')
      values:
        xact_commit:
          metric: pg_stat_database_xact_commit
          kind: counter
          help: Transactions committed.
        session_time:
          metric: pg_stat_database_session_time_seconds_total
          sql: s.session_time / 1000.0
          has: [pg_catalog.pg_stat_database.session_time]
          ...

`needs` and `has` name things of the server's catalogue, so that what a server offers is asked and
never guessed from its version: `schema.relation`, `schema.relation.column`, `function:schema.name`,
`function:schema.name.argument`, `extension:name`, `extension:name>=1.8`, `setting:name`,
`setting:name=value`, `role:pg_monitor` (the right of that role), `version:>=15.4` (for queries brought
from elsewhere) and `superuser`. Alternatives are written `a | b`; `!` in front turns a need round.
`{extension:name}` in SQL becomes the quoted schema of that extension.

A metric may be given twice, by two columns or two probes, where their needs exclude each other (`x` here
and `!x` there): so that it has one name on every version.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from collectors.model import Cost, Kind, MetricDef, ProbeInfo, Scope
from collectors.strict_yaml import Document, InvalidFile, Problem, did_you_mean, problems_of, read

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "y": 31536000.0,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w|y)")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
RESERVED_LABELS = frozenset({"target", "cluster", "job", "instance", "le", "quantile"})


def seconds(text: object) -> float:
    """Return a duration such as `250ms`, `10s` or `1h30m` in seconds; raise ValueError otherwise."""
    if isinstance(text, str) and text.strip():
        parts = _DURATION.findall(text.strip())
        if parts and "".join(number + unit for number, unit in parts) == text.strip():
            return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 < text < math.inf:
        raise ValueError(f"a duration needs a unit: write {text}s, {text}m or {text}h")
    raise ValueError("not a duration: write it as 250ms, 10s, 5m, 1h30m or 2d")


def duration_text(value: float) -> str:
    """Return seconds as `seconds` reads them; exact from 100 us to years."""
    return f"{value!r}s".replace(".0s", "s")


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    Field(gt=0, le=366 * 86400),
    PlainSerializer(duration_text, when_used="json"),
]


class ValueModel(BaseModel):
    """A column that becomes a metric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    kind: Kind
    help: str = Field(min_length=1)
    unit: str = ""
    sql: str = ""
    """Expression; left out: the column of the value's name."""
    has: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class ProbeModel(BaseModel):
    """A probe as written in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    help: str = ""
    every: Duration | None = None
    within: Duration = 2.0
    cost: Cost = Cost.LIGHT
    scope: Scope = Scope.SERVER
    role: Literal["any", "primary", "replica"] = "any"
    default: bool = True
    needs: tuple[str, ...] = ()
    sql: str = Field(min_length=1)
    labels: dict[str, str | None] = Field(default_factory=dict)
    values: dict[str, ValueModel] = Field(min_length=1)
    rows_max: int = Field(default=500, ge=1, le=1_000_000)
    rank: str | tuple[str, ...] = ()
    """Value by which rows are kept when there are more than `rows_max`: the largest stay. Of several values
    the one counts in which a row has its largest share of the sum over all rows."""

    @property
    def ranks(self) -> tuple[str, ...]:
        """Return the values as they are written, one or several."""
        return tuple(filter(None, (self.rank,))) if isinstance(self.rank, str) else self.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDef:
    """A declared probe, checked: everything that is known before a server is asked."""

    name: str
    source: str
    """file:line, for messages."""
    info: ProbeInfo
    help: str
    default: bool
    role: str
    needs: tuple[str, ...]
    sql: str
    labels: tuple[tuple[str, str], ...]
    """(label, SQL expression)."""
    values: tuple[tuple[str, str, tuple[str, ...], MetricDef], ...]
    """(column, SQL expression, what the server must have, metric)."""
    ranks: tuple[str, ...] = ()
    """Values by which rows are kept, see `ProbeModel.rank`."""
    custom: bool = False
    engine: str = ""

    @property
    def metrics(self) -> tuple[MetricDef, ...]:
        """Return the metrics in the order of `values`, each once."""
        return tuple(dict.fromkeys(metric for _, _, _, metric in self.values))


def load(path: Path, *, engine: str, custom: bool = False) -> list[ProbeDef]:
    """Read a file of probes; raise InvalidFile with every mistake in it."""
    return build(read(path), engine=engine, custom=custom)


def build(document: Document, *, engine: str, custom: bool = False) -> list[ProbeDef]:
    """Turn a parsed file into probes; raise InvalidFile with every mistake in it."""
    if document.value is None:
        return []
    if not isinstance(document.value, dict):
        raise InvalidFile([document.problem((), "expected probes by name, as `name: {sql: ...}`")])
    problems: list[Problem] = []
    probes: list[ProbeDef] = []
    for name, body in document.value.items():
        try:
            model = ProbeModel.model_validate(body)
        except ValidationError as error:
            problems += _with_suggestions(error, document, (name,))
            continue
        found = list(_mistakes(name, model, document))
        problems += found
        if not found:
            probes.append(_probe(name, model, document, engine=engine, custom=custom))
    problems += _clashes(probes, document)
    if problems:
        raise InvalidFile(problems)
    return probes


def _with_suggestions(error: ValidationError, document: Document, at: tuple[str, ...]) -> list[Problem]:
    problems = []
    for problem, one in zip(problems_of(error, document, at), error.errors(), strict=True):
        hint = problem.hint
        if one["type"] == "extra_forbidden":
            model = ValueModel if "values" in one["loc"] else ProbeModel
            hint = did_you_mean(str(one["loc"][-1]), model.model_fields)
        problems.append(Problem(problem.file, problem.line, problem.column, problem.message, hint))
    return problems


def _mistakes(name: str, model: ProbeModel, document: Document) -> list[Problem]:
    found = []
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        found.append(document.problem((name,), f"{name!r}: a probe's name is like `wal_rate`"))
    metrics: dict[str, str] = {}
    for column, value in model.values.items():
        at = (name, "values", column, "metric")
        if not _METRIC_NAME.fullmatch(value.metric):
            found.append(document.problem(at, f"{value.metric!r} is not a metric name"))
        if value.metric in metrics and not _exclude(value.has, model.values[metrics[value.metric]].has):
            found.append(
                document.problem(
                    at,
                    f"the columns {metrics[value.metric]!r} and {column!r} both become {value.metric!r}",
                    "give each column a metric of its own",
                )
            )
        metrics[value.metric] = column
    for label in model.labels:
        if not _LABEL_NAME.fullmatch(label) or label in RESERVED_LABELS:
            found.append(
                document.problem(
                    (name, "labels", label),
                    f"{label!r} cannot be a label here",
                    "letters, digits and _; not target, cluster, job, instance",
                )
            )
        if label in model.values:
            found.append(document.problem((name, "labels", label), f"{label!r} is a label and a value"))
    for rank in (one for one in model.ranks if one not in model.values):
        hint = did_you_mean(rank, model.values)
        found.append(document.problem((name, "rank"), f"rank: there is no value {rank!r}", hint))
    if "{columns}" not in model.sql and any(value.sql or value.has for value in model.values.values()):
        found.append(
            document.problem(
                (name, "sql"),
                "`sql` or `has` in a value needs {columns} in the query",
                "write `select {columns} from ...`",
            )
        )
    return found


def _probe(name: str, model: ProbeModel, document: Document, *, engine: str, custom: bool) -> ProbeDef:
    labels = tuple(model.labels)
    values = tuple(
        (
            column,
            value.sql or column,
            value.has,
            MetricDef(
                name=value.metric,
                kind=value.kind,
                help=value.help,
                labels=labels,
                unit=value.unit,
                aliases=value.aliases,
            ),
        )
        for column, value in model.values.items()
    )
    info = ProbeInfo(
        name=name,
        every_seconds=model.every or 0.0,
        within_seconds=model.within,
        cost=model.cost,
        scope=model.scope,
        metrics=tuple(dict.fromkeys(metric for _, _, _, metric in values)),
        rows_max=model.rows_max,
    )
    line = document.marks[name,][0]
    return ProbeDef(
        name=name,
        source=f"{document.file}:{line}",
        info=info,
        help=model.help,
        default=model.default,
        role=model.role,
        needs=model.needs,
        sql=model.sql.strip(),
        labels=tuple((label, sql or label) for label, sql in model.labels.items()),
        values=values,
        ranks=model.ranks,
        custom=custom,
        engine=engine,
    )


def _exclude(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether no server can meet both lists of needs."""
    return any(f"!{need}" in other for need in one) or any(f"!{need}" in one for need in other)


def _clashes(probes: list[ProbeDef], document: Document) -> list[Problem]:
    owners: dict[str, ProbeDef] = {}
    problems = []
    for probe in probes:
        for metric in probe.metrics:
            other = owners.setdefault(metric.name, probe)
            if other is not probe and not _exclude(probe.needs, other.needs):
                problems.append(
                    document.problem(
                        (probe.name,),
                        f"{metric.name!r} is already given by the probe {other.name!r} ({other.source})",
                    )
                )
    return problems


def as_text(value: Any) -> str:  # noqa: ANN401 - whatever a driver gives
    """Return a label's value: None is empty, booleans are true and false."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
