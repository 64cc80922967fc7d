"""What the server does to us: refused, hung, cut, restarted, promoted, less allowed than before."""

from __future__ import annotations

import time

import asyncpg
import pytest

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from collectors.postgresql.observer import PostgresObserver
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.observing import observing, probes, values
from tests.fixtures.proxy import NewProxy
from tests.fixtures.servers import NewPgbouncer, NewPostgres
from tests.fixtures.waiting import until

ADMIN_ONLY = probes(
    """
forbidden:
  sql: select count(*) as n from pg_catalog.pg_authid
  values: {n: {metric: own_forbidden, kind: gauge, help: h}}
"""
)
NAMES = probes(
    """
names:
  sql: select {columns} from pg_catalog.pg_class c where c.relname ~ '^zz'
  labels: {relname: "c.relname::text"}
  values: {n: {metric: own_names, kind: gauge, help: h, sql: "1"}}
"""
)
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


async def test_a_denied_probe_is_asked_once_and_named(
    postgres15: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    denied = "permission denied for table pg_authid"
    before = postgres15.log.read_text().count(denied)
    async with observing(
        postgres15, ADMIN_ONLY, user=login.user, password={"text": login.password}
    ) as observer:
        await observer.up()
        causes = {(await observer.run("forbidden")).failure.cause for _ in range(10)}  # type: ignore[union-attr]
        reasons = [one.reason for one in observer.rejections() if one.probe == "forbidden"]

    assert causes == {"denied"}
    assert postgres15.log.read_text().count(denied) - before == 1
    assert len(reasons) == 1
    assert reasons[0].startswith("denied: ")


async def test_a_bare_role_gets_unknown_and_never_zero(
    postgres15: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    async with (
        connected(postgres15) as other,
        observing(postgres15, user=login.user, password={"text": login.password}) as observer,
    ):
        await other.execute("select 1")
        assert (await observer.up()).up
        observations = [await observer.run(info.name, "postgres") for info in observer.plan()]
        masked = [
            sample
            for one in observations
            for frame in one.frames
            for sample in frame.samples()
            if sample.name == "pg_stat_activity_count"
        ]

    assert [one.failure for one in observations if one.failure and one.failure.cause != "denied"] == []
    assert masked == []
    assert any("role:pg_monitor" in one.reason for one in observer.rejections())


async def test_an_extension_that_comes_and_goes_is_noticed_without_a_restart(
    new_postgres: NewPostgres,
) -> None:
    server = await new_postgres(15)
    async with observing(server) as observer:
        await observer.up()
        before = {one.name for one in observer.plan()}
        await server.psql("create extension pg_stat_statements")
        observer._learned_at = -1e9
        await observer.up()
        during = {one.name for one in observer.plan()}
        await server.psql("drop extension pg_stat_statements")
        gone = await observer.run("statements")
        await observer.up()
        after = {one.name for one in observer.plan()}

    assert "statements" in during - before
    assert gone.failure is not None
    assert gone.failure.cause == "unsupported"
    assert "statements" not in after


async def test_through_a_pooler_in_transaction_mode_everything_is_collected(
    postgres15: ScratchPostgres, monitor_role: NewLogin, pgbouncer: NewPgbouncer
) -> None:
    login = await monitor_role(postgres15)
    pool = await pgbouncer(postgres15, users={login.user: login.password}, pool_mode="transaction")
    async with observing(pool, user=login.user, password={"text": login.password}) as observer:
        up = await observer.up()
        failures = {}
        for _ in range(3):
            for info in observer.plan():
                seen = await observer.run(info.name, "postgres")
                if seen.failure:
                    failures[info.name] = seen.failure

    assert up.up
    assert up.details == {"pooled": "true"}
    assert failures == {}


@pytest.mark.parametrize(
    "name",
    [
        'zz"; DROP TABLE x; --', "zz'", 'zz"', "zz\\", "zz%s", "zz{}", "zz$1", "zz\n", "zz\t", "zz" + "x" * 61,
        "zz\N{SNAKE}", "zz\N{RIGHT-TO-LEFT MARK}", "zz ", "zzselect", "zzMixed", "zz=,{}\"'",
    ],
)  # fmt: skip
async def test_hostile_object_names_arrive_as_they_are(
    postgres15: ScratchPostgres, fresh_database: NewDatabase, name: str
) -> None:
    database = await fresh_database(postgres15)
    quoted = name.replace('"', '""')
    async with connected(postgres15, database) as maker:
        await maker.execute(
            f'create table "{quoted}" (id int primary key); insert into "{quoted}" values (1)'
        )
    async with observing(postgres15, NAMES, dbname=database) as observer:
        await observer.up()
        seen = values(await observer.run("names"), "own_names")
        failures = [
            one.failure
            for info in observer.plan()
            if (one := await observer.run(info.name, database)).failure
        ]

    assert (name,) in seen
    assert failures == []


async def test_names_that_are_no_text_at_all_do_not_stop_the_probe(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = f"{await fresh_database(postgres15)}_a"
    await postgres15.psql(f"create database {database} encoding 'SQL_ASCII' template template0 locale 'C'")
    try:
        async with connected(postgres15, database, server_settings={"client_encoding": "SQL_ASCII"}) as maker:
            await maker.execute(
                "do $$ begin execute format('create table %I (id int)', 'zz' || chr(233)); end $$"
            )
        async with observing(postgres15, NAMES, dbname=database) as observer:
            assert (await observer.up()).up
            seen = values(await observer.run("names"), "own_names")
            failures = [
                one.failure
                for info in observer.plan()
                if (one := await observer.run(info.name, database)).failure
            ]
    finally:
        await postgres15.psql(f"drop database {database} with (force)")

    assert list(seen) == [("zz\N{REPLACEMENT CHARACTER}",)]
    assert failures == []


async def _is_up(observer: PostgresObserver) -> bool:
    observer._sessions._backoff.succeeded()
    return (await observer.up()).up


ORDERS = probes(
    """
orders:
  scope: database
  needs: [public.orders]
  sql: select {columns} from public.orders
  labels: {datname: "current_database()::text"}
  values: {n: {metric: own_orders, kind: gauge, help: h, sql: "count(*)"}}
"""
)


async def test_a_table_of_the_users_own_is_counted_where_it_is_and_no_failure_elsewhere(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    shop, empty = await fresh_database(postgres15), await fresh_database(postgres15)
    await postgres15.psql("create table orders (id int); insert into orders values (1), (2)", shop)
    async with observing(postgres15, ORDERS, databases={"include": [shop, empty]}) as observer:
        await observer.up()
        there = await observer.run("orders", shop)
        elsewhere = await observer.run("orders", empty)
        reasons = [one.reason for one in observer.rejections() if one.probe == "orders"]

    assert values(there, "own_orders") == {(shop,): 2}
    assert elsewhere.failure is None
    assert elsewhere.frames == ()
    assert reasons == [f"the server has no public.orders (in {empty})"]
