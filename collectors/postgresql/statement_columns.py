"""What a version of pg_stat_statements offers: its columns, and the metrics that they become."""

# ruff: noqa: E501 - a table of columns reads better on long lines
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.model import Kind, MetricDef
from collectors.postgresql.facts import Facts
from collectors.postgresql.ranked import Layout

LABELS = ("user", "datname", "queryid")
_PREFIX = "pg_stat_statements_"
_MS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a function that returns statements."""

    metric: MetricDef
    names: tuple[str, ...]
    """Its names through the versions; the first that the server has is read."""
    scale: float = 1
    """Factor from the server's unit to ours; 0 stands for the size of a block."""
    add: tuple[str, ...] = ()
    """Columns that are added to it where they exist."""
    dimension: str = ""
    """What rows are ranked by: time, calls, io, temp, wal; empty when this column says nothing new."""
    detail: bool = False
    """Collected only when the target asks for `statements_detail`: each column costs a series a statement."""
    merge: str = "sum"
    """How rows of one statement become one: sum, min, max, or empty for: not known."""


def counter(
    suffix: str,
    text: str,
    names: str,
    unit: str = "",
    dimension: str = "",
    *,
    add: str = "",
    detail: bool = False,
) -> Column:
    """Return a column that only grows; `names` and `add` are separated by blanks, times are milliseconds."""
    metric = MetricDef(name=_PREFIX + suffix, kind=Kind.COUNTER, help=text, labels=LABELS, unit=unit)
    scale = {"seconds": _MS}.get(unit, 0 if suffix == "temp_bytes_total" else 1)
    return Column(
        metric=metric,
        names=tuple(names.split()),
        scale=scale,
        add=tuple(add.split()),
        dimension=dimension,
        detail=detail,
    )


def _extreme(suffix: str, text: str, names: str, merge: str, *, detail: bool = True) -> Column:
    metric = MetricDef(name=_PREFIX + suffix, kind=Kind.GAUGE, help=text, labels=LABELS, unit="seconds")
    return Column(metric=metric, names=tuple(names.split()), scale=_MS, merge=merge, detail=detail)


