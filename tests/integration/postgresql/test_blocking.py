"""Blocking trees on real servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.runners import given, lacks, monitoring_session, probe_named, runner_of, the
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


@contextlib.asynccontextmanager
async def waiting(
    server: ScratchPostgres, database: str, statements: list[str], name: str = "app"
) -> AsyncIterator[list[asyncpg.Connection]]:
    """Run statements in sessions of their own, one after the other, that all have to wait."""
    async with contextlib.AsyncExitStack() as stack:
        connections, tasks = [], []
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for statement in statements:
            connection = await stack.enter_async_context(
                connected(server, database, server_settings={"application_name": name})
            )
            connections.append(connection)
            tasks.append(group.create_task(quiet(connection, statement)))
            await until(lambda: blocked(server, database, len(tasks)))
        try:
            yield connections
        finally:
            for task in tasks:
                task.cancel()


async def quiet(connection: asyncpg.Connection, statement: str) -> None:
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.execute(statement)


async def blocked(server: ScratchPostgres, database: str, number: int) -> bool:
    found = await server.psql(
        f"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = '{database}'"
    )
    return int(found) == number


async def look(server: ScratchPostgres, login: Any = None) -> Any:
    async with monitoring_session(server, login=login) as session:
        return await runner_of("blocking", "blocking").run(session)


async def test_with_nobody_waiting_all_is_zero_and_one_query_is_enough(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    async with monitoring_session(server, login=await monitor_role(server)) as session:
        assert not lacks(session, probe_named("blocking", "blocking"))
        asked: list[str] = []
        fetch = session.fetch

        async def spying(sql: str, *args: Any) -> Any:
            asked.append(sql)
            return await fetch(sql, *args)

        session.fetch = spying  # type: ignore[method-assign]
        result = await runner_of("blocking", "blocking").run(session)
    assert len(asked) == 1
    assert the(result, "pg_blocked_sessions") == 0
    assert the(result, "pg_blocking_depth") == 0
    assert result.distress == ""


async def test_the_head_of_a_queue_is_named_with_everybody_it_holds_up(
    server: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    database = await fresh_database(server)
    async with connected(server, database, server_settings={"application_name": "culprit"}) as head:
        await head.execute("create table t as select 1 as id")
        transaction = head.transaction()
        await transaction.start()
        await head.fetch("select * from t")
        statements = ["alter table t add column x int", "select * from t", "select count(*) from t"]
        async with waiting(server, database, statements):
            await asyncio.sleep(0.3)
            result = await look(server, await monitor_role(server))
            await transaction.rollback()
    key = (database, "postgres", "culprit", "idle in transaction")
    assert the(result, "pg_blocked_sessions") == 3
    assert the(result, "pg_blocking_heads") == 1
    assert the(result, "pg_blocking_depth") == 2
    assert given(result, "pg_blocking_head_blocked_sessions") == {key: 3}
    assert 0.3 <= the(result, "pg_blocking_longest_wait_seconds") < 30
    assert given(result, "pg_blocking_head_longest_wait_seconds")[key] >= 0.3
    assert given(result, "pg_blocking_head_transaction_seconds")[key] >= 0.3
    assert the(result, "pg_blocking_exclusive_queue_sessions") == 2
    assert result.distress == ""


async def test_a_prepared_transaction_is_named_as_the_head(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.execute("create table t as select 1 as id")
        await connection.execute("begin; lock table t; prepare transaction 'left over'")
    async with waiting(server, database, ["select * from t"]):
        result = await look(server)
        await server.psql("rollback prepared 'left over'", database)
    assert given(result, "pg_blocking_head_blocked_sessions") == {("", "", "", "prepared transaction"): 1}


async def test_ten_waiting_sessions_are_distress(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    async with connected(server, database) as head:
        await head.execute("create table t as select 1 as id")
        transaction = head.transaction()
        await transaction.start()
        await head.execute("update t set id = 2")
        async with waiting(server, database, ["update t set id = 3"] * 10):
            result = await look(server)
            await transaction.rollback()
    assert result.distress == "lock_waits"
    assert the(result, "pg_blocked_sessions") == 10
    assert sum(given(result, "pg_blocking_head_blocked_sessions").values()) == 10


async def test_a_bare_role_is_refused_with_the_right_it_lacks(
    server: ScratchPostgres, bare_role: NewLogin
) -> None:
    async with monitoring_session(server, login=await bare_role(server)) as session:
        assert lacks(session, probe_named("blocking", "blocking")) == "role:pg_read_all_stats"
        assert lacks(session, probe_named("horizon", "xmin_horizon")) == "role:pg_read_all_stats"
