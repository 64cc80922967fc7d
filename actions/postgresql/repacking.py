"""Runs pg_repack on one table: where its program is, what stands against it, and what it may leave behind."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actions.action import Evidence, ReadBack, Work
from actions.command.process import run
from actions.errors import ActError, NotDone, OutcomeUnknown
from actions.model import Json
from actions.postgresql import fence
from actions.postgresql.client import PostgresActing
from collectors.postgresql.bloat_pages import pages_after
from collectors.postgresql.bloat_relation import columns_of, tables_of
from collectors.postgresql.bloat_sql import COLUMNS, MEASURE_TABLE, TABLES
from collectors.secret import Secret
from collectors.secret_ref import SecretError

PLACES = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin", "/usr/local/bin", "/usr/bin")
MARGIN_SECONDS = 30.0
MEASURE_SECONDS = 60.0
_VERSION = re.compile(r"pg_repack (\d[\w.]*)")
_EVERY = 2**62
_DROPPED_OBJECTS = 4
"""Of `repack.repack_drop`: log, table, type and trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What pg_repack needs of a table and its database."""

    extension: str | None
    superuser: bool
    keyed: bool
    """It has a primary key, or a unique index over columns that are never null."""
    interrupted: bool
    """An earlier pg_repack has left its trigger."""
    total_bytes: int
    filenode: int


async def readiness(session: PostgresActing, table: int) -> Readiness:
    """Ask the server."""
    return Readiness(**dict((await session.fetch(_READINESS, table))[0]))


async def program(session: PostgresActing) -> tuple[str, str]:
    """Return the program for this server and its version; empty where there is none."""
    major = session.version_num // 10000
    for place in PLACES:
        path = f"{place.format(major=major)}/pg_repack"
        if not await asyncio.to_thread(Path(path).is_file):
            continue
        ended = await run([path, "--version"], within=10.0)
        if match := _VERSION.search(ended.out.text):
            return path, match[1]
    return "", ""


def argv(program_: str, quoted: str, wait: float) -> list[str]:
    """Return its arguments: it never cancels anybody, and nothing secret is among them."""
    return [
        program_,
        f"--table={quoted}",
        "--no-kill-backend",
        f"--wait-timeout={int(wait)}",
        "--no-password",
        "--elevel=INFO",
    ]


async def estimated(session: PostgresActing, table: int, size: int) -> float | None:
    """Return the share of the heap that is bloat by the statistics; None: they do not tell."""
    found = await session.fetch(_ONE_TABLE, 0, _EVERY, table)
    if not found or not size:
        return None
    columns = columns_of(await session.fetch(COLUMNS, [table]))
    (one,), _ = tables_of(session.database, found, columns, await _block(session))
    return None if one.estimate is None else one.estimate / size


async def measured(session: PostgresActing, table: int) -> float | None:
    """Return the share by pgstattuple_approx; None: it is not there, not for us, or took too long."""
    rows = await session.fetch(_EXTENSION, table)
    if not rows:
        return None
    try:
        sql = MEASURE_TABLE.format(schema=rows[0]["schema"])
        row = (await session.fetch(sql, table, within=MEASURE_SECONDS))[0]
    except ActError:
        return None
    size, block = int(row["table_len"]), await _block(session)
    if not size:
        return None
    used = max(0.0, size - row["approx_free_space"] - row["dead_tuple_len"])
    pages = pages_after(used, row["rows"], size / block, rows[0]["full"], block)
    return max(0.0, 1.0 - pages * block / size)


async def capture(work: Work) -> Evidence:
    """Remember the file that the table is in: another one means that it was done."""
    ready = await readiness(work.session, work.step.arguments["oid"])
    return {"filenode": ready.filenode, "total_bytes": ready.total_bytes}


async def perform(work: Work) -> Evidence:
    """Run it to its end. An exit code says little: the table's file says whether it was done."""
    words: Sequence[str] = work.step.arguments["argv"]
    environment, password = _login(work.session)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="dbarchitect-"))
    try:
        environment["PGPASSFILE"] = await asyncio.to_thread(
            _pass_file, folder, environment["PGUSER"], password
        )
        ended = await run(words, within=work.step.deadline_seconds - MARGIN_SECONDS, environment=environment)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    now = await readiness(work.session, work.step.arguments["oid"])
    evidence = {**ended.evidence, "total_bytes": now.total_bytes}
    if ended.code == 0 and now.filenode != work.before["filenode"] and not now.interrupted:
        return evidence
    raise OutcomeUnknown(f"{shlex.join(words)}: {ended.words}")


