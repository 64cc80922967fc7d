"""What a PostgreSQL target works on: statements, tables, databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.terminal import postgres_names as names
from daemon.terminal.figures import count, seconds, share, size
from daemon.terminal.look import Look, part, sum_of
from daemon.terminal.section import Cell, Row, Section, ranked

STATEMENT_ORDERS = ("share", "calls", "rows", "blocks_read", "temp_bytes")
TABLE_ORDERS = ("activity", "dead", "size")
_STATEMENT = ("user", "datname", "queryid")
_TABLE = ("datname", "schemaname", "relname")
_OTHER = "other"
"""The queryid of the row that stands for all statements without series of their own."""
_STATEMENT_RATES = {
    "load": names.STATEMENT_SECONDS,
    "calls": names.STATEMENT_CALLS,
    "rows": names.STATEMENT_ROWS,
    "blocks_read": names.STATEMENT_READ,
    "temp_bytes": names.STATEMENT_TEMP,
    "wal_bytes": names.STATEMENT_WAL,
}
_STATEMENT_CELLS = (
    Cell("TIME", "share", share),
    Cell("LOAD", "load", count, keep=4),
    Cell("MEAN", "mean_seconds", seconds, keep=1),
    Cell("CALLS/s", "calls", count),
    Cell("ROWS/s", "rows", count, keep=3),
    Cell("READ/s", "blocks_read", count, keep=5),
    Cell("TEMP/s", "temp_bytes", size, keep=7),
    Cell("WAL/s", "wal_bytes", size, keep=8),
    Cell("DATABASE", "database", str, "left", 6, 8),
    Cell("USER", "user", str, "left", 9, 8),
    Cell("STATEMENT", "text", str, "left", least=40),
)
_SCANS = {"seq_scans": names.TABLE_SEQ_SCANS, "index_scans": names.TABLE_INDEX_SCANS}
_WRITES = {
    "inserted": names.TABLE_INSERTED,
    "updated": names.TABLE_UPDATED,
    "deleted": names.TABLE_DELETED,
}
_TABLE_CELLS = (
    Cell("TABLE", "full_name", str, "left", least=16),
    Cell("DATABASE", "database", str, "left", 5, 8),
    Cell("OPS/s", "activity", count, keep=1),
    Cell("SEQ ROWS/s", "seq_rows", count, keep=4),
    Cell("IDX/s", "index_scans", count, keep=6),
    Cell("INS/s", "inserted", count, keep=7),
    Cell("UPD/s", "updated", count, keep=7),
    Cell("DEL/s", "deleted", count, keep=7),
    Cell("DEAD", "dead", count),
    Cell("OF ROWS", "dead_share", share, keep=3),
    Cell("VACUUMED", "vacuumed_seconds_ago", seconds, keep=2),
    Cell("SIZE", "size", size),
)
_DATABASE_CELLS = (
    Cell("DATABASE", "database", str, "left", least=10),
    Cell("CONNECTIONS", "connections", count, keep=2),
    Cell("COMMITS/s", "commits", count),
    Cell("ROLLBACKS/s", "rollbacks", count, keep=4),
    Cell("CACHE HIT", "cache_hit", share, keep=3),
    Cell("TEMP/s", "temp_bytes", size, keep=5),
    Cell("DEADLOCKS", "deadlocks", count, keep=6),
    Cell("XID AGE", "xid_age", count, keep=7),
    Cell("SIZE", "size", size, keep=1),
)


def statements(look: Look, order: str) -> Section:
    """Return what ran between the last two readings, by `order`."""
    rates = {key: look.grouped_rates(name, *_STATEMENT) for key, name in _STATEMENT_RATES.items()}
    total = sum(rates["load"].values())
    rows = []
    for key, load in rates["load"].items():
        values = {name: rate.get(key) for name, rate in rates.items()}
        if load or values["calls"]:
            rows.append(_statement(key, values, total, look.texts))
    return Section(
        name="statements",
        title="Statements",
        cells=_STATEMENT_CELLS,
        rows=ranked(rows, order),
        weight=4,
        sorted_by=order,
        empty=_why_no_statements(look),
    )


def tables(look: Look, order: str) -> Section:
    """Return tables by activity, dead rows or size."""
    rates = {key: look.grouped_rates(name, *_TABLE) for key, name in {**_SCANS, **_WRITES}.items()}
    rates["seq_rows"] = look.grouped_rates(names.TABLE_SEQ_ROWS, *_TABLE)
    live, dead, sizes = (
        look.grouped(name, *_TABLE) for name in (names.TABLE_LIVE, names.TABLE_DEAD, names.TABLE_SIZE)
    )
    vacuums = [look.grouped_most(name, *_TABLE) for name in (names.TABLE_VACUUMED, names.TABLE_AUTOVACUUMED)]
    rows = []
    for key in {**dead, **sizes}:
        row = _table(key, {name: rate.get(key) for name, rate in rates.items()})
        row |= {
            "size": sizes.get(key),
            "dead": dead.get(key),
            "dead_share": part(dead.get(key), live.get(key)),
        }
        row["vacuumed_seconds_ago"] = look.age(max((each.get(key, 0.0) for each in vacuums), default=None))
        rows.append(row)
    if all(row[order] is None for row in rows):
        order = "dead"  # rates come with the second reading, and these are read once a minute
    return Section(
        name="tables",
        title="Tables",
        cells=_TABLE_CELLS,
        rows=ranked(rows, order),
        weight=3,
        sorted_by=order,
        empty="there is no table, or none was read yet",
    )


def databases(look: Look) -> Section:
    """Return databases by transactions."""
    commits, rollbacks, hit, read, temp = (
        look.grouped_rates(name, "datname")
        for name in (names.COMMITS, names.ROLLBACKS, names.BLOCKS_HIT, names.BLOCKS_READ, names.TEMP_BYTES)
    )
    deadlocks, sizes, ages = (
        look.grouped(name, "datname") for name in (names.DEADLOCKS, names.DATABASE_SIZE, names.XID_AGE)
    )
    rows = [
        {
            "database": key[0],
            "connections": number,
            "commits": commits.get(key),
            "rollbacks": rollbacks.get(key),
            "cache_hit": part(hit.get(key), read.get(key)),
            "temp_bytes": temp.get(key),
            "deadlocks": deadlocks.get(key),
            "size": sizes.get(key),
            "xid_age": ages.get(key),
        }
        for key, number in look.grouped(names.BACKENDS, "datname").items()
    ]
    return Section(name="databases", title="Databases", cells=_DATABASE_CELLS, rows=ranked(rows, "commits"))


def _statement(
    key: Sequence[str], values: Mapping[str, float | None], total: float, texts: Mapping[str, str]
) -> Row:
    user, database, queryid = key
    calls, load = values["calls"], values["load"] or 0.0
    text = "all other statements" if queryid == _OTHER else texts.get(queryid, f"queryid {queryid}")
    return {
        **values,
        "user": user,
        "database": database,
        "queryid": queryid,
        "text": text,
        "share": load / total if total else None,
        "mean_seconds": load / calls if calls else None,
    }


def _why_no_statements(look: Look) -> str:
    if look.rates.waits(names.STATEMENT_SECONDS):
        return "rates come with the second reading"
    if look.reading.series(names.STATEMENT_SECONDS):
        return "none ran between the last two looks"
    why = next((one.reason for one in look.target.not_collected if one.probe == "statements"), "")
    return f"pg_stat_statements is not read: {why}" if why else "pg_stat_statements was not read yet"


def _table(key: Sequence[str], rates: Mapping[str, float | None]) -> dict[str, Any]:
    database, schema, table = key
    done = [rate for name in (*_SCANS, *_WRITES) if (rate := rates[name]) is not None]
    return {
        **rates,
        "database": database,
        "schema": schema,
        "table": table,
        "full_name": table if schema == "public" else f"{schema}.{table}",
        "activity": sum_of(done),
    }
