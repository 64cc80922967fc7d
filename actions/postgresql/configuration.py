"""What a server's configuration files say, as far as our role may see them, and how they are read again."""

from __future__ import annotations

from actions.postgresql.client import PostgresActing


class NotSeen(Exception):
    """Our role may not look at what the files say."""


async def written(session: PostgresActing, name: str) -> str | None:
    """Return what postgresql.auto.conf says of a parameter, to the letter; None when it is not in there."""
    await _must_see(session)
    rows = await session.fetch(_WRITTEN, name)
    return str(rows[0]["setting"]) if rows else None


async def in_force(session: PostgresActing, name: str) -> str | None:
    """Return what the last file that names a parameter says, if the server has taken it; None otherwise."""
    await _must_see(session)
    rows = await session.fetch(_IN_FORCE, name)
    return str(rows[0]["setting"]) if rows else None


async def may_read_files(session: PostgresActing) -> bool:
    """Tell whether our role may look at pg_file_settings."""
    return bool((await session.fetch(_MAY_READ))[0]["may"])


async def mistakes(session: PostgresActing) -> str:
    """Say what is wrong in the files, with file and line; empty when nothing is, or we may not look."""
    if not await may_read_files(session):
        return ""
    found = [
        f"{row['file']}:{row['line']}: {row['name']}: {row['error']}" for row in await session.fetch(_WRONG)
    ]
    if not found:
        return ""
    return f"the configuration has mistakes, mend them first: {'; '.join(found[:5])}"


async def waiting_for_restart(session: PostgresActing) -> tuple[str, ...]:
    """Say which parameters have been changed in the files and wait for a restart."""
    names = [row["name"] for row in await session.fetch(_WAITING)]
    if not names:
        return ()
    return (
        f"{', '.join(names)}: changed in the files, in force only after a restart, which is for people to do",
    )


async def may_not_reload(session: PostgresActing) -> str:
    """Say which right is missing; an empty string when none is."""
    row = (await session.fetch(_MAY_RELOAD))[0]
    if row["may"] or session.read_only:
        return ""
    grant = f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO {row['role']}"
    return f"the role {row['role']} may not reload the configuration of {session.address}: {grant}"


async def reload(session: PostgresActing) -> bool:
    """Tell the server to read its files; False when it could not be told."""
    ran = await session.run("select pg_catalog.pg_reload_conf() as told", within=10.0)
    return bool(ran.rows[0]["told"])


async def _must_see(session: PostgresActing) -> None:
    if not await may_read_files(session):
        raise NotSeen("our role may not look at pg_file_settings")


_WRITTEN = """
select f.setting from pg_catalog.pg_file_settings f
where f.name = $1 and f.sourcefile like '%/postgresql.auto.conf' order by f.seqno desc limit 1
"""
# `applied` only says that the file would be taken; that it has been is told by the server's own note of where
# the value comes from, where nothing that was set for our own role hides it.
_IN_FORCE = """
select f.setting from pg_catalog.pg_file_settings f
  join pg_catalog.pg_settings s on s.name = f.name
    and ((s.sourcefile = f.sourcefile and s.sourceline = f.sourceline)
      or s.source in ('database', 'user', 'database user'))
where f.name = $1 and f.applied and f.error is null order by f.seqno desc limit 1
"""
_MAY_READ = """
select pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')
  and pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT') as may
"""
_WAITING = "select s.name from pg_catalog.pg_settings s where s.pending_restart order by s.name"
_MAY_RELOAD = """
select pg_catalog.quote_ident(current_user) as role,
  pg_catalog.has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE') as may
"""
# A parameter that needs a restart is marked as one that could not be applied: that is no mistake.
_WRONG = """
select f.sourcefile as file, f.sourceline as line, coalesce(f.name, '?') as name, f.error
from pg_catalog.pg_file_settings f
where f.error is not null and not exists (
  select from pg_catalog.pg_settings s where s.name = f.name and s.context = 'postmaster')
order by f.sourcefile, f.sourceline
"""
