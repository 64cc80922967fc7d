"""Transaction ids: how old the oldest are, how fast they are used, and how long that can go on.

Nothing here ever takes a transaction id: `pg_current_snapshot` reads the next one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from collectors.keep import Keeper
from collectors.model import Cost, Kind, LabelValues, MetricDef, Number, ProbeInfo, Scope, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session

XID_LIMIT = 2**31 - 1 - 3_000_000
"""Age at which the server refuses to give out transaction ids."""
MXID_LIMIT = 2**31 - 1 - 3_000_000
TABLES_MAX = 20
_WINDOW_SECONDS = 3600.0
_RATE_AFTER_SECONDS = 60.0


def _gauge(
    name: str, text: str, unit: str = "", labels: tuple[str, ...] = (), kind: Kind = Kind.GAUGE
) -> MetricDef:
    return MetricDef(name=f"pg_{name}", kind=kind, help=text, unit=unit, labels=labels)


_BY_DATABASE = ("datname",)
DATABASE = (
    _gauge(
        "database_wraparound_age_datfrozenxid_seconds",
        "Age of the oldest transaction id that has not been frozen: in transactions, in spite of the name.",
        "transactions",
        _BY_DATABASE,
    ),
    _gauge(
        "database_wraparound_age_datminmxid_seconds",
        "Age of the oldest multixact id that has not been replaced: in multixacts, in spite of the name.",
        "multixacts",
        _BY_DATABASE,
    ),
    _gauge(
        "database_xid_used_ratio",
        "Age of the oldest transaction id as a share of that at which the server stops writing.",
        "ratio",
        _BY_DATABASE,
    ),
    _gauge(
        "database_mxid_used_ratio",
        "Age of the oldest multixact id as a share of that at which the server stops making them.",
        "ratio",
        _BY_DATABASE,
    ),
    _gauge(
        "database_freeze_max_age_ratio",
        "Age of the oldest transaction id as a share of autovacuum_freeze_max_age.",
        "ratio",
        _BY_DATABASE,
    ),
    _gauge(
        "database_multixact_freeze_max_age_ratio",
        "Age of the oldest multixact id as a share of autovacuum_multixact_freeze_max_age.",
        "ratio",
        _BY_DATABASE,
    ),
    _gauge(
        "database_xid_runway_seconds",
        "Time until the server stops writing at the present rate; absent while there is no rate.",
        "seconds",
        _BY_DATABASE,
    ),
    _gauge(
        "database_mxid_runway_seconds",
        "Time until the server stops making multixacts at the present rate; absent while there is no rate.",
        "seconds",
        _BY_DATABASE,
    ),
)
SERVER = (
    _gauge("xid_next_total", "Transaction ids given out.", "transactions", kind=Kind.COUNTER),
    _gauge(
        "xid_consumption_per_second",
        "Transaction ids given out per second, over up to an hour.",
        "transactions",
    ),
    _gauge("mxid_consumption_per_second", "Multixacts made per second, over up to an hour.", "multixacts"),
)
_BY_TABLE = ("datname", "schemaname", "relname")
TABLE = (
    _gauge(
        "table_xid_age_transactions",
        "Age of a table's oldest transaction id, its TOAST table included; the worst tables only.",
        "transactions",
        _BY_TABLE,
    ),
    _gauge(
        "table_mxid_age_multixacts",
        "Age of a table's oldest multixact id, its TOAST table included; the worst tables only.",
        "multixacts",
        _BY_TABLE,
    ),
)

# The next multixact id is the oldest one of a database plus its age, for every database the same.
_DATABASES = """
select d.datname::text as name, pg_catalog.age(d.datfrozenxid)::int8 as xid_age,
  pg_catalog.mxid_age(d.datminmxid)::int8 as mxid_age, d.datminmxid::text::int8 as minmxid,
  pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 as next_xid,
  current_setting('autovacuum_freeze_max_age')::int8 as freeze_max_age,
  current_setting('autovacuum_multixact_freeze_max_age')::int8 as multixact_freeze_max_age
from pg_catalog.pg_database d
"""
_TABLES = """
select pg_catalog.current_database()::text as datname, n.nspname::text as schemaname,
  t.relname::text as relname, t.xid_age, t.mxid_age
