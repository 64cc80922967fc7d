"""How much of a B-tree is bloat, by two estimators that know nothing of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from actions.errors import ActError
from actions.model import Json
from actions.postgresql.client import PostgresActing
from actions.postgresql.indexes import Index
from collectors.postgresql.bloat_relation import columns_of, indexes_of, tables_of
from collectors.postgresql.bloat_sql import COLUMNS, INDEXES, MEASURE_INDEX, TABLES

APART = 0.25
"""Two shares that lie further apart do not agree."""
MEASURE_SECONDS = 60.0
_EVERY = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Bloat:
    """Shares of the index's size that a new one would not need; None: not known."""

    bytes: int
    estimated: float | None
    """From statistics of the columns."""
    measured: float | None
    """By pgstatindex, which reads the whole index."""

    @property
    def share(self) -> float:
        """Return the smaller of what is known; 0 when nothing is."""
        return min((one for one in (self.estimated, self.measured) if one is not None), default=0.0)

    @property
    def evidence(self) -> Mapping[str, Json]:
        """Return the figures."""
        return asdict(self)

    def against(self, label: str, least_share: float, least_bytes: int, *, one_is_enough: bool) -> str:
        """Return why it is no reason to rebuild the index; an empty string when it is."""
        known = [one for one in (self.estimated, self.measured) if one is not None]
        if not known:
            return f"the bloat of {label} is not known: ANALYZE its table, and CREATE EXTENSION pgstattuple"
        if len(known) == 1 and not one_is_enough:
            missing = (
                "there are no fresh statistics of its columns (ANALYZE its table)"
                if self.estimated is None
                else "pgstattuple is not there, or not for us: CREATE EXTENSION pgstattuple, "
                "GRANT pg_stat_scan_tables"
            )
            return (
                f"only one estimator knows the bloat of {label}: {missing}; `single_estimate: true` goes on"
            )
        if max(known) - min(known) > APART:
            return f"the estimators disagree about {label}: {known[0]:.0%} and {known[1]:.0%} of its size"
        if self.share < least_share or self.share * self.bytes < least_bytes:
            return (
                f"{label} is bloated by {self.share:.0%} of {self.bytes} bytes; "
                f"{least_share:.0%} and {least_bytes} bytes are asked for"
            )
        return ""


async def bloat(session: PostgresActing, index: Index) -> Bloat:
    """Estimate and measure; what cannot be told is None. Raises OutcomeUnknown when the session is lost."""
    size = index.bytes
    estimated = await _estimated(session, index)
    measured = await _measured(session, index)
    return Bloat(bytes=size, estimated=estimated, measured=measured)


async def _estimated(session: PostgresActing, index: Index) -> float | None:
    table = await session.fetch(_ONE_TABLE, 0, _EVERY, index.table_oid)
    found = await session.fetch(_ONE_INDEX, [index.table_oid], 0, _EVERY, index.oid)
    if not table or not found or not index.bytes:
        return None
    columns = columns_of(await session.fetch(COLUMNS, [index.table_oid, index.oid]))
    block = int((await session.fetch(_BLOCK))[0]["size"])
    tables, _ = tables_of(session.database, table, columns, block)
    (relation,) = indexes_of(tables, found, columns, block)
    return None if relation.estimate is None else relation.estimate / index.bytes


async def _measured(session: PostgresActing, index: Index) -> float | None:
    rows = await session.fetch(_EXTENSION, index.oid)
    if not rows or not index.bytes:
        return None
    try:
        sql = MEASURE_INDEX.format(schema=rows[0]["schema"])
        row = (await session.fetch(sql, index.oid, within=MEASURE_SECONDS))[0]
    except ActError:  # not allowed, locked, too large to read in time
        return None
    block = int((await session.fetch(_BLOCK))[0]["size"])
    needed = row["leaf_pages"] * min(1.0, (row["avg_leaf_density"] or 0.0) / rows[0]["full"])
    spare = row["leaf_pages"] - needed + row["empty_pages"] + row["deleted_pages"]
    return float(max(0.0, spare * block / index.bytes))


_ONE_TABLE = f"select * from ({TABLES}) t where t.oid = $3::int8"  # noqa: S608 - a text of ours
_ONE_INDEX = f"select * from ({INDEXES}) i where i.oid = $4::int8"  # noqa: S608 - a text of ours
_BLOCK = "select pg_catalog.current_setting('block_size')::int4 as size"
_EXTENSION = """
select pg_catalog.quote_ident(n.nspname) as schema, coalesce((
    select o.option_value from pg_catalog.pg_class c, pg_catalog.pg_options_to_table(c.reloptions) o
    where c.oid = $1::int8::oid and o.option_name = 'fillfactor'), '90')::float8 as full
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pgstattuple'
"""
