"""The server that is watched: 1,004 tables, 3,003 indexes, 5,000 statements, and a load in the background."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg

from actions.scratch.binaries import Binaries, find_binaries
from actions.scratch.errors import NotInstalled
from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from actions.scratch.process import ServerProcess

DATABASE = "app"
TABLES = 1000
STATEMENTS = 5000
_SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "10000",
    "pg_stat_statements.track_planning": "on",
}
_SCHEMA = """
CREATE EXTENSION pg_stat_statements;
DO $$ BEGIN
  FOR i IN 1..%d LOOP
    EXECUTE format('create table t%%s(id int primary key, a int, b int, c text, ts timestamptz default now())',
                   lpad(i::text, 4, '0'));
    EXECUTE format('create index on t%%s(a)', lpad(i::text, 4, '0'));
    EXECUTE format('create index on t%%s(b, ts)', lpad(i::text, 4, '0'));
    EXECUTE format('insert into t%%s select g, g%%%%7, g%%%%13, md5(g::text) from generate_series(1, 50) g',
                   lpad(i::text, 4, '0'));
    IF i %% 100 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$;
ANALYZE;
"""


@dataclass(slots=True)
class Workload:
    """The server with everything in it."""

    server: ScratchPostgres
    admin: asyncpg.Connection
    passwords: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    async def role(self, name: str) -> str:
        """Make a role with pg_monitor and nothing else; return its password."""
        password = self.passwords[name] = secrets.token_urlsafe(12)
        await self.admin.execute(f"create role {name} login password '{password}' in role pg_monitor")
        return password


async def debian15() -> Binaries:
    for one in await find_binaries():
        if one.origin == "debian" and one.major == 15:
            return one
    raise NotInstalled("the benchmark measures on Debian's PostgreSQL 15: sudo apt-get install postgresql-15")


@contextlib.asynccontextmanager
async def workload(place: Place) -> AsyncIterator[Workload]:
    """Give the server with its schema, its statements, and `pgbench -c4 -R50` running."""
    binaries = await debian15()
    async with ScratchPostgres(
        binaries, place=place, name="bench", settings=_SETTINGS, deadline=180.0
    ) as server:
        await server.psql(f"CREATE DATABASE {DATABASE}")
        await server.psql(_SCHEMA % TABLES, DATABASE)
        await _pgbench(server, place, "-i", "-q", "-s", "10", wait=True)
        await _statements(server)
        # Otherwise autovacuum works through the new tables for minutes, and every plan is made anew.
        await server.psql("VACUUM ANALYZE", DATABASE)
        await server.psql("CHECKPOINT")
        load = await _pgbench(server, place, "-c4", "-j1", "-R50", "-T", "86400", "-n")
        admin = await asyncpg.connect(server.dsn(DATABASE))
        made = Workload(server, admin)
        made.counts = dict((await admin.fetch(_COUNTS))[0])
        try:
            yield made
        finally:
            await admin.close()
            await load.stop(signal.SIGTERM, 10.0)


_COUNTS = """
select (select count(*) from pg_class c where relkind = 'r' and oid >= 16384) as tables,
  (select count(*) from pg_class c where relkind = 'i' and oid >= 16384
    and relnamespace = 'public'::regnamespace) as indexes,
  (select count(*) from pg_stat_statements(false)) as statements,
  (select sum(length(query)) from pg_stat_statements) as statement_bytes
"""


async def _pgbench(server: ScratchPostgres, place: Place, *options: str, wait: bool = False) -> ServerProcess:
    process = await ServerProcess.start(
        server.binaries.bindir / "pgbench", *options, "-h", str(server.socket_directory),
        "-p", str(server.port), "-U", server.superuser, DATABASE,
        account=place.account, cwd=server.socket_directory, log=server.socket_directory / "pgbench.log",
    )  # fmt: skip
    if wait and not await process.wait(180.0):
        raise RuntimeError(f"pgbench -i did not end: {process.last_words()}")
    return process


async def _statements(server: ScratchPostgres) -> None:
    """Run some thousand different statements, of 1 kB on average, always the same ones."""
    rng = random.Random(1)
    connection = await asyncpg.connect(server.dsn(DATABASE), statement_cache_size=0)
    try:
        for number in range(STATEMENTS):
            table = f"t{rng.randrange(TABLES) + 1:04d}"
            columns = ", ".join(rng.sample(["id", "a", "b", "c", "ts"], 3))
            extra = " and ".join(f"a<>{one}" for one in range(rng.randrange(1, 120)))
            await connection.execute(
                f"select {columns}, count(*) as n{number} from {table} where {extra}"
                f" group by {columns} order by n{number} limit 5"
            )
            if number % 500 == 0:
                await asyncio.sleep(0)
    finally:
        await connection.close()
