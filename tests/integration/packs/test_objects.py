"""Tables, indexes, extensions and statements that are not what they were, with days passed in seconds."""

from __future__ import annotations

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court, Watched
from tests.fixtures.databases import NewDatabase
from tests.fixtures.proofs import caused, replayed

PACK = "postgresql-objects"
TABLE = {"schemaname": "public", "relname": "t"}
LAG = "replication_lag"


@pytest.fixture
async def database(spare: ScratchPostgres, fresh_database: NewDatabase) -> str:
    """A database with a table of which most was deleted, and an index on it that nobody uses."""
    name = await fresh_database(spare, template="template0")
    await spare.psql(
        "create table t (a int, b text); insert into t select n, n::text from generate_series(1, 60000) n",
        name,
    )
    await spare.psql("create index t_a on t (a)", name)
    await spare.psql("delete from t where a % 10 > 0", name)
    await spare.psql("vacuum analyze t", name)
    return name


def watch(court: Court, server: ScratchPostgres, *databases: str) -> Watched:
    """Look into these databases only."""
    return court.watch(server, dbname=databases[0], databases={"include": list(databases)})


@replayed("PostgresqlTableBloat", "PostgresqlIndexBloat")
async def test_bloat_of_a_table_and_its_index_are_told_when_it_is_much(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    watched = watch(court, spare, database)
    await watched.look("bloat", LAG)
    court.hold(62)
    assert court.names() == set()
    table = {"datname": database, **TABLE}
    index = {**table, "indexrelname": "t_a"}
    # The shares are real; the bytes are those of a table a thousand times as large.
    watched.move("pg_table_bloat_bytes", by=1e9, where=table)
    watched.move("pg_index_bloat_bytes", by=1e9, where=index)
    court.hold(62)
    assert court.told("PostgresqlTableBloat") == [watched.labels(severity="warning", **table)]
    assert court.told("PostgresqlIndexBloat") == [watched.labels(severity="warning", **index)]
    assert court.names() == {"PostgresqlTableBloat", "PostgresqlIndexBloat"}


@replayed("PostgresqlDatabaseGrows")
async def test_a_database_that_grew_by_a_fifth_in_a_day_is_told(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    watched = watch(court, spare, database)
    await watched.look("database_sizes", LAG)
    size, here = "pg_database_size_bytes", {"datname": database}
    watched.move(size, by=20e9, where=here)
    court.hold(25 * 60, step_seconds=240)
    assert court.names() == set()
    watched.move(size, by=12e9, where=here)
    court.hold(16)
    assert court.told("PostgresqlDatabaseGrows") == [watched.labels(severity="info", **here)]


@replayed("PostgresqlIndexUnused")
async def test_an_index_that_nobody_used_for_a_month_is_told(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    watched = watch(court, spare, database)
    await watched.look("indexes_unused", LAG)
    index = {"datname": database, **TABLE, "indexrelname": "t_a"}
    watched.move("pg_index_unused_bytes", by=2e8, where=index)
    court.hold(26 * 24 * 60, step_seconds=6 * 3600)
    court.hold(20)
    assert court.names() == set()
    court.hold(3 * 24 * 60, step_seconds=6 * 3600)
    court.hold(20)
    assert court.told("PostgresqlIndexUnused") == [watched.labels(severity="info", **index)]


@caused("PostgresqlExtensionUpdate")
async def test_an_extension_of_an_older_version_is_told(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    await spare.psql("create extension pg_stat_statements version '1.9'", database)
    watched = watch(court, spare, database)
    await watched.look("extensions", LAG)
    court.hold(62)
    (told,) = court.told("PostgresqlExtensionUpdate")
    assert told.items() >= watched.labels(severity="info", datname=database).items()
    assert "pg_stat_statements" in told.values()
    assert court.names() == {"PostgresqlExtensionUpdate"}


@replayed("PostgresqlStatementSlower")
async def test_a_statement_that_takes_three_times_its_time_is_told(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    await spare.psql("create extension pg_stat_statements", database)
    await spare.psql("select pg_stat_statements_reset()", database)
    watched = watch(court, spare, database)
    async with connected(spare, database) as session:
        for _ in range(5):
            await session.execute("select count(*), 'slower' as mark from t where b like '%7%'")
        query = await session.fetchval(
            "select queryid::text from pg_stat_statements where query ~ 'as mark from t' and query !~ 'queryid'"
        )
    await watched.look("statements", LAG)
    this = {"queryid": query}
    # Called every five seconds, 200 ms each time; a day later 700 ms.
    watched.move("pg_stat_statements_calls_total", per_second=0.2, where=this)
    watched.move("pg_stat_statements_seconds_total", per_second=0.04, where=this)
    court.hold(27 * 60, step_seconds=300)
    court.hold(20)
    assert court.names() == set()
    watched.move("pg_stat_statements_seconds_total", per_second=0.1, where=this)
    court.hold(45)
    (told,) = court.told("PostgresqlStatementSlower")
    assert told.items() >= watched.labels(severity="warning", **this).items()


@caused("PostgresqlStatementsEvicted")
async def test_statements_that_push_each_other_out_are_told(
    court: Court, spare: ScratchPostgres, database: str
) -> None:
    await spare.restart({"pg_stat_statements.max": "100"})
    await spare.psql("create extension pg_stat_statements", database)
    watched = watch(court, spare, database)
    async with connected(spare, database) as session:
        for storm in range(6):
            for number in range(80):
                await session.execute(f"create temp table s{storm}_{number} (a int)")
                await session.execute(f"drop table s{storm}_{number}")
            await watched.look("statements", LAG)
            assert storm > 4 or court.names() == set()
            court.hold(19, step_seconds=60)
    assert court.told("PostgresqlStatementsEvicted") == [watched.labels(severity="info")]
