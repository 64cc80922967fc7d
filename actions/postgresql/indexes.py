"""An index as the catalogue has it now, with what forbids to drop or rebuild it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from actions.action import Parameter
from actions.errors import NotDone
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
        help="The index's schema, `public` unless given.",
    ),
    Parameter(name="index", type="identifier", label="indexrelname", required=True, help="The index."),
)
_LEFTOVER = re.compile(r"_cc(?:new|old)[0-9]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One index."""

    oid: int
    schema: str
    name: str
    quoted: str
    """The only form that becomes SQL."""
    kind: str
    """pg_class.relkind: `I` for the parent of a partitioned index."""
    method: str
    valid: bool
    ready: bool
    """Whether rows are added to it: an invalid one that is costs every write."""
    unique: bool
    primary: bool
    exclusion: bool
    constraint: str
    """Name of the constraint that it backs."""
    parent: str
    """The partitioned index that it is attached to."""
    table_oid: int
    table: str
    """schema.name, quoted."""
    table_kind: str
    persistence: str
    system: bool
    """Of a system catalog."""
    owner: str
    owned: bool
    """Whether our role may drop and rebuild it."""
    definition: str
    bytes: int
    builder: int | None
    """pid of whoever builds it, or another index of its table."""

    @property
    def label(self) -> str:
        """Return schema.name in one line."""
        return " ".join(f"{self.schema}.{self.name}".split())

    @property
    def leftover(self) -> bool:
        """Tell whether its name is one that REINDEX CONCURRENTLY gives to what it builds or replaces."""
        return bool(_LEFTOVER.search(self.name))


async def find(session: PostgresActing, schema: str, name: str) -> Index | None:
    """Return the index of this name, exactly as the catalogue writes both parts."""
    rows = await session.fetch(_SQL + "where n.nspname = $1::text and c.relname = $2::text", schema, name)
    return Index(**dict(rows[0])) if rows else None


async def by_oid(session: PostgresActing, oid: int) -> Index | None:
    """Return an index by its oid."""
    rows = await session.fetch(_SQL + "where c.oid = $1::int8::oid", oid)
    return Index(**dict(rows[0])) if rows else None


async def of_table(session: PostgresActing, table_oid: int) -> Sequence[Index]:
    """Return all indexes of a table."""
    rows = await session.fetch(_SQL + "where i.indrelid = $1::int8::oid order by c.oid", table_oid)
    return [Index(**dict(row)) for row in rows]


async def same(session: PostgresActing, oid: int, schema: str, name: str) -> Index:
    """Read an index anew; raise NotDone when it is gone or is called otherwise by now."""
    found = await by_oid(session, oid)
    if found is None:
        raise NotDone(f"{session.address}: the index {schema}.{name} is gone (oid {oid})")
    if (found.schema, found.name) != (schema, name):
        raise NotDone(f"{session.address}: what was the index {schema}.{name} is called {found.label} now")
    return found


def may_not(session: PostgresActing, index: Index, role: str) -> str:
    """Say which right is missing, with the SQL that gives it."""
    if session.read_only or index.owned:
        return ""
    owner = '"' + index.owner.replace('"', '""') + '"'
    return (
        f"the role {role} may neither drop nor rebuild {index.label} in {session.address}: "
        f"GRANT {owner} TO {role}; (only its table's owner may)"
    )


async def blind(session: PostgresActing, role: str) -> str:
    """Say why it cannot be seen whether somebody builds an index, with the SQL that changes it."""
    if (await session.fetch(_SEES))[0]["sees"]:
        return ""
    return f"the role {role} does not see whether an index is being built: GRANT pg_read_all_stats TO {role};"


_SEES = "select pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') as sees"
# The size waits for whoever has it locked: at most for lock_timeout.
_SQL = """
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
  pg_catalog.format('%I.%I', n.nspname, c.relname) as quoted, c.relkind::text as kind,
  am.amname::text as method, i.indisvalid as valid, i.indisready as ready, i.indisunique as unique,
  i.indisprimary as primary, i.indisexclusion as exclusion,
  coalesce((select o.conname::text from pg_catalog.pg_constraint o
    where o.conindid = c.oid and o.contype in ('p', 'u', 'x') limit 1), '') as constraint,
  coalesce((select pg_catalog.format('%I.%I', pn.nspname, p.relname) from pg_catalog.pg_inherits h
    join pg_catalog.pg_class p on p.oid = h.inhparent
    join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
    where h.inhrelid = c.oid limit 1), '') as parent,
  t.oid::int8 as table_oid, pg_catalog.format('%I.%I', tn.nspname, t.relname) as table,
  t.relkind::text as table_kind, c.relpersistence::text as persistence,
  t.relisshared or tn.nspname = 'pg_catalog' as system,
  pg_catalog.pg_get_userbyid(t.relowner)::text as owner,
  pg_catalog.pg_has_role(t.relowner, 'USAGE') as owned,
  pg_catalog.pg_get_indexdef(c.oid) as definition,
  coalesce(pg_catalog.pg_relation_size(c.oid, 'main'), 0)::int8 as bytes,
  (select p.pid from pg_catalog.pg_stat_progress_create_index p
    where p.relid = t.oid or p.index_relid = c.oid limit 1) as builder
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_am am on am.oid = c.relam
join pg_catalog.pg_class t on t.oid = i.indrelid
join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
"""
