"""The pack pgbouncer, judging what a real pgBouncer shows while something is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from actions.scratch.pgbouncer import ScratchPgbouncer
from actions.scratch.postgres import ScratchPostgres
from collectors.engine import Observer
from collectors.model import Target
from collectors.pgbouncer import ENGINE
from tests.fixtures.clients import connected
from tests.fixtures.judging import Judged
from tests.fixtures.proofs import caused
from tests.fixtures.waiting import until

PROBES = ("pools", "databases", "stats", "lists", "config")
POOL = {"target": "pooler", "database": "postgres", "user": "postgres"}


def watch(pool: ScratchPgbouncer) -> Observer:
    options = {
        "host": pool.host,
        "port": pool.port,
        "user": pool.admin,
        "password": {"text": pool.password},
    }
    known = ENGINE.options.model_validate(options)
    return ENGINE.observe(Target(name="pooler", engine="pgbouncer", options=known, deadline_seconds=3), ())


async def look(judged: Judged, observer: Observer) -> None:
    assert (await observer.up()).up
    judged.see([await observer.run(probe) for probe in PROBES], target="pooler")


@pytest.fixture
async def pool(
    pgbouncer: Callable[..., Awaitable[ScratchPgbouncer]], postgres15: ScratchPostgres
) -> ScratchPgbouncer:
    return await pgbouncer(postgres15, settings={"default_pool_size": "1", "max_client_conn": "5"})


@pytest.fixture
async def observer(pool: ScratchPgbouncer) -> AsyncIterator[Observer]:
    one = watch(pool)
    yield one
    await one.close()


async def ended(waiting: asyncio.Task[Any]) -> None:
    """Wait for a query whose connection was cut, or which got through after all."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await waiting


@contextlib.asynccontextmanager
async def holding_the_pool(pool: ScratchPgbouncer) -> AsyncIterator[Any]:
    async with connected(pool) as client:
        transaction = client.transaction()
        await transaction.start()
        await client.execute("select 1")
        yield client
        await transaction.rollback()


async def test_a_pool_at_rest_is_well(pool: ScratchPgbouncer, observer: Observer) -> None:
    judged = Judged("pgbouncer", time.time())
    async with connected(pool) as client:
        await client.execute("select 1")
        await look(judged, observer)
    judged.hold(20)
    assert judged.firing() == {}


@caused("PgbouncerWaiting", "PgbouncerPoolExhausted")
async def test_clients_that_wait_for_a_used_up_pool_are_told_with_database_and_user(
    pool: ScratchPgbouncer, observer: Observer
) -> None:
    judged = Judged("pgbouncer", time.time())
    async with holding_the_pool(pool), connected(pool) as second:
        waiting = asyncio.create_task(second.execute("select 2"))
        await asyncio.sleep(1.3)
        await look(judged, observer)
        judged.hold(0.5)
        assert judged.firing() == {}
        judged.hold(6)
        found = judged.firing()
        assert found["PgbouncerWaiting"] == [{**POOL, "severity": "warning"}]
        assert found["PgbouncerPoolExhausted"] == [{**POOL, "severity": "warning"}]
        assert "PgbouncerNoServer" not in found
    await ended(waiting)

    async def over() -> bool:
        # On a busy machine the pool is not free at the very moment at which its clients have gone.
        await look(judged, observer)
        judged.hold(1)
        return judged.firing() == {}

    await until(over, every=0.5)


@caused("PgbouncerNoServer")
async def test_a_server_that_is_gone_is_told_by_the_clients_that_wait_for_it(
    pgbouncer: Callable[..., Awaitable[ScratchPgbouncer]],
    new_postgres: Callable[..., Awaitable[ScratchPostgres]],
) -> None:
    server = await new_postgres()
    pool = await pgbouncer(server)
    observer, judged = watch(pool), Judged("pgbouncer", time.time())
    async with connected(pool) as client:
        await client.execute("select 1")
        await server.kill()
        waiting = asyncio.create_task(client.execute("select 2"))
        await asyncio.sleep(1)
        await look(judged, observer)
        judged.hold(1.5)
        assert judged.firing()["PgbouncerNoServer"] == [{**POOL, "severity": "critical"}]
    await observer.close()
    await ended(waiting)


@caused("PgbouncerPaused", "PgbouncerDisabled")
async def test_a_paused_and_a_disabled_database_are_named(pool: ScratchPgbouncer, observer: Observer) -> None:
    judged = Judged("pgbouncer", time.time())
    async with connected(pool) as client:
        await client.execute("select 1")
    async with connected(pool, "pgbouncer") as console:
        await console.execute("PAUSE postgres")
        await console.execute("DISABLE postgres")
        await look(judged, observer)
        judged.hold(7)
        for alert in ("PgbouncerPaused", "PgbouncerDisabled"):
            (labels,) = judged.firing()[alert]
            assert {"target": "pooler", "name": "postgres", "severity": "warning"}.items() <= labels.items()
        await console.execute("ENABLE postgres")
        await console.execute("RESUME postgres")
    await look(judged, observer)
    judged.hold(1)
    assert judged.firing() == {}


@caused("PgbouncerClientsNearLimit")
async def test_few_client_connections_left_are_told(pool: ScratchPgbouncer, observer: Observer) -> None:
    judged = Judged("pgbouncer", time.time())
    await look(judged, observer)
    async with contextlib.AsyncExitStack() as clients:
        for _ in range(4):
            client = await clients.enter_async_context(connected(pool))
            await client.execute("select 1")
        await look(judged, observer)
        judged.hold(3)
    expected = [{"target": "pooler", "severity": severity} for severity in ("warning", "critical")]
    assert judged.firing()["PgbouncerClientsNearLimit"] == expected


@caused("PgbouncerRestarted")
async def test_a_restart_is_told_once_its_counters_began_anew(pool: ScratchPgbouncer) -> None:
    judged = Judged("pgbouncer", time.time())
    for queries in (9, 2):
        observer = watch(pool)
        async with connected(pool) as client:
            for _ in range(queries):
                await client.execute("select 1")
        await look(judged, observer)
        judged.hold(3)
        await observer.close()
        await pool.stop()
        await pool.start()
    assert judged.firing()["PgbouncerRestarted"] == [{"target": "pooler", "severity": "info"}]
    judged.hold(12)
    assert judged.firing() == {}
