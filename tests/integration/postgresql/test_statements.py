"""pg_stat_statements on real servers: totals, resets, versions, schemas, roles, texts."""

from __future__ import annotations

import time
from typing import Any

import asyncpg
import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.errors import NotSupported
from collectors.model import Target
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.statement_columns import source
from collectors.postgresql.statement_memory import texts_of
from collectors.postgresql.statement_texts import StatementQueryId, StatementTexts
from collectors.postgresql.statements import Statements
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.runners import given, lacks, monitoring_session, probe_named, the
from tests.fixtures.servers import NewPostgres

CALLS = "pg_stat_statements_calls_total"
OTHER = ("", "", "other")


def target(name: str, most: int = 100) -> Target:
    return Target(name=name, engine="postgresql", options=PostgresOptions(statements_max=most))


@pytest.fixture
async def server(new_postgres: NewPostgres, request: pytest.FixtureRequest) -> ScratchPostgres:
    """A server with statistics of its own: they are counted here to the last call."""
    settings = {"shared_preload_libraries": "pg_stat_statements", "track_io_timing": "on"}
    return await new_postgres(getattr(request, "param", 15), settings=settings, prepared=True)


both = pytest.mark.parametrize("server", [15, 18], indirect=True, ids=lambda major: f"pg{major}")


async def run_times(connection: asyncpg.Connection, statements: dict[str, int]) -> None:
    for sql, times in statements.items():
        for _ in range(times):
            await connection.fetch(sql)


def ours(result: Any) -> dict[str, float]:
    return {key[2]: value for key, value in given(result, CALLS).items()}


@both
async def test_exported_and_other_grow_by_what_the_server_counted(server: ScratchPostgres) -> None:
    runner = Statements(target("adds-up", 3), full_seconds=0)
    statements = {f"select {', '.join(['1'] * n)}": n for n in range(1, 9)}
    async with monitoring_session(server) as session, connected(server) as connection:
        # The first run begins the rest, the next ones let our own queries become steady members.
        for _ in range(6):
            await run_times(connection, statements)
            before = ours(await runner.run(session))
        for _ in range(4):
            await run_times(connection, statements)
            after = ours(await runner.run(session))
            assert len(after) == 4
            if after.keys() == before.keys():
                grown = sum(after.values()) - sum(before.values())
                # Beside these: two queries of each run (its statements and its state), and names at times.
                assert sum(statements.values()) <= grown <= sum(statements.values()) + 3
            before = after


@both
async def test_between_full_runs_only_the_exported_ones_are_read(server: ScratchPostgres) -> None:
    runner = Statements(target("between", 3), full_seconds=3600, cheap_entries=0, first_full_runs=1)
    busy = {f"select {', '.join(['1'] * n)}": 20 * n for n in range(1, 9)}
    async with monitoring_session(server) as session, connected(server) as connection:
        await run_times(connection, busy)
        first = await runner.run(session)
        await run_times(connection, dict.fromkeys(busy, 5))
        second = await runner.run(session)
        assert ours(second).keys() == ours(first).keys()
        grown = {key: ours(second)[key] - ours(first)[key] for key in ours(first)}
        assert grown.pop("other") == 0
        assert max(grown.values()) == 5
        assert the(second, "pg_stat_statements_entries") == the(first, "pg_stat_statements_entries") > 8
        assert second.dropped == first.dropped > 0

        gone = int(next(key for key in ours(first) if key != "other"))
        await connection.execute("select pg_stat_statements_reset(0, 0, $1)", gone)
        third = await runner.run(session)
        # A member that is gone has the whole table read: whoever took its place is shown, nothing is lost.
        assert str(gone) not in ours(third)
        assert ours(third)["other"] > 0


