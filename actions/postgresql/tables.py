"""Tables as the remedies see them: which one is meant, what its counters say, and who works on it already."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from actions.action import Parameter
from actions.errors import NotDone
from actions.model import Json, Refusal
from actions.ports import Asked
from actions.postgresql.client import PostgresActing

PARAMETERS = (
    Parameter(
        name="database",
        type="identifier",
        label="datname",
        help="The database; left out: the one that the target names.",
    ),
    Parameter(
        name="schema",
        type="identifier",
        label="schemaname",
        help="The table's schema, `public` unless given.",
    ),
    Parameter(
        name="table",
        type="identifier",
        label="relname",
        help="The table; left out: the one of the database that needs it most.",
    ),
)
Order = Literal["dead", "changed", "frozen"]
"""What need is counted in: dead or changed rows against autovacuum's thresholds, or age against its limit."""
_ORDERS: Mapping[Order, str] = {
    "dead": "w.dead / greatest(w.vacuum_threshold, 1)",
    "changed": "w.changed / greatest(w.analyze_threshold, 1)",
    "frozen": "greatest(w.xid_age / w.freeze_max_age, w.multixact_age / w.multixact_max_age)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What the catalogue and the counters say of one table; `choose` measures the sizes."""

    oid: int
    schema: str
    name: str
    quoted: str
    kind: str
    owner: str
    maintainable: bool
    """Whether our role may VACUUM and ANALYZE it."""
    owned: bool
    """Whether our role may ALTER it."""
    rows: float
    """As last counted by VACUUM or ANALYZE: what autovacuum's scale factors apply to; 0 when never."""
    live: int
    dead: int
    changed: int
    """Rows changed since the last ANALYZE."""
    updated: int
    deleted: int
    inserted: int
    counted_seconds: float
    """Since when the counters count; since the server's start where it does not tell."""
    vacuum_threshold: float
    analyze_threshold: float
    vacuumed_ago: float | None
    """Seconds since the last VACUUM of whatever kind; None: never."""
    analyzed_ago: float | None
    vacuums: int
    """By hand, since the counters count."""
    autovacuums: int
    analyzes: int
    xid_age: float
    multixact_age: float
    freeze_max_age: float
    multixact_max_age: float
    heap_bytes: int
    index_bytes: int
    indexes: int
    worker: int | None
    """pid of whoever vacuums or analyzes it now."""
    wraparound: bool
    """That is a VACUUM against wraparound."""
    options: Sequence[str]
    """pg_class.reloptions."""

    @property
    def label(self) -> str:
        """Return schema.name in one line."""
        return " ".join(f"{self.schema}.{self.name}".split())

    @property
    def frozen_share(self) -> float:
        """Return its age against the limits at which autovacuum freezes it, 1.0 at the limit."""
        return max(self.xid_age / self.freeze_max_age, self.multixact_age / self.multixact_max_age)


async def choose(
    session: PostgresActing, asked: Asked, order: Order, kinds: Sequence[str]
) -> Table | Refusal:
    """Return the table that is asked for, or the neediest one, or why there is none."""
    schema, name = asked.parameters.get("schema"), asked.parameters.get("table")
    if name is None:
        rows = await session.fetch(_neediest(order), list(kinds))
        if not rows:
            return Refusal("precondition", f"{session.address} has no tables")
        return await _measured(session, _table(rows[0]))
    rows = await session.fetch(_NAMED, schema or "public", name)
    if not rows:
        where = f"{session.address} has no table {schema or 'public'}.{name}"
        return Refusal("precondition", f"{where} (names are taken as the catalogue writes them)")
    found = _table(rows[0])
    if found.kind not in kinds:
        what = _KINDS.get(found.kind, "not a table")
        return Refusal(
            "precondition", f"{found.label} in {session.address} is {what}; {_HINTS.get(found.kind, '')}"
        )
    return await _measured(session, found)


async def again(session: PostgresActing, arguments: Mapping[str, Json]) -> Table:
    """Read the table of a step anew; raise NotDone when it is gone or is called otherwise by now."""
    rows = await session.fetch(_BY_OID, arguments["oid"])
    if not rows:
        raise NotDone(
            f"{session.address}: {arguments['schema']}.{arguments['table']} is gone (oid {arguments['oid']})"
        )
    found = _table(rows[0])
    if (found.schema, found.name) != (arguments["schema"], arguments["table"]):
        was = f"{arguments['schema']}.{arguments['table']}"
        raise NotDone(f"{session.address}: what was {was} is called {found.label} now; nothing was done")
    return found


def arguments(table: Table) -> dict[str, Json]:
    """Return what a step must say of its table."""
    return {"oid": table.oid, "schema": table.schema, "table": table.name}


def parameters(asked: Asked, session: PostgresActing, table: Table) -> dict[str, Json]:
    """Return a plan's parameters: with these, planning again gives the same plan."""
    names = {"database": session.database, "schema": table.schema, "table": table.name}
    return {**asked.parameters, **names}


async def _measured(session: PostgresActing, table: Table) -> Table:
    # Waits for whoever has locked the table, and then we could not work on it either.
    (row,) = await session.fetch(_SIZES, table.oid)
    return dataclasses.replace(table, heap_bytes=row["heap"] or 0, index_bytes=row["indexes"] or 0)


def _table(row: Any) -> Table:  # noqa: ANN401 - a row of the driver
    return Table(**dict(row))


_KINDS = {
    "p": "a partitioned table",
    "i": "an index",
    "I": "an index",
    "v": "a view",
    "f": "a foreign table",
    "S": "a sequence",
    "t": "a TOAST table",
}
_HINTS = {"p": "name one of its partitions", "t": "name the table it belongs to", "i": "name its table"}

_SIZES = """
select pg_catalog.pg_table_size($1::int8::oid) as heap, pg_catalog.pg_indexes_size($1::int8::oid) as indexes
"""
_WHOLE = """
with setting as (
  select max(s.setting) filter (where s.name = 'autovacuum_vacuum_threshold')::float8 as vacuum_base,
    max(s.setting) filter (where s.name = 'autovacuum_vacuum_scale_factor')::float8 as vacuum_scale,
    max(s.setting) filter (where s.name = 'autovacuum_analyze_threshold')::float8 as analyze_base,
    max(s.setting) filter (where s.name = 'autovacuum_analyze_scale_factor')::float8 as analyze_scale,
    max(s.setting) filter (where s.name = 'autovacuum_freeze_max_age')::float8 as freeze_max_age,
    max(s.setting) filter (where s.name = 'autovacuum_multixact_freeze_max_age')::float8 as multixact_max_age
  from pg_catalog.pg_settings s
), database as (
  select d.datdba,
    extract(epoch from pg_catalog.clock_timestamp() - coalesce(
      pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), pg_catalog.pg_postmaster_start_time()
    ))::float8 as counted
  from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
), whole as (
  select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as quoted, c.relkind::text as kind,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    (pg_catalog.pg_has_role(c.relowner, 'USAGE')
      or (pg_catalog.pg_has_role(d.datdba, 'USAGE') and not c.relisshared)
      {maintain}) as maintainable,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') as owned,
    greatest(c.reltuples, 0)::float8 as rows,
    pg_catalog.pg_stat_get_live_tuples(c.oid) as live,
    pg_catalog.pg_stat_get_dead_tuples(c.oid) as dead,
    pg_catalog.pg_stat_get_mod_since_analyze(c.oid) as changed,
    pg_catalog.pg_stat_get_tuples_updated(c.oid) as updated,
    pg_catalog.pg_stat_get_tuples_deleted(c.oid) as deleted,
    pg_catalog.pg_stat_get_tuples_inserted(c.oid) as inserted,
    d.counted as counted_seconds,
    coalesce(o.vacuum_base, s.vacuum_base)
      + coalesce(o.vacuum_scale, s.vacuum_scale) * greatest(c.reltuples, 0)::float8 as vacuum_threshold,
    coalesce(o.analyze_base, s.analyze_base)
      + coalesce(o.analyze_scale, s.analyze_scale) * greatest(c.reltuples, 0)::float8 as analyze_threshold,
    extract(epoch from pg_catalog.clock_timestamp() - greatest(
      pg_catalog.pg_stat_get_last_vacuum_time(c.oid), pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)
    ))::float8 as vacuumed_ago,
    extract(epoch from pg_catalog.clock_timestamp() - greatest(
      pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)
    ))::float8 as analyzed_ago,
    pg_catalog.pg_stat_get_vacuum_count(c.oid) as vacuums,
    pg_catalog.pg_stat_get_autovacuum_count(c.oid) as autovacuums,
    pg_catalog.pg_stat_get_analyze_count(c.oid) as analyzes,
    coalesce(greatest(case when c.relfrozenxid <> '0' then pg_catalog.age(c.relfrozenxid) end,
      case when t.relfrozenxid <> '0' then pg_catalog.age(t.relfrozenxid) end), 0)::float8 as xid_age,
    coalesce(greatest(case when c.relminmxid <> '0' then pg_catalog.mxid_age(c.relminmxid) end,
      case when t.relminmxid <> '0' then pg_catalog.mxid_age(t.relminmxid) end), 0)::float8 as multixact_age,
    s.freeze_max_age, s.multixact_max_age,
    0 as heap_bytes, 0 as index_bytes,
    (select count(*)::int4 from pg_catalog.pg_index i where i.indrelid = c.oid) as indexes,
    p.pid as worker, coalesce(p.wraparound, false) as wraparound,
    coalesce(c.reloptions, '{{}}') as options
  from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_class t on t.oid = c.reltoastrelid
    cross join setting s cross join database d
    left join lateral (
      select max(r.option_value) filter (where r.option_name = 'autovacuum_vacuum_threshold')::float8
          as vacuum_base,
        max(r.option_value) filter (where r.option_name = 'autovacuum_vacuum_scale_factor')::float8
          as vacuum_scale,
        max(r.option_value) filter (where r.option_name = 'autovacuum_analyze_threshold')::float8
          as analyze_base,
        max(r.option_value) filter (where r.option_name = 'autovacuum_analyze_scale_factor')::float8
          as analyze_scale
      from pg_catalog.pg_options_to_table(c.reloptions) r
    ) o on true
    left join lateral (
      select w.pid, coalesce(a.query like 'autovacuum:%(to prevent wraparound)', false) as wraparound
      from (
        select v.pid, v.relid, v.datname from pg_catalog.pg_stat_progress_vacuum v
        union all select v.pid, v.relid, v.datname from pg_catalog.pg_stat_progress_analyze v
      ) w left join pg_catalog.pg_stat_activity a on a.pid = w.pid
      where w.relid in (c.oid, c.reltoastrelid) and w.datname = pg_catalog.current_database()
        and w.pid <> pg_catalog.pg_backend_pid()
      order by 2 desc limit 1
    ) p on true
  where {which}
)
select w.* from whole w {order}
"""


# MAINTAIN came with PostgreSQL 17; earlier servers do not know the word, and it must not be evaluated there.
_MAINTAIN = """or case when pg_catalog.current_setting('server_version_num')::int4 >= 170000
        then pg_catalog.has_table_privilege(c.oid, case
          when pg_catalog.current_setting('server_version_num')::int4 >= 170000 then 'MAINTAIN'
          else 'SELECT' end)
        else false end"""
_NAMED = _WHOLE.format(maintain=_MAINTAIN, which="n.nspname = $1 and c.relname = $2", order="")
_BY_OID = _WHOLE.format(maintain=_MAINTAIN, which="c.oid = $1::int8::oid", order="")


def _neediest(order: Order) -> str:
    # Tables that a worker is busy with need us last; other sessions' temporary tables cannot be worked on.
    first = f"order by (w.worker is not null), not w.maintainable, {_ORDERS[order]} desc, w.oid limit 1"
    return _WHOLE.format(
        maintain=_MAINTAIN, which="c.relkind::text = any($1) and c.relpersistence <> 't'", order=first
    )
