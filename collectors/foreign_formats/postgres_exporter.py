"""postgres_exporter's queries.yaml: `name: {query, metrics: [{column: {usage, description}}]}`.

Columns of the result that the file does not describe are not exported (postgres_exporter would, as
untyped). Queries run once for a server, unless `master: false` asks for every database.
"""

from __future__ import annotations

from typing import Any

from collectors.foreign_formats.carry import Foreign, Mistakes, Value, probe_name, quoted
from collectors.foreign_formats.versions import NotCarried, range_needs
from collectors.model import Kind, Scope
from collectors.strict_yaml import Path_, did_you_mean

PROBE_KEYS = ("query", "metrics", "master", "cache_seconds", "runonserver")
COLUMN_KEYS = ("usage", "description", "metric_mapping")
_USAGES = ("DISCARD", "LABEL", "COUNTER", "GAUGE", "DURATION", "MAPPEDMETRIC", "HISTOGRAM")


def queries(value: dict[str, Any], mistakes: Mistakes) -> list[Foreign]:
    """Return the queries of a file."""
    return [_query(name, mistakes.mapping(body, (name,), name), mistakes) for name, body in value.items()]


def columns(listed: Any, at: Path_, mistakes: Mistakes) -> list[tuple[str, dict[str, Any], Path_]]:  # noqa: ANN401
    """Return (column, what is said of it, where) of a list of one-key mappings; no column twice."""
    found: list[tuple[str, dict[str, Any], Path_]] = []
    if not isinstance(listed, list) or not listed:
        mistakes.add(at, "metrics: expected a list of columns, as `- column: {usage: GAUGE}`")
        return []
    for index, item in enumerate(listed):
        for column, body in mistakes.mapping(item, (*at, index), "metrics").items():
            where = (*at, index, column)
            if column in [name for name, _, _ in found]:
                mistakes.add(
                    where, f"the column {column!r} stands here twice", "give one another alias in the query"
                )
            else:
                found.append((column, mistakes.mapping(body, where, column), where))
    return found


def usage(body: dict[str, Any], at: Path_, mistakes: Mistakes) -> str:
    """Return how a column is used, in capitals; empty when it cannot be carried over."""
    word = mistakes.text(body.get("usage"), (*at, "usage"), "usage").upper()
    if word == "HISTOGRAM":
        mistakes.add(
            (*at, "usage"), "HISTOGRAM cannot be carried over", "export its sum and count as COUNTER"
        )
        return ""
    if word and word not in _USAGES:
        mistakes.add(
            (*at, "usage"), f"usage: {word} is none of {', '.join(_USAGES)}", did_you_mean(word, _USAGES)
        )
        return ""
    return word


def _query(name: str, body: dict[str, Any], mistakes: Mistakes) -> Foreign:
    at: Path_ = (name,)
    mistakes.unknown(body, PROBE_KEYS, at)
    query = Foreign(
        name=probe_name(name), at=at, sql=mistakes.text(body.get("query"), (*at, "query"), "query")
    )
    query.help = f"The query {name} of a file for postgres_exporter."
    if "cache_seconds" in body:
        query.every_seconds = mistakes.number(body["cache_seconds"], (*at, "cache_seconds"), "cache_seconds")
    if "master" in body and not mistakes.truth(body["master"], (*at, "master"), "master"):
        query.scope = Scope.DATABASE
    if body.get("runonserver"):
        try:
            query.needs = range_needs(str(body["runonserver"]))
        except NotCarried as error:
            mistakes.add((*at, "runonserver"), f"runonserver: {error}")
    for column, said, where in columns(body.get("metrics"), (*at, "metrics"), mistakes):
        mistakes.unknown(said, COLUMN_KEYS, where)
        _column(query, name, column, said, where, mistakes)
    return query


def _column(
    query: Foreign, prefix: str, column: str, said: dict[str, Any], at: Path_, mistakes: Mistakes
) -> None:
    used = usage(said, at, mistakes)
    if used == "LABEL":
        query.labels[column] = (column, at)
    if used in ("", "LABEL", "DISCARD"):
        return
    value = Value(
        column=column,
        metric=f"{prefix}_{column}",
        kind=Kind.COUNTER if used == "COUNTER" else Kind.GAUGE,
        help=str(said.get("description") or ""),
        at=at,
    )
    if used == "DURATION":
        value.metric += "_milliseconds"
        # The text of a Go duration, such as 1h2m3.5s, which is an interval to PostgreSQL too; -1 is none.
        text = f"nullif({quoted(column)}::text, '-1')"
        value.sql = f"(extract(epoch from {text}::interval) * 1000)::float8"
    elif used == "MAPPEDMETRIC":
        value.sql = _mapped(column, said, at, mistakes)
    query.values.append(value)


def _mapped(column: str, said: dict[str, Any], at: Path_, mistakes: Mistakes) -> str:
    where = (*at, "metric_mapping")
    mapping = mistakes.mapping(said.get("metric_mapping"), where, "metric_mapping")
    cases = []
    for text, number in mapping.items():
        value = mistakes.number(number, (*where, text), f"metric_mapping.{text}")
        escaped = text.replace("'", "''")
        cases.append(f"when '{escaped}' then {value!r}::float8")
    return f"case {quoted(column)}::text {' '.join(cases)} end" if cases else quoted(column)