@both
async def test_every_column_of_this_version_is_a_sample_with_the_exporters_names(
    server: ScratchPostgres,
) -> None:
    async with monitoring_session(server) as session, connected(server) as connection:
        await connection.execute(
            "create table t as select g id, md5(g::text) v from generate_series(1, 5000) g"
        )
        await connection.fetch("select count(*) from t")
        queryid = await connection.fetchval(
            "select queryid from pg_stat_statements where query = 'select count(*) from t'"
        )
        detailed = PostgresOptions(statements_detail=True)
        result = await Statements(Target(name="columns", engine="postgresql", options=detailed)).run(session)
        truth = await connection.fetchrow(
            "select calls, total_exec_time, shared_blks_hit + shared_blks_read as blocks from pg_stat_statements where queryid = $1",
            queryid,
        )
        key = ("postgres", "postgres", str(queryid))
        assert given(result, CALLS)[key] == truth["calls"] == 1
        assert given(result, "pg_stat_statements_seconds_total")[key] == pytest.approx(
            truth["total_exec_time"] / 1000
        )
        assert given(result, "pg_stat_statements_rows_total")[key] == 1
        hit = given(result, "pg_stat_statements_shared_blocks_hit_total")[key]
        assert hit + given(result, "pg_stat_statements_shared_blocks_read_total")[key] == truth["blocks"]
        assert key in given(result, "pg_stat_statements_block_read_seconds_total")
        assert key in given(result, "pg_stat_statements_block_write_seconds_total")
        known = {metric.name for frame in result.frames for metric in frame.metrics}
        asked = source(session.facts)
        newest = {
            "pg_stat_statements_wal_buffers_full_total",
            "pg_stat_statements_parallel_workers_planned_total",
        }
        assert newest <= known if server.binaries.major == 18 else not newest & known
        assert (asked.layout.since >= 0) == (server.binaries.major >= 17)


@both
async def test_a_reset_gives_no_negative_and_no_absurd_rest(server: ScratchPostgres) -> None:
    runner = Statements(target("reset", 2), full_seconds=0)
    async with monitoring_session(server) as session, connected(server) as connection:
        await run_times(connection, {"select 1": 50, "select 1, 2": 30, "select 1, 2, 3": 20})
        await runner.run(session)
        await run_times(connection, {"select 1": 5, "select 1, 2": 5, "select 1, 2, 3": 5})
        first = ours(await runner.run(session))["other"]
        await connection.execute("select pg_stat_statements_reset()")
        await run_times(connection, {"select 1": 2, "select 1, 2": 2, "select 1, 2, 3": 2})
        result = await runner.run(session)
        assert first <= ours(result)["other"] <= first + 20
        assert the(result, "pg_stat_statements_reset_timestamp_seconds") == pytest.approx(time.time(), abs=60)


@both
async def test_a_restart_begins_anew_without_a_jump(server: ScratchPostgres) -> None:
    runner = Statements(target("restart", 1), full_seconds=0)
    async with monitoring_session(server) as session, connected(server) as connection:
        await run_times(connection, {"select 1": 50, "select 1, 2": 30})
        await runner.run(session)
    await server.restart()
    async with monitoring_session(server) as session, connected(server) as connection:
        assert ours(await runner.run(session))["other"] == 0
        await run_times(connection, {"select 1, 2": 3})
        assert 0 < ours(await runner.run(session))["other"] < 15


async def test_evictions_are_counted_and_do_no_harm(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"pg_stat_statements.max": "100"}, prepared=True)
    runner = Statements(target("evictions", 20), full_seconds=0)
    last = 0.0
    async with monitoring_session(server) as session, connected(server) as connection:
        for step in range(6):
            for n in range(60):
                await connection.fetch(f"select {', '.join(['1'] * (step * 60 + n + 1))}")
            result = await runner.run(session)
            other = ours(result)["other"]
            assert last <= other <= last + 120
            assert len(ours(result)) <= 21
            last = other
        assert the(result, "pg_stat_statements_evictions_total") > 0
        assert the(result, "pg_stat_statements_entries_max") == 100
        assert the(result, "pg_stat_statements_entries") <= 100


async def test_an_extension_older_than_the_server_gives_what_it_has(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server, template="template0")
    async with connected(server, database) as connection:
        await connection.execute('create schema "Odd ""one"')
        await connection.execute('create extension pg_stat_statements version \'1.4\' schema "Odd ""one"')
        for version in ("1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10"):
            await connection.execute(f"alter extension pg_stat_statements update to '{version}'")
            await connection.fetch("select 42")
            async with monitoring_session(server, database) as session:
                assert session.facts.extensions["pg_stat_statements"].version == version
                result = await Statements(target(f"old-{version}")).run(session)
            assert max(given(result, CALLS).values()) >= 1, version
            assert given(result, "pg_stat_statements_seconds_total"), version
            has_wal = any(
                metric.name.endswith("wal_bytes_total") for frame in result.frames for metric in frame.metrics
            )
            assert has_wal == (version in ("1.8", "1.9", "1.10"))


