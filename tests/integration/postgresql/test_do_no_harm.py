"""The sessions we hold cannot hurt the server: few, read-only, never long in a lock queue, cancelled in time."""

from __future__ import annotations

import asyncio
import time

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.observing import observing, probes, values
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

OURS = "select count(*) from pg_stat_activity where application_name = 'database-architect' and usename = $1"
SETTINGS = probes(
    """
hygiene:
  sql: |
    select {columns}
  values:
    read_only: {metric: own_read_only, kind: gauge, help: h, sql: "(current_setting('transaction_read_only') = 'on')::int"}
    lock_timeout: {metric: own_lock_timeout, kind: gauge, help: h, sql: "(current_setting('lock_timeout') = '250ms')::int"}
    statement_timeout: {metric: own_statement_timeout, kind: gauge, help: h, sql: "(current_setting('statement_timeout') = '5s')::int"}
    idle: {metric: own_idle_timeout, kind: gauge, help: h, sql: "(current_setting('idle_in_transaction_session_timeout') = '10s')::int"}
    path: {metric: own_path, kind: gauge, help: h, sql: "(current_setting('search_path') = 'pg_catalog')::int"}
"""
)
SLEEPER = probes(
    """
sleeper:
  within: 500ms
  sql: select 1 as n from pg_catalog.pg_sleep(30)
  values: {n: {metric: own_sleeper, kind: gauge, help: h}}
"""
)
LOCKED = probes(
    """
counted:
  sql: select count(*) as n from public.precious
  values: {n: {metric: own_counted_rows, kind: gauge, help: h}}
"""
)
EVERYWHERE = probes(
    """
everywhere:
  scope: database
  sql: select {columns}
  labels: {datname: "current_database()::text"}
  values: {n: {metric: own_visits, kind: gauge, help: h, sql: "1"}}
"""
)


async def test_every_session_is_read_only_and_bounded(postgres15: ScratchPostgres) -> None:
    async with observing(postgres15, SETTINGS) as observer:
        await observer.up()
        seen = await observer.run("hygiene")

        for name in ("read_only", "lock_timeout", "statement_timeout", "idle_timeout", "path"):
            assert values(seen, f"own_{name}") == {(): 1}, name


async def test_a_hostile_search_path_of_our_role_changes_nothing(
    postgres15: ScratchPostgres, monitor_role: NewLogin, fresh_database: NewDatabase
) -> None:
    login = await monitor_role(postgres15)
    database = await fresh_database(postgres15)
    await postgres15.psql(
        "create schema trap; grant usage on schema trap to public;"
        "create view trap.pg_stat_activity as select 1/0 as boom; grant select on trap.pg_stat_activity to public;"
        "create function trap.pg_is_in_recovery() returns boolean language sql as 'select 1/0 = 1';"
        f"alter role {login.user} in database {database} set search_path = trap, pg_catalog",
        database,
    )
    async with observing(
        postgres15, user=login.user, password={"text": login.password}, dbname=database
    ) as observer:
        up = await observer.up()
        failures = [(await observer.run(info.name, database)).failure for info in observer.plan()]

    assert up.up
    assert [one for one in failures if one] == []


async def test_twenty_databases_are_all_visited_with_three_sessions(
    postgres15: ScratchPostgres, monitor_role: NewLogin, fresh_database: NewDatabase
) -> None:
    login = await monitor_role(postgres15)
    names = {await fresh_database(postgres15) for _ in range(20)}
    most, visited = 0, set()
    async with (
        connected(postgres15) as watcher,
        observing(postgres15, EVERYWHERE, user=login.user, password={"text": login.password}) as observer,
    ):
        await observer.up()
        for database in observer.databases():
            seen = await observer.run("everywhere", database)
            visited |= {key[0] for key in values(seen, "own_visits")}
            most = max(most, await watcher.fetchval(OURS, login.user))

    assert names <= visited
    assert 1 < most <= 3


async def test_two_lanes_at_once_share_one_session_in_one_database(postgres15: ScratchPostgres) -> None:
    async with observing(postgres15, EVERYWHERE) as observer:
        await observer.up()
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(observer.run("everywhere", "postgres"))
                group.create_task(observer.up())

        assert observer.sessions == 1


async def test_a_deadline_cancels_on_the_server_within_two_seconds(
    postgres15: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(postgres15)
    async with (
        connected(postgres15) as watcher,
        observing(postgres15, SLEEPER, user=login.user, password={"text": login.password}) as observer,
    ):
        await observer.up()
        began = time.monotonic()
        seen = await observer.run("sleeper")
        took = time.monotonic() - began
        asleep = await watcher.fetchval(
            "select count(*) from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'", login.user
        )
        up = await observer.up()

    assert seen.failure is not None
    assert seen.failure.cause == "timed_out"
    assert "took longer than 0.5 s" in seen.failure.message
    assert took < 2.0
    assert asleep == 0
    assert up.up


async def test_a_locked_relation_costs_a_quarter_of_a_second_and_up_does_not_notice(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres15)
    await postgres15.psql("create table precious (id int)", database)
    async with (
        connected(postgres15, database) as holder,
        connected(postgres15, database) as waiter,
        observing(postgres15, LOCKED, dbname=database) as observer,
    ):
        await observer.up()
        await holder.execute("begin; lock table precious in access exclusive mode")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(waiter.execute("begin; lock table precious in access exclusive mode"))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            seen = await observer.run("counted")
            took = time.monotonic() - began
            up = await observer.up()
            others = [
                (await observer.run(one.name, database)) for one in observer.plan() if one.name != "counted"
            ]
            waiting.cancel()

    assert seen.failure is not None
    assert seen.failure.cause == "locked"
    assert 0.2 < took < 1.0
    assert up.up
    assert [one.failure for one in others if one.failure] == []


async def test_one_of_the_last_free_slots_is_not_taken(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"max_connections": "12", "superuser_reserved_connections": "3"})
    await server.psql("create database other; create role mon login password 'm'; grant pg_monitor to mon")
    async with observing(server, EVERYWHERE, user="mon", password={"text": "m"}) as observer:
        await observer.up()
        async with connected(server), connected(server), connected(server), connected(server):
            await until(lambda: observer.sessions == 1)
            seen = await observer.run("everywhere", "other")

    assert seen.failure is not None
    assert seen.failure.cause == "no_free_session"
    assert "free sessions are left" in seen.failure.message


async def test_a_full_server_is_named_as_that(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"max_connections": "8", "superuser_reserved_connections": "3"})
    await server.psql("create role mon login password 'm'; grant pg_monitor to mon")
    async with (
        connected(server, user="mon", password="m"),
        connected(server, user="mon", password="m"),
        connected(server, user="mon", password="m"),
    ):
        async with connected(server, user="mon", password="m"), connected(server, user="mon", password="m"):
            async with observing(server, user="mon", password={"text": "m"}) as observer:
                up = await observer.up()

    assert up.failure is not None
    assert up.failure.cause == "no_free_session"


async def test_nothing_we_do_writes_or_assigns_a_transaction_id(postgres15: ScratchPostgres) -> None:
    async with connected(postgres15) as watcher, observing(postgres15) as observer:
        await observer.up()
        before = await watcher.fetchval("select txid_snapshot_xmax(txid_current_snapshot())")
        for info in observer.plan():
            await observer.run(info.name, "postgres")
        after = await watcher.fetchval("select txid_snapshot_xmax(txid_current_snapshot())")

    assert after == before