from (
  select c.relname, c.relnamespace,
    greatest(pg_catalog.age(c.relfrozenxid), pg_catalog.age(toast.relfrozenxid))::int8 as xid_age,
    greatest(pg_catalog.mxid_age(c.relminmxid), pg_catalog.mxid_age(toast.relminmxid))::int8 as mxid_age
  from pg_catalog.pg_class c left join pg_catalog.pg_class toast on toast.oid = c.reltoastrelid
  where c.relkind in ('r', 'm') and c.relpersistence <> 't'
  order by greatest(pg_catalog.age(c.relfrozenxid), pg_catalog.age(toast.relfrozenxid),
    pg_catalog.mxid_age(c.relminmxid), pg_catalog.mxid_age(toast.relminmxid)) desc, c.oid
  limit $1::int8
) t join pg_catalog.pg_namespace n on n.oid = t.relnamespace
"""


class _Rate:
    """The mean rate of a counter over the last hour, given out once it covers a minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at: float, value: int) -> float | None:
        if self._seen and value < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at, value))
        while len(self._seen) > 2 and at - self._seen[1][0] >= _WINDOW_SECONDS:  # noqa: PLR2004 - both ends
            self._seen.popleft()
        first_at, first = self._seen[0]
        span = at - first_at
        return (value - first) / span if span >= _RATE_AFTER_SECONDS else None


class Xids:
    """The probe `xids` of one target."""

    def __init__(self, target: Target, now: Callable[[], float] = time.monotonic) -> None:
        del target
        self._now = now
        self._identity = ""
        self._xids, self._mxids = _Rate(), _Rate()
        self._next_mxid = 0

    async def run(self, session: Session) -> Result:
        """Read ages and the next ids."""
        if session.facts.identity != self._identity:
            self._identity, self._xids, self._mxids = session.facts.identity, _Rate(), _Rate()
        rows = await session.fetch(_DATABASES)
        now, next_xid = self._now(), max(row["next_xid"] for row in rows)
        xid_rate = self._xids.add(now, next_xid)
        mxid_rate = self._mxids.add(now, self._count_mxids(rows[0]))
        databases: list[tuple[LabelValues, Sequence[Number | None]]] = [
            ((row["name"],), _ages(row, xid_rate, mxid_rate)) for row in rows
        ]
        server = frame_of(SERVER, [((), (next_xid, xid_rate, mxid_rate))])
        return Result([frame_of(DATABASE, databases), server])

    def _count_mxids(self, row: Any) -> int:  # noqa: ANN401 - a row
        """Return the next multixact id counted on over the wrap of its 32 bits."""
        low = (row["minmxid"] + row["mxid_age"]) % 2**32
        self._next_mxid += (low - self._next_mxid) % 2**32
        return self._next_mxid


def _ages(row: Any, xid_rate: float | None, mxid_rate: float | None) -> Sequence[Number | None]:  # noqa: ANN401
    xid_age, mxid_age = row["xid_age"], row["mxid_age"]
    return (
        xid_age, mxid_age,
        xid_age / XID_LIMIT, mxid_age / MXID_LIMIT,
        xid_age / row["freeze_max_age"], mxid_age / row["multixact_freeze_max_age"],
        _runway(XID_LIMIT - xid_age, xid_rate), _runway(MXID_LIMIT - mxid_age, mxid_rate),
    )  # fmt: skip


def _runway(left: int, rate: float | None) -> float | None:
    return max(0, left) / rate if rate else None


class TableAges:
    """The probe `xid_tables` of one database."""

    def __init__(self, target: Target) -> None:
        del target
        self._keeper: Keeper[LabelValues] = Keeper(TABLES_MAX)

    async def run(self, session: Session) -> Result:
        """Read the ages of the worst tables."""
        rows = await session.fetch(_TABLES, 2 * TABLES_MAX)
        by_key = {(row["datname"], row["schemaname"], row["relname"]): row for row in rows}
        keys = list(by_key)
        kept = self._keeper.choose(
            keys, [max(by_key[key]["xid_age"], by_key[key]["mxid_age"]) for key in keys]
        )
        worst = [(key, (row["xid_age"], row["mxid_age"])) for key, row in by_key.items() if key in kept]
        return Result([frame_of(TABLE, worst)])


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(name="xids", every_seconds=60, within_seconds=2, metrics=(*DATABASE, *SERVER)),
        help="Ages of transaction and multixact ids by database, consumption, and the time that is left.",
        make=Xids,
    ),
    CodeProbe(
        info=ProbeInfo(
            name="xid_tables",
            every_seconds=300,
            within_seconds=5,
            cost=Cost.MEDIUM,
            scope=Scope.DATABASE,
            metrics=TABLE,
            rows_max=TABLES_MAX,
        ),
        help="The tables with the oldest transaction and multixact ids.",
        make=TableAges,
    ),
)