@both
async def test_a_bare_role_sees_its_own_and_is_told_how_many_are_hidden(
    server: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(server)
    async with connected(server) as connection:
        await run_times(connection, {"select 1, 2": 30})
    async with monitoring_session(server, login=login) as session:
        await session.fetch("select 7")
        result = await Statements(target("bare")).run(session)
    assert {key[0] for key in given(result, CALLS)} == {login.user, ""}
    assert the(result, "pg_stat_statements_hidden_entries") > 0


async def test_without_the_extension_the_probe_is_not_chosen(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server, template="template0")
    async with monitoring_session(server, database) as session:
        assert lacks(session, probe_named("statements", "statements")) == "extension:pg_stat_statements"


async def test_a_library_that_is_not_loaded_is_said_to_be_unsupported(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"shared_preload_libraries": ""})
    async with connected(server) as connection:
        await connection.execute("create extension pg_stat_statements")
    async with monitoring_session(server) as session:
        with pytest.raises(NotSupported, match="shared_preload_libraries"):
            await Statements(target("unloaded")).run(session)


@both
async def test_the_keys_stay_the_same_object_and_dropped_databases_have_a_name(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.fetch("select 'in a database that goes'")
    await server.psql(f"drop database {database} with (force)")
    runner = Statements(target("keys"))
    async with monitoring_session(server) as session:
        for _ in range(4):
            first = (await runner.run(session)).frames[0].keys
        assert (await runner.run(session)).frames[0].keys is first
    assert any(key[1].startswith("unknown (OID=") for key in first)


async def known_texts(
    server: ScratchPostgres, name: str, database: str = "postgres"
) -> tuple[list[str], Any]:
    where = target(name)
    statements, texts, labels = Statements(where), StatementTexts(where), StatementQueryId(where)
    async with monitoring_session(server, database) as session:
        await statements.run(session)
        result = await texts.run(session)
        info = await labels.run(session)
    assert the(result, "pg_stat_statements_texts_known") == len(texts_of(where))
    return list(texts_of(where).values()), info


@both
async def test_texts_are_fetched_once_cut_and_without_secrets(server: ScratchPostgres) -> None:
    async with connected(server) as connection:
        await connection.fetch("select   1\n\t+ 41 as answer")
        await connection.fetch(f"select {', '.join(['1'] * 1500)}")
        await connection.execute("create role keeper password 'hunter2-canary'")
        await connection.execute("do $x$ begin perform 'canary-in-a-block'; end $x$")
    texts, info = await known_texts(server, f"texts-{server.binaries.major}")
    assert "select $1 + $2 as answer" in texts
    assert max(map(len, texts)) <= 1000
    assert not [text for text in texts if "canary" in text]
    assert any("create role keeper" in text for text in texts)
    assert max(len(key[1]) for key in given(info, "pg_stat_statements_query_id")) <= 120


async def test_a_text_is_not_asked_for_twice(server: ScratchPostgres) -> None:
    where, now = target("once"), [0.0]
    statements, texts = Statements(where), StatementTexts(where, now=lambda: now[0])
    reads = "select coalesce(sum(calls), 0)::int8 from public.pg_stat_statements(true) where query like '%distinct on%'"
    async with monitoring_session(server) as session:
        await statements.run(session)
        await texts.run(session)
        for _ in range(8):  # until the statements of this test itself are known
            now[0] += 60
            await statements.run(session)
            await texts.run(session)
        before = (await session.fetch(reads))[0][0]
        await statements.run(session)
        now[0] += 60
        await texts.run(session)
        await statements.run(session)
        now[0] += 60
        await texts.run(session)
        assert (await session.fetch(reads))[0][0] <= before + 1


async def test_bytes_that_are_no_text_lose_no_counter(server: ScratchPostgres) -> None:
    await server.psql(
        "create database bytes encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'"
    )
    await server.psql("create extension pg_stat_statements", "bytes")
    # psql sends back what the server gave it: a statement that is no text in any encoding we know.
    made = "select 'select 1 as \"caf' || convert_from('\\xe9', 'SQL_ASCII') || '\"' \\gexec"
    await server.psql(f"set client_encoding to sql_ascii;\n{made}\n", "bytes")
    # In a database with an encoding, PostgreSQL itself refuses to show any text beside this one.
    async with monitoring_session(server) as session:
        where = target("bytes-utf8")
        statements = Statements(where)
        assert len(ours(await statements.run(session))) > 1
        with pytest.raises(Exception, match="invalid byte sequence"):
            await StatementTexts(where).run(session)
    # In one without, all are there.
    texts, _ = await known_texts(server, "bytes-ascii", "bytes")
    assert any("caf\N{REPLACEMENT CHARACTER}" in text for text in texts)
