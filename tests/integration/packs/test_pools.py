"""A pgBouncer that is down, paused, at a limit, or whose logins hang."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

from actions.scratch.pgbouncer import ScratchPgbouncer
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Frame, Target
from collectors.pgbouncer.tables import STATE
from collectors.registry import engines
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court, Watched
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.waiting import until

PACK = "pgbouncer"
NewPool = Callable[..., Awaitable[ScratchPgbouncer]]


def watch(court: Court, pool: ScratchPgbouncer) -> Watched:
    """Watch a pgBouncer over its console."""
    options = {
        "host": pool.host, "port": pool.port, "user": pool.admin, "password": {"text": pool.password},
    }  # fmt: skip
    known = engines()["pgbouncer"].options.model_validate(options)
    return court.watch_target(Target(name="pooler", engine="pgbouncer", options=known, deadline_seconds=3))


@caused("PgbouncerDown")
@replayed("PgbouncerNotActive")
async def test_a_pooler_that_is_paused_and_then_killed_is_told(
    court: Court, pgbouncer: NewPool, spare: ScratchPostgres
) -> None:
    pool = await pgbouncer(spare)
    watched = watch(court, pool)
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    async with connected(pool, "pgbouncer") as console:
        await console.execute("PAUSE")
        await watched.look()
        if not watched.rows("pgbouncer_state"):
            # Versions before 1.19 do not say it; what newer ones say is known.
            states = [("active",), ("paused",), ("suspended",)]
            watched.give("state", Frame((STATE,), states, [[0, 1, 0]]))
        court.hold(2.5)
        (told,) = court.told("PgbouncerNotActive")
        assert told.items() >= watched.labels(severity="warning").items()
        assert told["state"] == "paused"
    await pool.kill()
    await watched.look()
    court.hold(1.5)
    assert court.told("PgbouncerDown") == [watched.labels(severity="critical")]
    await pool.start()


@caused("PgbouncerDatabaseNearLimit")
async def test_a_database_at_its_limit_of_server_connections_is_told(
    court: Court, pgbouncer: NewPool, spare: ScratchPostgres
) -> None:
    pool = await pgbouncer(spare, settings={"max_db_connections": "2", "default_pool_size": "2"})
    watched = watch(court, pool)
    async with connected(pool) as one, connected(pool) as two:
        for client in (one, two):
            await client.execute("begin")
        await watched.look()
        court.hold(5.5)
    (told,) = court.told("PgbouncerDatabaseNearLimit")
    assert told.items() >= watched.labels(severity="warning", database="postgres").items()


@caused("PgbouncerServerLoginSlow")
async def test_a_server_that_does_not_answer_logins_is_told(
    court: Court, pgbouncer: NewPool, spare: ScratchPostgres
) -> None:
    pool = await pgbouncer(spare)
    watched = watch(court, pool)
    spare.pause()
    try:
        client = asyncio.create_task(_ask(pool))
        await until(lambda: _logs_in(watched))
        court.hold(1.5)
    finally:
        spare.resume()
    pool_of = {"database": "postgres", "user": "postgres"}
    assert court.told("PgbouncerServerLoginSlow") == [watched.labels(severity="warning", **pool_of)]
    await client


async def _ask(pool: ScratchPgbouncer) -> None:
    async with connected(pool) as session:
        await session.execute("select 1")


async def _logs_in(watched: Watched) -> bool:
    await watched.look()
    return any(
        watched.value("pgbouncer_pools_server_login_connections", **row) > 0
        for row in watched.rows("pgbouncer_pools_server_login_connections")
    )


@caused("PgbouncerClientLoginSlow")
async def test_clients_that_do_not_finish_their_login_are_told(
    court: Court, pgbouncer: NewPool, spare: ScratchPostgres
) -> None:
    pool = await pgbouncer(spare)
    watched = watch(court, pool)
    words = b"user\0postgres\0database\0postgres\0\0"
    async with contextlib.AsyncExitStack() as sockets:
        for _ in range(12):
            reader, writer = await asyncio.open_connection(pool.host, pool.port)
            sockets.callback(writer.close)
            writer.write(struct.pack("!II", len(words) + 8, 196608) + words)
            assert await reader.read(1) == b"R"
        await watched.look()
        court.hold(2.5)
    assert court.told("PgbouncerClientLoginSlow") == [watched.labels(severity="warning")]
