"""Probes that have nothing to say on most days: maintenance under way, logical replication."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase
from tests.fixtures.declared import Asked, asking
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until


@contextlib.asynccontextmanager
async def under_way(connection: asyncpg.Connection, statement: str) -> AsyncIterator[None]:
    """Run a statement beside the body, and cancel it at the end."""
    running = asyncio.ensure_future(connection.execute(statement))
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, asyncpg.PostgresError):
            await running


async def test_a_vacuum_under_way_is_seen_with_its_phase_and_its_table(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table big with (autovacuum_enabled = false) as select g, repeat('x', 500) from generate_series(1, 20000) g;"
        "delete from big where g % 2 = 0",
        database,
    )
    async with (
        connected(any_postgres, database) as worker,
        asking(any_postgres, database) as asked,
        asking(any_postgres) as elsewhere,
    ):
        await worker.execute("set vacuum_cost_delay = 100; set vacuum_cost_limit = 1")
        oid = await worker.fetchval("select 'big'::regclass::oid::text")
        async with under_way(worker, "vacuum big"):
            labels = {"datname": database, "relname": "public.big"}

            async def scanning() -> bool:
                phase = await asked.value(
                    "progress_vacuum_phase", "pg_stat_progress_vacuum_phase", phase="scanning heap", **labels
                )
                return phase == 1

            await until(scanning)
            blocks = await asked.value("progress_vacuum", "pg_stat_progress_vacuum_heap_blks", **labels)
            assert blocks > 1000
            assert (
                await asked.value("progress_vacuum", "pg_stat_progress_vacuum_num_dead_tuples", **labels) >= 0
            )
            phases = await asked.values("progress_vacuum_phase", "pg_stat_progress_vacuum_phase", **labels)
            assert sorted(phases) == [0, 0, 0, 0, 0, 0, 1]
            labels["relname"] = oid
            assert (
                await elsewhere.value("progress_vacuum", "pg_stat_progress_vacuum_heap_blks", **labels)
                == blocks
            )


async def test_a_copy_and_an_index_build_under_way_are_seen(
    postgres18: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres18)
    await postgres18.psql(
        "create function slow(n int) returns int immutable language plpgsql as"
        " 'begin perform pg_sleep(0.05); return n; end'; create table t as select g from generate_series(1, 5000) g",
        database,
    )
    async with connected(postgres18, database) as worker, asking(postgres18, database) as asked:

        async def names(command: str) -> set[str]:
            frame = await asked.frame("progress")
            return {
                dict(one.labels)["relname"]
                for one in frame.samples()
                if dict(one.labels)["command"] == command
            }

        async with under_way(worker, "create index on t (slow(g))"):

            async def building() -> bool:
                return await names("create index") == {"public.t"}

            await until(building)
        async with connected(postgres18, database) as copier:
            slowly = "copy (select slow(g) from t) to '/dev/null'"
            async with under_way(copier, slowly):

                async def copying() -> bool:
                    return await names("copy to") == {""}

                await until(copying)


@pytest.fixture(scope="module", params=(15, 18))
async def subscribed(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[ScratchPostgres]:
    """A server of which database `sub` subscribes to database `pub` by a slot of its own."""
    server = await servers.get(request.param)
    await server.psql("create database logical_pub")
    await server.psql("create database logical_sub")
    try:
        await server.psql("create table t (id int primary key); insert into t values (1)", "logical_pub")
        await server.psql("create publication p for table t", "logical_pub")
        # Made beforehand: within one server, making it as part of the subscription would wait for itself.
        await server.psql("select pg_create_logical_replication_slot('own_slot', 'pgoutput')", "logical_pub")
        await server.psql("create table t (id int primary key)", "logical_sub")
        await server.psql(
            f"create subscription s connection '{server.dsn('logical_pub')}' publication p"
            " with (create_slot = false, slot_name = 'own_slot')",
            "logical_sub",
        )
        yield server
    finally:
        with contextlib.suppress(Exception):
            await server.psql("alter subscription s disable", "logical_sub")
            await server.psql("alter subscription s set (slot_name = none)", "logical_sub")
            await server.psql("drop subscription s", "logical_sub")
        await server.psql("drop database if exists logical_sub with (force)")
        await until(
            lambda: server.psql("select 1 where not exists (select from pg_replication_slots where active)")
        )
        await server.psql("select pg_drop_replication_slot('own_slot')")
        await server.psql("drop database if exists logical_pub with (force)")


async def test_a_subscription_is_seen_from_both_ends(subscribed: ScratchPostgres) -> None:
    async with asking(subscribed, "logical_sub") as asked:

        async def in_step() -> bool:
            pending = await asked.value("subscription_tables", "pg_subscription_tables_pending", subname="s")
            return pending == 0 and await streams(asked)

        await until(in_step)
        assert await asked.value("subscription_tables", "pg_subscription_tables", subname="s") == 1
        labels = {"subname": "s", "datname": "logical_sub"}
        assert await asked.value("subscription", "pg_subscription_enabled", **labels) == 1
        assert await asked.value("subscription", "pg_stat_subscription_apply_running", **labels) == 1
        assert await asked.value("subscription", "pg_stat_subscription_received_lsn_bytes", **labels) > 0
        errors = await asked.value(
            "subscription_errors", "pg_stat_subscription_apply_errors_total", subname="s"
        )
        assert errors == 0
        await subscribed.psql("insert into t values (7)", "logical_sub")
        await subscribed.psql("insert into t values (7)", "logical_pub")

        async def failed() -> bool:
            metric = "pg_stat_subscription_apply_errors_total"
            return (await asked.value("subscription_errors", metric, subname="s") or 0) > 0

        await until(failed)
        await subscribed.psql("delete from t where id = 7", "logical_sub")


async def streams(asked: Asked) -> bool:
    """Tell whether the logical slot is in use and its sender is seen."""
    active = await asked.value(
        "slots", "pg_replication_slots_active", slot_name="own_slot", plugin="pgoutput"
    )
    sent = await asked.values("replication", "pg_stat_replication_pg_wal_lsn_diff", slot_name="own_slot")
    return active == 1 and len(sent) == 1
