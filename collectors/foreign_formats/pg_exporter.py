"""pg_exporter's collectors: `branch: {name, query, ttl, min_version, tags, metrics: [{column: {...}}]}`."""

from __future__ import annotations

import math
from typing import Any

from collectors.foreign_formats.carry import Foreign, Mistakes, Value, probe_name, quoted
from collectors.foreign_formats.postgres_exporter import columns, usage
from collectors.foreign_formats.versions import between_needs
from collectors.model import Kind, Scope
from collectors.strict_yaml import Path_

OWN_KEYS = (
    "name",
    "desc",
    "ttl",
    "timeout",
    "min_version",
    "max_version",
    "tags",
    "fatal",
    "skip",
    "predicate_queries",
    "priority",
)
"""Keys by which the format is known."""
PROBE_KEYS = ("query", "metrics", *OWN_KEYS)
OWN_COLUMN_KEYS = ("rename", "scale", "default", "bucket")
COLUMN_KEYS = ("usage", "description", "desc", *OWN_COLUMN_KEYS)
_REFUSED_TAGS = {
    "dbname": "queries are asked in the databases that the target chooses",
    "username": "queries run as the target's user",
    "schema": "use `needs: [schema.relation]` in our own format",
}


def queries(value: dict[str, Any], mistakes: Mistakes) -> list[Foreign]:
    """Return the queries of a file."""
    bodies = {branch: mistakes.mapping(body, (branch,), branch) for branch, body in value.items()}
    bounds = {branch: _bounds(branch, body, mistakes) for branch, body in bodies.items()}
    thresholds: dict[str, set[int]] = {}
    for branch, body in bodies.items():
        thresholds.setdefault(str(body.get("name") or branch), set()).update(bounds[branch])
    found = []
    for branch, body in bodies.items():
        query = _query(branch, body, mistakes)
        query.needs = [
            *between_needs(*bounds[branch], thresholds[str(body.get("name") or branch)]),
            *query.needs,
        ]
        found.append(query)
    return found


def _bounds(branch: str, body: dict[str, Any], mistakes: Mistakes) -> tuple[int, int]:
    lowest, below = (
        int(mistakes.number(body.get(key) or 0, (branch, key), key)) for key in ("min_version", "max_version")
    )
    if below and below <= lowest:
        mistakes.add((branch, "max_version"), "max_version is not above min_version: no server is between")
    return lowest, below


def _query(branch: str, body: dict[str, Any], mistakes: Mistakes) -> Foreign:
    at: Path_ = (branch,)
    mistakes.unknown(body, PROBE_KEYS, at)
    query = Foreign(
        name=probe_name(branch), at=at, sql=mistakes.text(body.get("query"), (*at, "query"), "query")
    )
    query.scope = Scope.DATABASE
    query.help = str(body.get("desc") or f"The query {branch} of a file for pg_exporter.")
    if body.get("ttl"):
        query.every_seconds = mistakes.number(body["ttl"], (*at, "ttl"), "ttl")
    if body.get("timeout"):
        query.within_seconds = mistakes.number(body["timeout"], (*at, "timeout"), "timeout")
    if query.within_seconds < 0:
        mistakes.add(
            (*at, "timeout"), "a query without a deadline is not carried over", "set a timeout in seconds"
        )
    if "skip" in body and mistakes.truth(body["skip"], (*at, "skip"), "skip"):
        query.default = False
    _refuse(body, at, mistakes)
    for index, tag in enumerate(body.get("tags") or ()):
        _tag(query, str(tag), (*at, "tags", index), mistakes)
    prefix = str(body.get("name") or branch)
    for column, said, where in columns(body.get("metrics"), (*at, "metrics"), mistakes):
        mistakes.unknown(said, COLUMN_KEYS, where)
        _column(query, prefix, column, said, where, mistakes)
    return query


def _refuse(body: dict[str, Any], at: Path_, mistakes: Mistakes) -> None:
    if "fatal" in body and mistakes.truth(body["fatal"], (*at, "fatal"), "fatal"):
        mistakes.add(
            (*at, "fatal"),
            "fatal cannot be carried over: whether a server is up is decided by its own query",
            "remove it, and watch the probe's own failures",
        )
    if body.get("priority"):
        mistakes.add(
            (*at, "priority"), "priority cannot be carried over: queries have no order here", "remove it"
        )
    if body.get("predicate_queries"):
        mistakes.add(
            (*at, "predicate_queries"),
            "predicate_queries cannot be carried over",
            "name what the server must have with `needs` in our own format",
        )


def _tag(query: Foreign, tag: str, at: Path_, mistakes: Mistakes) -> None:
    kind, _, name = tag.partition(":")
    match kind:
        case "cluster":
            query.scope = Scope.SERVER
        case "primary" | "master":
            query.role = "primary"
        case "standby" | "replica":
            query.role = "replica"
        case "extension" if name:
            query.needs.append(f"extension:{name}")
        case "pgbouncer":
            mistakes.add(
                at, "this asks pgBouncer, which is an engine of its own", "add a target of engine pgbouncer"
            )
        case "not":
            pass  # it runs where pg_exporter is started without that tag, as we are
        case _ if kind in _REFUSED_TAGS:
            mistakes.add(at, f"the tag {tag!r} cannot be carried over: {_REFUSED_TAGS[kind]}")
        case _:
            # It runs where pg_exporter is started with that tag: here, where `collect` asks for it.
            query.default = False


def _column(
    query: Foreign, prefix: str, column: str, said: dict[str, Any], at: Path_, mistakes: Mistakes
) -> None:
    if said.get("bucket"):
        mistakes.add((*at, "bucket"), "bucket cannot be carried over: there are no histograms here")
    used = usage(said, at, mistakes)
    name = str(said.get("rename") or column)
    if used in ("DURATION", "MAPPEDMETRIC"):
        mistakes.add((*at, "usage"), f"usage: {used} is not of this format")
    elif used == "LABEL":
        query.labels[name] = (column, at)
    elif used in ("GAUGE", "COUNTER"):
        query.values.append(
            Value(
                column=column,
                metric=f"{prefix}_{name}",
                kind=Kind.COUNTER if used == "COUNTER" else Kind.GAUGE,
                help=str(said.get("description") or said.get("desc") or ""),
                at=at,
                sql=_scaled(column, said, at, mistakes),
            )
        )


def _scaled(column: str, said: dict[str, Any], at: Path_, mistakes: Mistakes) -> str:
    """Return the expression for `scale` and `default`; the default is not scaled, as there."""
    sql = ""
    for key in ("scale", "default"):
        if said.get(key) in (None, ""):
            continue
        number = mistakes.number(said[key], (*at, key), key)
        if not math.isfinite(number):
            mistakes.add((*at, key), f"{key}: should be a finite number")
        elif key == "scale":
            sql = f"{quoted(column)}::float8 * {number!r}::float8"
        else:
            sql = f"coalesce({sql or quoted(column) + '::float8'}, {number!r}::float8)"
    return sql