COLUMNS = (
    counter("calls_total", "Times the statement was executed.", "calls", dimension="calls"),
    counter("seconds_total", "Time spent executing the statement.", "total_exec_time total_time", "seconds", "time"),
    counter("rows_total", "Rows returned or changed by the statement.", "rows"),
    counter("block_read_seconds_total", "Time spent reading blocks (with track_io_timing).", "shared_blk_read_time blk_read_time", "seconds"),
    counter("block_write_seconds_total", "Time spent writing blocks (with track_io_timing).", "shared_blk_write_time blk_write_time", "seconds"),
    counter("local_block_read_seconds_total", "Time spent reading blocks of temporary tables.", "local_blk_read_time", "seconds", detail=True),
    counter("local_block_write_seconds_total", "Time spent writing blocks of temporary tables.", "local_blk_write_time", "seconds", detail=True),
    counter("temp_block_read_seconds_total", "Time spent reading temporary files.", "temp_blk_read_time", "seconds", detail=True),
    counter("temp_block_write_seconds_total", "Time spent writing temporary files.", "temp_blk_write_time", "seconds", detail=True),
    counter("plans_total", "Times the statement was planned (with pg_stat_statements.track_planning).", "plans", detail=True),
    counter("plan_seconds_total", "Time spent planning the statement.", "total_plan_time", "seconds", "time"),
    counter("shared_blocks_hit_total", "Blocks found in shared buffers.", "shared_blks_hit", "blocks"),
    counter("shared_blocks_read_total", "Blocks read into shared buffers.", "shared_blks_read", "blocks", "io"),
    counter("shared_blocks_dirtied_total", "Blocks made dirty.", "shared_blks_dirtied", "blocks"),
    counter("shared_blocks_written_total", "Blocks written by the statement itself.", "shared_blks_written", "blocks", "io"),
    counter("local_blocks_hit_total", "Blocks of temporary tables found in memory.", "local_blks_hit", "blocks", detail=True),
    counter("local_blocks_read_total", "Blocks of temporary tables read.", "local_blks_read", "blocks", detail=True),
    counter("local_blocks_dirtied_total", "Blocks of temporary tables made dirty.", "local_blks_dirtied", "blocks", detail=True),
    counter("local_blocks_written_total", "Blocks of temporary tables written.", "local_blks_written", "blocks", detail=True),
    counter("temp_blocks_read_total", "Blocks of temporary files read.", "temp_blks_read", "blocks", "temp"),
    counter("temp_blocks_written_total", "Blocks of temporary files written.", "temp_blks_written", "blocks", detail=True),
    counter("temp_bytes_total", "Bytes written to temporary files.", "temp_blks_written", "bytes", "temp"),
    counter("wal_records_total", "WAL records made.", "wal_records"),
    counter("wal_fpi_total", "Full page images written to WAL.", "wal_fpi", detail=True),
    counter("wal_bytes_total", "WAL made.", "wal_bytes", "bytes", "wal"),
    counter("wal_buffers_full_total", "Times the WAL buffers became full.", "wal_buffers_full", detail=True),
    counter("jit_functions_total", "Functions compiled by JIT.", "jit_functions", detail=True),
    counter("jit_seconds_total", "Time spent in JIT compilation, all of its stages.", "jit_generation_time", "seconds", add="jit_inlining_time jit_optimization_time jit_emission_time", detail=True),
    counter("parallel_workers_planned_total", "Parallel workers that were to be launched.", "parallel_workers_to_launch", detail=True),
    counter("parallel_workers_launched_total", "Parallel workers that were launched.", "parallel_workers_launched", detail=True),
    _extreme("min_seconds", "Shortest execution since the entry was made or reset.", "min_exec_time min_time", "min"),
    _extreme("max_seconds", "Longest execution since the entry was made or reset.", "max_exec_time max_time", "max", detail=False),
    _extreme("mean_seconds", "Mean execution time since the entry was made or reset.", "mean_exec_time mean_time", ""),
    _extreme("stddev_seconds", "Standard deviation of the execution time.", "stddev_exec_time stddev_time", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How one server is asked, and what its columns are."""

    sql: str
    columns: tuple[Column, ...]
    """They follow userid, dbid, queryid."""
    layout: Layout


def source(
    facts: Facts,
    columns: Sequence[Column] = COLUMNS,
    *,
    extension: str = "pg_stat_statements",
    function: str = "pg_stat_statements",
    call: str = "false",
    where: str = "",
) -> Source:
    """Return how to read all statements of a server without their texts; raise KeyError without extension."""
    schema = facts.extensions[extension].schema

    def has(name: str) -> bool:
        return facts.has(f"function:{schema}.{function}.{name}")

    found = []
    expressions = ["s.userid", "s.dbid", "s.queryid"]
    for column in columns:
        name = next((one for one in column.names if has(one)), None)
        if name is not None:
            found.append(column)
            expressions.append("::float8 + ".join(f"s.{one}" for one in (name, *filter(has, column.add))))
            expressions[-1] += "::float8" if name == "wal_bytes" else ""
    if has("stats_since"):
        expressions.append("extract(epoch from s.stats_since)::float8")
    sql = f"select {', '.join(expressions)} from {facts.schema_of(extension)}.{function}({call}) s{where}"  # noqa: S608 - names are ours or quoted
    return Source(
        sql=sql,
        columns=tuple(found),
        layout=_layout(found, since=3 + len(found) if has("stats_since") else -1),
    )


def _layout(columns: Sequence[Column], since: int) -> Layout:
    at = {column.metric.name: 3 + index for index, column in enumerate(columns)}
    counters = tuple(at[one.metric.name] for one in columns if one.merge == "sum")
    moving = ("calls", "plans", "total_plan_time")  # planning is counted before the call is
    calls = tuple(at[one.metric.name] for one in columns if one.names[0] in moving)
    dimensions = dict.fromkeys(column.dimension for column in columns if column.dimension)
    return Layout(
        counters=counters,
        activity=calls or counters,
        ranks={
            dimension: tuple(at[one.metric.name] for one in columns if one.dimension == dimension)
            for dimension in dimensions
        },
        smallest=tuple(at[one.metric.name] for one in columns if one.merge == "min"),
        largest=tuple(at[one.metric.name] for one in columns if one.merge == "max"),
        since=since,
    )
