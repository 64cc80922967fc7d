"""What a role may see, what a server has, and how it is named: all of it is collected, and the rest is named."""

from __future__ import annotations

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.observing import observing, probes, values
from tests.fixtures.servers import NewPgbouncer, NewPostgres

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
