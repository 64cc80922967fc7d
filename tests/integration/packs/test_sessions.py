"""Sessions that are too many, stay too long, or keep others waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import asyncpg

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court
from tests.fixtures.databases import NewLogin
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.waiting import until

RATIO = "pg_connections_used_ratio"


@contextlib.asynccontextmanager
async def beginning(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Let statements run or wait beside the test; what becomes of them is of no interest."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@caused("PostgresqlConnectionsRising", "PostgresqlConnectionsHigh", "PostgresqlConnectionsNearlyExhausted")
async def test_connections_that_run_out_are_told_in_three_steps(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    await watched.look()
    court.hold(2)
    assert court.names() == set()
    told: list[set[str]] = []
    async with contextlib.AsyncExitStack() as sessions:
        for share in (0.76, 0.81, 0.91):
            while watched.value(RATIO) <= share:
                await sessions.enter_async_context(connected(spare))
                await watched.look()
            court.hold(2.5)
            told.append(court.names())
        rising, high = "PostgresqlConnectionsRising", "PostgresqlConnectionsHigh"
        assert told == [{rising}, {rising, high}, {rising, high, "PostgresqlConnectionsNearlyExhausted"}]
        assert court.told(rising) == [watched.labels(severity="info")]
        assert court.told(high) == [watched.labels(severity="warning")]
        assert court.told("PostgresqlConnectionsNearlyExhausted") == [watched.labels(severity="critical")]
    await until(lambda: spare.psql("select 1 where (select count(*) from pg_stat_activity) < 15"))
    await watched.look()
    court.hold(0.5)
    assert court.names() == set()


@caused("PostgresqlDatabaseConnectionsHigh", "PostgresqlRoleConnectionsHigh")
async def test_a_database_and_a_role_near_their_own_limits_are_named(
    court: Court, spare: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(spare)
    await spare.psql(f"alter role {login.user} connection limit 5")
    await spare.psql("create database narrow connection limit 5")
    watched = court.watch(spare)
    async with contextlib.AsyncExitStack() as sessions:
        for _ in range(5):
            await sessions.enter_async_context(
                connected(spare, "narrow", user=login.user, password=login.password)
            )
        await watched.look()
        court.hold(2.5)
    expected = watched.labels(severity="warning", datname="narrow")
    assert court.told("PostgresqlDatabaseConnectionsHigh") == [expected]
    expected = watched.labels(severity="warning", rolname=login.user)
    assert court.told("PostgresqlRoleConnectionsHigh") == [expected]
    assert court.names() == {"PostgresqlDatabaseConnectionsHigh", "PostgresqlRoleConnectionsHigh"}
    await spare.psql("drop database narrow with (force)")


@replayed(
    "PostgresqlLongQuery",
    "PostgresqlLongTransaction",
    "PostgresqlIdleInTransaction",
    "PostgresqlPreparedTransactionForgotten",
    "PostgresqlXminHorizonHeld",
)
async def test_what_stays_open_for_long_is_told_as_it_grows_old(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    async with connected(spare) as reader, connected(spare) as idle:
        await idle.execute("set application_name = 'forgetful'; begin; select txid_current()")
        await spare.psql("begin; select txid_current(); prepare transaction 'left alone'")
        await spare.psql(
            "do $$ begin for n in 1..10100 loop perform txid_current(); commit; end loop; end $$"
        )
        async with beginning(reader.execute("select pg_sleep(30)")):
            await until(lambda: spare.psql("select 1 from pg_stat_activity where wait_event = 'PgSleep'"))
            await watched.look()
    await spare.psql("rollback prepared 'left alone'")
    watched.age(
        "pg_longest_query_seconds",
        "pg_longest_idle_in_transaction_seconds",
        "pg_prepared_transactions_oldest_seconds",
        "pg_xmin_horizon_holder_seconds",
    )
    forgetful = {"application_name": "forgetful"}
    watched.move("pg_stat_activity_max_tx_duration", per_second=1, where=forgetful)
    court.hold(4)
    assert court.names() == set()
    court.hold(2)
    own = watched.labels(severity="warning")
    assert court.told("PostgresqlLongQuery") == [own]
    assert court.told("PostgresqlIdleInTransaction") == [own]
    assert court.names() == {"PostgresqlLongQuery", "PostgresqlIdleInTransaction"}
    court.hold(10)
    assert court.told("PostgresqlPreparedTransactionForgotten") == [own]
    court.hold(15)
    who = {**forgetful, "usename": "postgres", "datname": "postgres"}
    assert court.told("PostgresqlLongTransaction") == [{**own, **who}]
    assert "PostgresqlXminHorizonHeld" not in court.names()
    court.hold(30)
    (held,) = court.told("PostgresqlXminHorizonHeld")
    assert held.items() >= {**own, "holds": "tables", "kind": "idle_in_transaction"}.items(), held


@caused("PostgresqlSessionsBlocked", "PostgresqlExclusiveLockQueue")
@replayed("PostgresqlLockQueueHead", "PostgresqlLockPileUp")
async def test_a_lock_queue_is_told_with_its_head_and_its_length(
    court: Court, spare: ScratchPostgres
) -> None:
    await spare.psql("create table wanted (id int)")
    watched = court.watch(spare)
    async with contextlib.AsyncExitStack() as sessions:
        head = await sessions.enter_async_context(connected(spare))
        await head.execute("set application_name = 'holder'; begin; lock table wanted in access share mode")
        others = [await sessions.enter_async_context(connected(spare)) for _ in range(11)]
        alone = others[0].execute("begin; lock table wanted in access exclusive mode; commit")
        async with beginning(alone):
            await until(lambda: blocked(spare, 1))
            readers = [each.execute("select count(*) from wanted") for each in others[1:]]
            async with beginning(*readers):
                await until(lambda: blocked(spare, 11))
                await watched.look()
                await head.execute("rollback")
                await until(lambda: blocked(spare, 0))
    watched.age("pg_blocking_head_longest_wait_seconds", "pg_blocking_longest_wait_seconds")
    court.hold(0.5)
    assert court.names() == set()
    court.hold(0.5)
    own = watched.labels(severity="warning")
    assert court.told("PostgresqlExclusiveLockQueue") == [own]
    court.hold(0.5)
    assert court.told("PostgresqlSessionsBlocked") == [own]
    (found,) = court.told("PostgresqlLockQueueHead")
    assert found == {**own, "application_name": "holder", "usename": "postgres", "datname": "postgres"}
    court.hold(1)
    assert court.told("PostgresqlLockPileUp") == [watched.labels(severity="critical")]
    watched.rest()
    await watched.look()
    court.hold(0.5)
    assert court.names() == set()
    await spare.psql("drop table wanted")


async def blocked(server: ScratchPostgres, sessions: int) -> bool:
    waiting = await server.psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    return int(waiting) == sessions


@caused("PostgresqlDeadlocks")
async def test_deadlocks_are_told_with_their_database(court: Court, spare: ScratchPostgres) -> None:
    await spare.psql("create table pair (id int primary key, v int); insert into pair values (1, 0), (2, 0)")
    await spare.reload({"deadlock_timeout": "20ms"})
    watched = court.watch(spare)
    await watched.look()
    court.hold(3)
    async with connected(spare) as one, connected(spare) as two:
        for _ in range(7):
            for session, row in ((one, 1), (two, 2)):
                await session.execute(f"begin; update pair set v = 1 where id = {row}")
            both = (
                one.execute("update pair set v = 2 where id = 2"),
                two.execute("update pair set v = 2 where id = 1"),
            )
            answers = await asyncio.gather(*both, return_exceptions=True)
            assert any(isinstance(each, asyncpg.DeadlockDetectedError) for each in answers)
            await asyncio.gather(one.execute("rollback"), two.execute("rollback"))
    await until(
        lambda: spare.psql("select 1 from pg_stat_database where datname = 'postgres' and deadlocks >= 7")
    )
    await watched.look()
    court.hold(0.5)
    (told,) = court.told("PostgresqlDeadlocks")
    assert told.items() >= watched.labels(severity="warning", datname="postgres").items()
    assert court.names() == {"PostgresqlDeadlocks"}
    await spare.psql("drop table pair")


@caused("PostgresqlLockTableNearlyFull")
async def test_locks_without_end_are_told(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    async with connected(spare) as session:
        await session.execute("select count(pg_advisory_lock(n)) from generate_series(1, 1900) n")
        await watched.look()
        court.hold(2.5)
    assert court.told("PostgresqlLockTableNearlyFull") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlLockTableNearlyFull"}
