"""What statements on a table take, from pg_stat_statements where it is there."""

from __future__ import annotations

from collections.abc import Mapping

from actions.errors import NotDone
from actions.postgresql.client import PostgresActing

CALLS_MIN = 100
"""Fewer calls tell nothing."""
TIMES_SLOWER = 2.0


async def statements_on(session: PostgresActing, table_oid: int) -> Mapping[str, float]:
    """Return calls and seconds of statements that name the table; nothing where that is not known."""
    rows = await session.fetch(_EXTENSION)
    if not rows:
        return {}
    try:
        row = (await session.fetch(_SQL.format(schema=rows[0]["schema"]), table_oid))[0]
    except NotDone:  # not loaded, or not for us
        return {}
    return {"statement_calls": row["calls"], "statement_seconds": row["seconds"]}


def slower(before: Mapping[str, float], after: Mapping[str, float]) -> bool | None:
    """Tell whether a statement takes much longer since; None: there were too few calls yet.

    Where there are no statistics, or hardly any calls before, nothing is said against it.
    """
    calls, seconds = before.get("statement_calls", 0.0), before.get("statement_seconds", 0.0)
    if calls < CALLS_MIN or not seconds or "statement_calls" not in after:
        return False
    more = after["statement_calls"] - calls
    if more < 0:  # the statistics were reset meanwhile
        return False
    if more < CALLS_MIN:
        return None
    mean = (after["statement_seconds"] - seconds) / more
    return mean > TIMES_SLOWER * seconds / calls


_EXTENSION = """
select pg_catalog.quote_ident(n.nspname) as schema
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'
"""
_SQL = """
select coalesce(sum(s.calls), 0)::float8 as calls,
  coalesce(sum(s.total_exec_time), 0)::float8 / 1000 as seconds
from {schema}.pg_stat_statements s
where s.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and s.query ~* '^[[:space:]]*(select|insert|update|delete|with|merge)'
  and pg_catalog.strpos(pg_catalog.lower(s.query), pg_catalog.lower((
    select c.relname::text from pg_catalog.pg_class c where c.oid = $1::int8::oid))) > 0
"""
