"""What the server does to us: refused, hung, cut, slow, restarted, promoted."""

from __future__ import annotations

import time

import asyncpg

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from collectors.postgresql.observer import PostgresObserver
from tests.fixtures.clients import connected
from tests.fixtures.observing import observing, probes, values
from tests.fixtures.proxy import NewProxy
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

LONG = probes(
    """
long:
  sql: select {columns} from pg_catalog.generate_series(1, 20000) g
  rows_max: 100000
  labels: {n: "g::text"}
  values: {v: {metric: own_long, kind: gauge, help: h, sql: "g::float8"}}
"""
)


async def test_a_wrong_password_is_named_and_tried_three_times_a_minute(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    await server.psql("create role mon login password 'right'")
    async with observing(server, user="mon", password={"text": "c4n4ry-wrong"}) as observer:
        first = await observer.up()
        for _ in range(40):
            await observer.up()
            observer._sessions._backoff._next = min(observer._sessions._backoff._next, time.monotonic() + 0.2)
            if observer._sessions._backoff._refused.maxlen == len(observer._sessions._backoff._refused):
                break
    attempts = server.log.read_text().count("password authentication failed")

    assert first.failure is not None
    assert first.failure.cause == "credentials"
    assert "28P01" in first.failure.message
    assert "c4n4ry" not in first.failure.message
    assert attempts <= 3


async def test_an_unknown_database_is_named(postgres15: ScratchPostgres) -> None:
    async with observing(postgres15, dbname="nosuch") as observer:
        up = await observer.up()

    assert up.failure is not None
    assert up.failure.cause == "unreachable"
    assert '"nosuch" does not exist' in up.failure.message


async def test_nothing_listens_there() -> None:
    port = free_port()

    class Nowhere:
        def dsn(self) -> str:
            return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    async with observing(Nowhere()) as observer:
        up = await observer.up()

    assert up.failure is not None
    assert up.failure.cause == "unreachable"
    assert str(port) in up.failure.message


async def test_a_server_that_accepts_and_never_answers_is_down_within_the_deadline(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    wire.stall()
    async with observing(wire, deadline_seconds=0.5) as observer:
        began = time.monotonic()
        up = await observer.up()
        took = time.monotonic() - began
        wire.heal()
        again = await until(lambda: _is_up(observer))

    assert up.failure is not None
    assert up.failure.cause == "timed_out"
    assert took < 3.0
    assert again


async def test_a_server_that_stops_answering_in_an_open_session(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    async with observing(wire, LONG, deadline_seconds=0.5) as observer:
        assert (await observer.up()).up
        wire.stall()
        down = await observer.up()
        wire.heal()
        await wire.cut()
        again = await until(lambda: _is_up(observer))

    assert down.failure is not None
    assert down.failure.cause == "timed_out"
    assert again


async def test_a_server_that_dies_in_mid_answer(postgres15: ScratchPostgres, proxy: NewProxy) -> None:
    wire = await proxy(postgres15)
    async with observing(wire, LONG) as observer:
        await observer.up()
        whole = await observer.run("long")
        wire.drop_after(50_000)
        broken = await observer.run("long")
        again = await until(lambda: _is_up(observer))
        after = await observer.run("long")

    assert len(values(whole, "own_long")) == 20000
    assert broken.failure is not None
    assert broken.failure.cause == "unreachable"
    assert broken.frames == ()
    assert again
    assert len(values(after, "own_long")) == 20000


async def test_a_restart_is_a_new_identity_and_no_down(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with observing(server) as observer:
        before = await observer.up()
        await server.restart()
        after = await observer.up()

    assert before.up
    assert after.up
    assert after.identity != before.identity


async def test_a_killed_server_is_down_at_once_and_back_when_it_is_back(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with observing(server) as observer:
        assert (await observer.up()).up
        await server.kill()
        down = await observer.up()
        await server.start()
        again = await until(lambda: _is_up(observer))

    assert down.failure is not None
    assert down.failure.cause == "unreachable"
    assert again


async def test_a_frozen_server_is_timed_out_and_no_session_piles_up(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with observing(server, deadline_seconds=0.3) as observer:
        assert (await observer.up()).up
        server.pause()
        causes = {(await observer.up()).failure.cause for _ in range(5)}  # type: ignore[union-attr]
        server.resume()
        again = await until(lambda: _is_up(observer))
        async with connected(server) as watcher:
            sessions = await until(lambda: _count(watcher), deadline=5)

    assert causes <= {"timed_out", "unreachable"}
    assert again
    assert sessions == 1


async def _count(watcher: asyncpg.Connection) -> int:
    count = await watcher.fetchval(
        "select count(*) from pg_stat_activity where application_name = 'database-architect'"
    )
    return count if count == 1 else 0


async def test_a_server_that_answers_slowly_twice_in_a_row_suffers_from_load(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    async with observing(wire) as observer:
        await observer.up()
        wire.delay(0.4)
        once, twice = await observer.up(), await observer.up()
        wire.delay(0)
        over = await observer.up()

    assert (once.distress, twice.distress, over.distress) == ("", "load", "")


async def test_a_server_that_misses_the_deadline_but_answers_keeps_its_session(
    new_postgres: NewPostgres, proxy: NewProxy
) -> None:
    server = await new_postgres(15)
    wire = await proxy(server)
    backend = "select pid from pg_stat_activity where application_name = 'database-architect'"
    async with connected(server) as watcher, observing(wire, deadline_seconds=0.5) as observer:
        first = await observer.up()
        before = await watcher.fetch(backend)
        wire.delay(0.6)
        late = await observer.up()
        wire.delay(0)
        over = await observer.up()
        after = await watcher.fetch(backend)

    assert first.distress == ""
    assert late.up
    assert late.distress == "load"
    assert late.identity == first.identity
    assert (over.up, over.distress) == (True, "")
    assert before == after
    assert len(after) == 1


async def test_a_look_that_a_deadline_cut_short_is_made_up_for(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    async with observing(wire, LONG, deadline_seconds=0.5) as observer:
        await observer.up()
        wire.delay(0.3)  # enough for one question, not for all that are asked anew
        observer._learned_at = -1e9
        cut = await observer.up()
        learned_at = observer._learned_at
        wire.delay(0)
        after = await observer.up()

    assert cut.up
    assert learned_at < 0
    assert after.up
    assert observer._learned_at > 0


async def test_a_promotion_changes_the_role_and_the_plan(new_postgres: NewPostgres) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(replica_of=primary)
    async with observing(replica) as observer:
        before = await observer.up()
        plan_before = {one.name for one in observer.plan()}
        await replica.promote()
        after = await observer.up()
        plan_after = {one.name for one in observer.plan()}

    assert (before.role, after.role) == ("replica", "primary")
    assert "wal_receiver" in plan_before - plan_after


async def _is_up(observer: PostgresObserver) -> bool:
    observer._sessions._backoff.succeeded()
    return (await observer.up()).up