async def read_back(work: Work) -> ReadBack:
    """Tell by the table's file, once no session of the attempt is left."""
    session: PostgresActing = work.session
    others = await session.fetch(_OURS, fence.PROGRAM + "/%", session.pid)
    if others:
        return ReadBack(answer="under_way", evidence={"pids": [row["pid"] for row in others]})
    now = await readiness(session, work.step.arguments["oid"])
    evidence: dict[str, Json] = {"filenode": now.filenode, "interrupted": now.interrupted}
    return ReadBack(
        answer="done" if now.filenode != work.before["filenode"] else "not_done", evidence=evidence
    )


async def clean(work: Work) -> Evidence:
    """Remove what an attempt that was killed has left, as pg_repack itself would."""
    session: PostgresActing = work.session
    oid = work.step.arguments["oid"]
    if not (await readiness(session, oid)).interrupted:
        return {"removed": False}
    await session.run(_CLEAN, oid, _DROPPED_OBJECTS, within=10.0)
    return {"removed": True}


def _login(session: PostgresActing) -> tuple[dict[str, str], Secret | None]:
    try:
        return session.libpq()
    except SecretError as error:
        raise NotDone(str(error)) from None


def _pass_file(folder: Path, user: str, password: Secret | None) -> str:
    """Write the password where only we can read it, and return the file's name."""
    path = folder / "pass"
    path.touch(mode=0o600)
    secret = password.reveal() if password else ""
    path.write_text(f"*:*:*:{_escaped(user)}:{_escaped(secret)}\n", encoding="utf-8")
    return str(path)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


async def _block(session: PostgresActing) -> int:
    return int((await session.fetch(_BLOCK))[0]["size"])


def against(ready: Readiness, found: tuple[str, str], label: str, role: str) -> Mapping[str, bool]:
    """Return what could stand against it, and whether it does."""
    path, version = found
    return {
        "pg_repack is not installed here (Debian: apt-get install postgresql-<major>-repack)": not path,
        f"the extension pg_repack is not in this database: CREATE EXTENSION pg_repack VERSION '{version}';": (
            ready.extension is None
        ),
        f"{path} is {version} and the extension {ready.extension}: they have to be the same": (
            ready.extension is not None and ready.extension != version
        ),
        f"pg_repack needs a superuser, and {role} is none: ALTER ROLE {role} SUPERUSER;": not ready.superuser,
        f"{label} has neither a primary key nor a unique index over columns that are never null": (
            not ready.keyed
        ),
        f"an interrupted pg_repack has left its trigger on {label}: DROP EXTENSION pg_repack CASCADE; "
        "CREATE EXTENSION pg_repack;": ready.interrupted,
    }


_BLOCK = "select pg_catalog.current_setting('block_size')::int4 as size"
_ONE_TABLE = f"select * from ({TABLES}) t where t.oid = $3::int8"  # noqa: S608 - a text of ours
_EXTENSION = """
select pg_catalog.quote_ident(n.nspname) as schema, coalesce((
    select o.option_value from pg_catalog.pg_class c, pg_catalog.pg_options_to_table(c.reloptions) o
    where c.oid = $1::int8::oid and o.option_name = 'fillfactor'), '100')::int4 as full
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pgstattuple'
"""
_READINESS = """
select (select e.extversion from pg_catalog.pg_extension e where e.extname = 'pg_repack') as extension,
  pg_catalog.current_setting('is_superuser') = 'on' as superuser,
  exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisvalid and i.indisunique
    and i.indimmediate and i.indpred is null and i.indexprs is null
    and (i.indisprimary or not exists (select from pg_catalog.pg_attribute a
      where a.attrelid = c.oid and a.attnum = any(i.indkey) and not a.attnotnull))) as keyed,
  exists (select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and g.tgname = 'repack_trigger')
    as interrupted,
  pg_catalog.pg_total_relation_size(c.oid)::int8 as total_bytes,
  pg_catalog.pg_relation_filenode(c.oid)::int8 as filenode
from pg_catalog.pg_class c where c.oid = $1::int8::oid
"""
_OURS = """
select a.pid from pg_catalog.pg_stat_activity a
where a.application_name like $1 and a.pid <> $2 and a.datname = pg_catalog.current_database()
  and a.usename = session_user and a.query like '%repack%'
"""
_CLEAN = "select repack.repack_drop($1::int8::oid, $2::int4)"
