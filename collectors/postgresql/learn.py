"""Asks a server what it is and what it offers, in three statements."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from collectors.postgresql.facts import Extension, Facts

SETTINGS = (
    "autovacuum_freeze_max_age", "autovacuum_multixact_freeze_max_age", "block_size", "data_checksums",
    "hot_standby_feedback", "max_connections", "max_prepared_transactions", "max_wal_size",
    "pg_stat_statements.max", "pg_stat_statements.track", "reserved_connections", "server_encoding",
    "shared_preload_libraries", "superuser_reserved_connections", "track_activities",
    "track_commit_timestamp", "track_counts", "track_functions", "track_io_timing", "track_wal_io_timing",
    "wal_level", "wal_segment_size",
)  # fmt: skip

_SERVER = """
select current_setting('server_version_num')::int as version_num,
  current_setting('server_version') as version,
  pg_catalog.version() as build,
  current_database()::text as database,
  current_user::text as "user",
  pg_catalog.pg_is_in_recovery() as in_recovery,
  extract(epoch from pg_catalog.pg_postmaster_start_time())::float8 as started_at,
  extract(epoch from clock_timestamp())::float8 as clock,
  (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) as superuser,
  array(select r.rolname::text from pg_catalog.pg_roles r
    where r.rolname like 'pg\\_%' and pg_catalog.pg_has_role(r.oid, 'USAGE')) as roles,
  array(select r.rolname::text from pg_catalog.pg_roles r
    where r.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')) as marks,
  exists (select from pg_catalog.pg_proc p where p.proname = 'aurora_version') as aurora,
  array(select array[s.name, coalesce(s.setting, '')] from pg_catalog.pg_settings s
    where s.name = any($1)) as settings,
  array(select array[e.extname::text, e.extversion, n.nspname::text] from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace order by e.extname) as extensions
"""

# Relations of pg_catalog that monitoring reads, and everything that extensions bring. One array, because
# thousands of rows would cost more to carry than to ask.
_CATALOGUE = """
with member as (
  select d.classid, d.objid from pg_catalog.pg_depend d
  where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
), relation as (
  select c.oid, n.nspname || '.' || c.relname as name
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'p', 'f') and (n.nspname = 'pg_catalog'
    or n.nspname || '.' || c.relname = any($1)
    or c.oid in (select objid from member where classid = 'pg_catalog.pg_class'::pg_catalog.regclass))
), routine as (
  select 'function:' || n.nspname || '.' || p.proname as name, p.proargnames
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where (n.nspname = 'pg_catalog' and p.proname like 'pg\\_%')
    or p.oid in (select objid from member where classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
)
select array(
  select name from relation
  union all
  select r.name || '.' || a.attname from relation r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  union all
  select name from routine
  union all
  select r.name || '.' || argument from routine r, unnest(r.proargnames) argument
    where argument <> '' and r.name not like 'function:pg\\_catalog.%'
) as catalogue
"""

_IDENTIFIER = "select system_identifier::text from pg_catalog.pg_control_system()"

_shared: dict[frozenset[str], frozenset[str]] = {}
"""Catalogues seen so far: hundreds of servers of one version share one of these."""
_by_build: dict[tuple[object, ...], frozenset[str]] = {}
"""The same by what decides them: the build of the server and its extensions. To look through a catalogue is
the dearest question of a new session, and hundreds of sessions begin at once when the daemon starts."""


class _Connection(Protocol):
    async def fetchrow(self, query: str, *args: Any) -> Any: ...  # noqa: ANN401
    async def fetchval(self, query: str, *args: Any) -> Any: ...  # noqa: ANN401


async def learn(
    connection: _Connection,
    *,
    pooled: bool,
    relations: Sequence[str] = (),
    settings: Sequence[str] = (),
    anew: bool = False,
) -> Facts:
    """Return the facts that a connection sees; raises what the driver raises.

    `relations` (`schema.relation`) and `settings` are looked up besides what is always of use. What another
    session saw in the catalogue of the same build with the same extensions is believed, but not `anew`.
    """
    began = time.time()
    row = await connection.fetchrow(_SERVER, [*SETTINGS, *settings])
    offset = float(row["clock"]) - (began + time.time()) / 2
    catalogue = await _catalogue(connection, row, relations, anew=anew)
    has_control = "function:pg_catalog.pg_control_system" in catalogue
    may_control = bool(row["superuser"]) or "pg_monitor" in row["roles"]
    identifier = await _identifier(connection) if has_control and may_control else ""
    return Facts(
        version_num=row["version_num"],
        version=row["version"],
        database=row["database"],
        user=row["user"],
        in_recovery=row["in_recovery"],
        system_identifier=identifier,
        started_at=row["started_at"],
        superuser=bool(row["superuser"]),
        roles=frozenset(row["roles"]),
        catalogue=catalogue,
        extensions={
            name: Extension(version=version, schema=schema) for name, version, schema in row["extensions"]
        },
        settings=dict(row["settings"]),
        pooled=pooled,
        provider=_provider(row),
        clock_offset_seconds=offset,
    )


async def _catalogue(
    connection: _Connection, row: Mapping[str, Any], relations: Sequence[str], *, anew: bool
) -> frozenset[str]:
    extensions = tuple(map(tuple, row["extensions"]))
    build = (row["build"], row["aurora"], tuple(row["marks"]), extensions)
    known = None if anew or relations else _by_build.get(build)
    if known is None:
        found = frozenset(await connection.fetchval(_CATALOGUE, list(relations)))
        known = _shared.setdefault(found, found)
        if not relations:  # a user's own tables come and go
            _by_build[build] = known
    return known


async def _identifier(connection: _Connection) -> str:
    return str(await connection.fetchval(_IDENTIFIER))


def _provider(row: Mapping[str, Any]) -> str:
    if row["aurora"]:
        return "aurora"
    marks = {"rds_superuser": "rds", "cloudsqlsuperuser": "cloudsql", "azure_pg_admin": "azure"}
    return next((marks[mark] for mark in row["marks"] if mark in marks), "self")
