"""What a workload does to a server: reads past its cache, rollbacks, temporary files, checkpoints, WAL, damage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court, Watched
from tests.fixtures.databases import NewDatabase
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.replicating import write_wal
from tests.fixtures.waiting import until

BYTES = "pg_stat_wal_bytes_total"
TEMP = "pg_stat_database_temp_bytes"
LOOP = "do $$ begin for n in 1..{} loop perform 1; {}; end loop; end $$"


def about(watched: Watched, told: list[dict[str, str]], **labels: str) -> None:
    """There is one alert, and it has these labels."""
    (one,) = told
    assert one.items() >= watched.labels(**labels).items(), one


async def flush(session: asyncpg.Connection) -> None:
    """Let a session hand over what it has counted; one that touches no table would keep it."""
    await session.execute("select count(*) from pg_class")
    await session.execute("select pg_stat_force_next_flush() from pg_class limit 1")


@caused("PostgresqlCacheHitLow")
async def test_reading_past_the_cache_is_told_while_it_goes_on(
    court: Court, spare: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    await spare.restart({"shared_buffers": "1MB"})
    database = await fresh_database(spare, template="template0")
    watched = court.watch(spare, databases={"include": ["postgres"]})
    async with connected(spare, database) as session:
        await session.execute("create table wide (t text) with (fillfactor = 10)")
        await session.execute("insert into wide select repeat('x', 500) from generate_series(1, 11000)")
        for _ in range(12):
            await session.execute("select count(*) from wide")
            await flush(session)
            await watched.look()
            court.hold(2)
        about(watched, court.told("PostgresqlCacheHitLow"), severity="warning", datname=database)
    assert court.names() == {"PostgresqlCacheHitLow"}
    court.hold(12)
    assert court.names() == set()


@caused("PostgresqlRollbackRatioHigh")
async def test_rollbacks_are_told_when_they_are_more_than_usual(
    court: Court, spare: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(spare, template="template0")
    watched = court.watch(spare, databases={"include": ["postgres"]})
    async with connected(spare, database) as session:
        await session.execute("select 1")
        await watched.look()
        before = watched.value("pg_stat_database_xact_commit", datname=database)
        await session.execute(LOOP.format(20_000, "commit"))
        await session.execute(LOOP.format(200, "rollback"))
        await flush(session)
        await watched.look()
        assert watched.value("pg_stat_database_xact_commit", datname=database) >= before + 20_000
        # The rest of six and a half hours goes on at this pace.
        watched.move("pg_stat_database_xact_commit", per_second=20, where={"datname": database})
        watched.move("pg_stat_database_xact_rollback", per_second=0.2, where={"datname": database})
        court.hold(390, step_seconds=240)
        assert court.names() == set()
        for _ in range(11):
            await session.execute(LOOP.format(600, "rollback"))
            await flush(session)
            await watched.look()
            court.hold(2)
        about(watched, court.told("PostgresqlRollbackRatioHigh"), severity="warning", datname=database)
    assert court.names() == {"PostgresqlRollbackRatioHigh"}


@replayed("PostgresqlTempFiles")
async def test_temporary_files_are_told_by_database(
    court: Court, spare: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(spare, template="template0")
    watched = court.watch(spare, databases={"include": ["postgres"]})
    async with connected(spare, database) as session:
        await watched.look()
        court.hold(2)
        await session.execute("set work_mem = '64kB'")
        await session.execute(
            "select count(*) from (select md5(n::text) from generate_series(1, 300000) n order by 1) one"
        )
        await flush(session)
    await watched.look()
    written = watched.value(TEMP, datname=database)
    assert written > 5_000_000
    court.hold(12)
    assert court.names() == set()
    # The same query, 200 times in ten minutes.
    watched.move(TEMP, per_second=200 * written / 600, where={"datname": database})
    court.hold(21)
    about(watched, court.told("PostgresqlTempFiles"), severity="info", datname=database)
    assert court.names() == {"PostgresqlTempFiles"}


@caused("PostgresqlCheckpointsTooFrequent")
async def test_checkpoints_before_their_time_are_told(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    await watched.look()
    for _ in range(8):
        await write_wal(spare, 1)
        await spare.psql("checkpoint")
        await watched.look()
        court.hold(2)
    assert court.told("PostgresqlCheckpointsTooFrequent") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlCheckpointsTooFrequent"}


@replayed("PostgresqlWalSurge")
async def test_a_surge_of_wal_is_told_against_its_own_past(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    await watched.look()
    before = watched.value(BYTES)
    await write_wal(spare, 20)
    await watched.look()
    written = watched.value(BYTES) - before
    assert written > 20_000_000
    # So much every minute, for six and a half hours, and then thirty times as much.
    watched.move(BYTES, per_second=written / 60)
    court.hold(390, step_seconds=240)
    assert court.names() == set()
    watched.move(BYTES, per_second=29 * written / 60)
    court.hold(22)
    assert court.told("PostgresqlWalSurge") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlWalSurge"}


@caused("PostgresqlChecksumFailures")
async def test_a_flipped_byte_is_told_with_its_database(
    court: Court, spare: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(spare, template="template0")
    watched = court.watch(spare, databases={"include": ["postgres"]})
    async with connected(spare, database) as session:
        await session.execute("create table t as select generate_series(1, 1000) n")
        path = spare.data / await session.fetchval("select pg_relation_filepath('t')")
    await spare.psql("checkpoint")
    await watched.look()
    court.hold(1)
    assert court.names() == set()
    await spare.stop()
    await asyncio.to_thread(_flip, path, 5000)
    await spare.start()
    said = await spare.psql(
        "do $$ begin perform count(*) from t; exception when others then raise notice '%', sqlerrm; end $$",
        database,
    )
    assert said == ""
    seen = f"select 1 from pg_stat_database where datname = '{database}' and checksum_failures > 0"
    await until(lambda: spare.psql(seen))
    await watched.look()
    court.hold(0.5)
    about(watched, court.told("PostgresqlChecksumFailures"), severity="critical", datname=database)
    assert court.names() == {"PostgresqlChecksumFailures", "PostgresqlRestarted"}
    court.hold(300, step_seconds=240)
    assert court.names() == {"PostgresqlChecksumFailures"}


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))
