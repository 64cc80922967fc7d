"""Which declared probes fit a server, the SQL they become there, and why others do not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from collectors.definition import ProbeDef
from collectors.model import MetricDef, Rejection, Scope, Target

Has = Callable[[str], bool]
"""Tells whether the server has one thing of the catalogue, as `ProbeDef.needs` writes it."""


@dataclass(frozen=True, slots=True)
class Query:
    """A declared probe made ready for one server."""

    probe: ProbeDef
    sql: str
    metrics: tuple[MetricDef, ...]
    """Metrics in the order of the columns that follow the labels."""
    ranks: tuple[int, ...]
    """Indexes of the values among `metrics` by which rows are kept."""
    by_name: tuple[str, ...] = ()
    """Column names to pick from the result when the SQL has no {columns}."""
    cut: bool = False
    """The server sends only rows that lead; two more columns tell how each ranks, and how many there are."""


CANDIDATES = 2
"""So many times the rows that are kept are fetched: who falls a little behind can stay for some runs."""
_SCHEMA_OF = re.compile(r"\{extension:([a-zA-Z0-9_-]+)\}")


def satisfied(need: str, has: Has) -> bool:
    """Tell whether a need is met: `a | b` needs one of them, `!a` its absence."""
    return any(
        not has(one[1:].strip()) if one.startswith("!") else has(one)
        for one in (part.strip() for part in need.split("|"))
    )


def missing(needs: Iterable[str], has: Has) -> str:
    """Return the first need that is not met, or an empty string."""
    return next((need for need in needs if not satisfied(need, has)), "")


def lack(probe: str, what: str, need: str) -> Rejection:
    """Return the rejection for a need that is not met, in words."""
    if need.startswith("!"):
        return Rejection(probe, what, f"not where there is {_named(need[1:].strip())}", expected=True)
    if need.startswith("role:"):
        grant = "GRANT pg_monitor TO the role that we log in as"
        return Rejection(probe, what, f"the server has no {need} for us: {grant}")
    one = need.split("|", maxsplit=1)[0].strip()
    expected = one.startswith(("extension:", "version:", "pg_catalog.", "function:pg_catalog."))
    return Rejection(probe, what, f"the server has no {' or '.join(map(_named, need.split('|')))}", expected)


def _named(need: str) -> str:
    kind, _, name = need.strip().partition(":")
    match kind:
        case "superuser":
            return "superuser's rights for us"
        case "setting":
            return f"setting {name.replace('=', ' = ')}"
        case "extension" | "function" | "version":
            return f"{kind} {name}"
        case _:
            return need.strip()


def choose(
    definitions: Sequence[ProbeDef],
    has: Has,
    *,
    role: str,
    schema_of: Callable[[str], str],
) -> tuple[list[Query], list[Rejection]]:
    """Return what can be asked of a server, and for everything else the reason.

    `role` is primary or replica; `schema_of` gives an extension's quoted schema.
    """
    queries: list[Query] = []
    rejections: list[Rejection] = []
    for probe in definitions:
        if probe.role not in ("any", role):
            rejections.append(Rejection(probe.name, "", f"only on a {probe.role}", expected=True))
            continue
        if need := missing(probe.needs, has):
            rejections.append(lack(probe.name, "", need))
            continue
        query, without = _query(probe, has, schema_of)
        rejections += without
        if query is not None:
            queries.append(query)
    return queries, rejections


def wanted(definitions: Sequence[ProbeDef], target: Target) -> list[ProbeDef]:
    """Return the probes that the configuration of a target asks for, with the caps that it sets."""
    caps: Mapping[str, int] = getattr(target.options, "rows_max", {})
    return [
        _capped(probe, caps[probe.name]) if probe.name in caps else probe
        for probe in definitions
        if target.wants(probe.name, probe.default)
    ]


@lru_cache(maxsize=256)
def _capped(probe: ProbeDef, rows_max: int) -> ProbeDef:
    """Return the same object for the same cap: what servers have in common is known by identity."""
    return replace(probe, info=replace(probe.info, rows_max=rows_max))


def _query(
    probe: ProbeDef, has: Has, schema_of: Callable[[str], str]
) -> tuple[Query | None, list[Rejection]]:
    chosen, rejections = [], []
    for column, sql, needs, metric in probe.values:
        if need := missing(needs, has):
            rejections.append(lack(probe.name, metric.name, need))
        else:
            chosen.append((column, sql, metric))
    given = {metric.name for _, _, metric in chosen}
    rejections = [one for one in rejections if one.what not in given]
    if not chosen:
        return None, [*rejections, Rejection(probe.name, "", "the server has none of its columns")]
    names = [column for column, _, _ in chosen]
    ranks = [one for one in probe.ranks if one in names]
    sql = _SCHEMA_OF.sub(lambda match: schema_of(match[1]), probe.sql)
    by_name: tuple[str, ...] = ()
    if "{columns}" in sql:
        columns = [f"{expression} as {_quoted(label)}" for label, expression in probe.labels]
        columns += [f"{expression} as {_quoted(column)}" for column, expression, _ in chosen]
        sql = sql.replace("{columns}", ",\n  ".join(columns))
    else:
        by_name = (*(label for label, _ in probe.labels), *names)
    cut = probe.info.scope is Scope.DATABASE and bool(ranks) and not by_name and not probe.custom
    if cut:
        sql = _leading(sql, [label for label, _ in probe.labels], ranks, CANDIDATES * probe.info.rows_max)
    metrics = tuple(metric for _, _, metric in chosen)
    return Query(probe, sql, metrics, tuple(map(names.index, ranks)), by_name, cut), rejections


def _leading(sql: str, labels: Sequence[str], ranks: Sequence[str], most: int) -> str:
    """Have the server choose: fetching one of thousands of tables costs more than ranking it."""
    columns = [f"q.{_quoted(one)}" for one in ranks]
    shares = [f"{one} / nullif(pg_catalog.sum({one}::float8) over (), 0)" for one in columns]
    rank = columns[0] if len(columns) == 1 else f"greatest({', '.join(shares)})"
    named = ", ".join(f"q.{_quoted(label)}" for label in labels)
    # At the end by name: rows that come in the order of the last time are rendered and stored at less cost.
    return (
        f"select q.* from (select q.*, coalesce({rank}, 0)::float8 as a_rank,"  # noqa: S608 - our own
        f" pg_catalog.count(*) over () as a_total from (\n{sql}\n) q"
        f" order by a_rank desc, {named} limit {most}) q order by {named}"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
