"""pgwatch's metrics: `metrics: {name: {sqls: {14: ...}, gauges, is_instance_level, node_status}}`.

Columns are read from the query's text: `tag_` columns are labels, `epoch_ns` is the time of the row
and left to us, all others are values. A preset in the same file gives a metric its interval.
"""

from __future__ import annotations

from typing import Any

from collectors.foreign_formats.carry import Foreign, Mistakes, Value, probe_name
from collectors.foreign_formats.select_list import Unnamed, output_columns
from collectors.foreign_formats.versions import between_needs, number
from collectors.model import Kind, Scope
from collectors.strict_yaml import Path_

FILE_KEYS = ("metrics", "presets")
METRIC_KEYS = (
    "description",
    "sqls",
    "gauges",
    "is_instance_level",
    "node_status",
    "statement_timeout_seconds",
    "metric_storage_name",
    "init_sql",
    "is_private",
)
NAMESPACE = "pgwatch"
_ROLES = {"primary": "primary", "standby": "replica", "": "any"}
_TAG = "tag_"
_TIME = "epoch_ns"


def queries(value: dict[str, Any], mistakes: Mistakes) -> list[Foreign]:
    """Return the queries of a file, one for each range of versions."""
    mistakes.unknown(value, FILE_KEYS, ())
    intervals = _intervals(value.get("presets") or {}, mistakes)
    found = []
    for name, body in mistakes.mapping(value.get("metrics"), ("metrics",), "metrics").items():
        at: Path_ = ("metrics", name)
        for query in _variants(name, mistakes.mapping(body, at, name), at, mistakes):
            query.every_seconds = intervals.get(name, 0.0)
            found.append(query)
    return found


def _intervals(presets: Any, mistakes: Mistakes) -> dict[str, float]:  # noqa: ANN401 - from a file
    found: dict[str, float] = {}
    for preset, body in mistakes.mapping(presets, ("presets",), "presets").items():
        at: Path_ = ("presets", preset, "metrics")
        listed = mistakes.mapping(body, at[:2], preset).get("metrics")
        for name, seconds in mistakes.mapping(listed, at, "metrics").items():
            every = mistakes.number(seconds, (*at, name), name)
            if found.setdefault(name, every) != every:
                mistakes.add(
                    (*at, name),
                    f"presets give {name!r} two intervals, {found[name]:g} and {every:g} seconds",
                    "keep the one preset that is meant",
                )
    return found


def _variants(name: str, body: dict[str, Any], at: Path_, mistakes: Mistakes) -> list[Foreign]:
    mistakes.unknown(body, METRIC_KEYS, at)
    if body.get("init_sql"):
        mistakes.add(
            (*at, "init_sql"), "init_sql cannot be carried over: nothing is created on a watched server"
        )
    sqls = mistakes.mapping(body.get("sqls"), (*at, "sqls"), "sqls")
    numbers: dict[int, str] = {}
    for version in sqls:
        if not str(version).replace(".", "").isdigit():
            mistakes.add((*at, "sqls", version), f"sqls: {version!r} is not a version, such as 14")
        else:
            numbers[number(str(version))] = version
    ordered = sorted(numbers)
    found = []
    for index, lowest in enumerate(ordered):
        version = numbers[lowest]
        below = ordered[index + 1] if index + 1 < len(ordered) else 0
        where = (*at, "sqls", version)
        text = sqls[version]
        if text is None or not str(text).strip().strip(";").strip():
            continue  # an empty query: the metric ends with this version
        query = _query(name, body, at, mistakes)
        query.sql = mistakes.text(text, where, f"sqls.{version}")
        query.name = probe_name(name if len(ordered) == 1 else f"{name}_{str(version).replace('.', '_')}")
        query.needs = between_needs(lowest, below, ordered)
        _columns(query, body, where, mistakes)
        found.append(query)
    return found


def _query(name: str, body: dict[str, Any], at: Path_, mistakes: Mistakes) -> Foreign:
    query = Foreign(name=name, at=at, sql="", database_label="dbname")
    query.help = str(body.get("description") or f"The metric {name} of a file for pgwatch.")
    instance = body.get("is_instance_level", False)
    if not mistakes.truth(instance, (*at, "is_instance_level"), "is_instance_level"):
        query.scope = Scope.DATABASE
    status = str(body.get("node_status") or "")
    if status not in _ROLES:
        mistakes.add((*at, "node_status"), f"node_status: {status!r} is neither primary nor standby")
    query.role = _ROLES.get(status, "any")
    if body.get("statement_timeout_seconds"):
        key = "statement_timeout_seconds"
        query.within_seconds = mistakes.number(body[key], (*at, key), key)
    return query


def _columns(query: Foreign, body: dict[str, Any], at: Path_, mistakes: Mistakes) -> None:
    gauges = body.get("gauges") or ()
    listed = [gauges] if isinstance(gauges, str) else [str(one) for one in gauges]
    prefix = str(body.get("metric_storage_name") or at[1])
    try:
        names = output_columns(query.sql)
    except Unnamed as error:
        mistakes.add(at, f"{query.name}: {error}")
        return
    for column in sorted({name for name in names if names.count(name) > 1}):
        mistakes.add(at, f"{query.name}: two columns are named {column!r}", "give one another alias")
    for column in dict.fromkeys(names):
        if column.startswith(_TAG):
            query.labels[column.removeprefix(_TAG)] = (column, at)
        elif column != _TIME:
            is_gauge = "*" in listed or column in listed
            query.values.append(
                Value(
                    column=column,
                    metric=f"{NAMESPACE}_{prefix}_{column}",
                    kind=Kind.GAUGE if is_gauge else Kind.COUNTER,
                    help="",
                    at=at,
                )
            )
    if not query.values:
        mistakes.add(at, f"{query.name}: the query has no column that is a value")
