"""What an acting session is sure of, and what it says when it is not."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from actions.errors import Fenced, NotDone, OutcomeUnknown
from actions.ports import Tag
from actions.postgresql.fence import application_name, tag_of
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.servers import NewPgbouncer, NewPostgres, Pair
from tests.fixtures.waiting import until

SLEEP = "select pg_catalog.pg_sleep(60)"


async def at_work(server: ScratchPostgres, execution: str) -> list[Any]:
    async with connected(server) as watcher:
        return await watcher.fetch(
            "select pid, state, query from pg_stat_activity where application_name like $1",
            f"dbarchitect/{execution}/%",
        )


def is_asleep(server: ScratchPostgres, execution: str) -> Any:
    async def look() -> bool:
        return any(
            row["state"] == "active" and "sleep" in row["query"] for row in await at_work(server, execution)
        )

    return look


async def test_it_says_which_server_database_and_role_this_is(any_postgres: ScratchPostgres) -> None:
    async with connected(any_postgres) as plain, acting(any_postgres) as session:
        identity = await session.identity()
        system = await plain.fetchval("select system_identifier::text from pg_control_system()")
        oid = await plain.fetchval("select oid::int8 from pg_database where datname = 'postgres'")
    assert (identity.system, identity.role, identity.timeline) == (system, "primary", 1)
    assert (identity.database, identity.database_id) == ("postgres", oid)
    assert session.version_num // 10000 == any_postgres.binaries.major


async def test_a_replica_says_that_it_is_one(postgres_pair: Pair) -> None:
    primary, replica = postgres_pair
    async with acting(primary) as one, acting(replica) as other:
        mine, theirs = await one.identity(), await other.identity()
    assert theirs.role == "replica"
    assert (mine.system, mine.timeline) == (theirs.system, theirs.timeline)


async def test_f53_a_promoted_server_has_another_timeline_at_once(new_postgres: NewPostgres) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(replica_of=primary)
    await replica.promote()
    async with acting(replica) as session:
        identity = await session.identity()
    assert (identity.role, identity.timeline) == ("primary", 2)


async def test_the_settings_are_ours_whatever_the_role_was_given(
    postgres15: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    await postgres15.psql(
        f"alter role {login.user} set search_path = public; alter role {login.user} set lock_timeout = '1h';"
        f"alter role {login.user} set standard_conforming_strings = off;"
        f"alter role {login.user} set default_transaction_read_only = on"
    )
    async with acting(postgres15, login=login) as session:
        rows = await session.fetch(
            "select name, setting from pg_settings where name = any($1) order by name",
            ["search_path", "lock_timeout", "standard_conforming_strings", "default_transaction_read_only"],
        )
    assert [row["setting"] for row in rows] == ["off", "500", "pg_catalog", "on"]


async def test_the_watching_role_plans_and_cannot_write(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, read_only=True) as session:
        assert session.read_only
        with pytest.raises(NotDone, match="25006"):
            await session.fetch("create table public.must_not_be (id int)")
        with pytest.raises(NotDone, match="only looks"):
            await session.run("vacuum pg_catalog.pg_class", within=5)


async def test_f51_a_pooler_between_us_and_the_server_is_refused(
    postgres15: ScratchPostgres, pgbouncer: NewPgbouncer, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    pool = await pgbouncer(postgres15, users={login.user: login.password})
    with pytest.raises(NotDone, match="a pooler"):
        async with acting(pool, login=login):
            pass


async def test_f51_nor_is_a_pooler_trusted_that_swallows_our_settings(
    postgres15: ScratchPostgres, pgbouncer: NewPgbouncer, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    ignored = (
        "default_transaction_read_only,search_path,statement_timeout,lock_timeout,row_security,jit,"
        "idle_in_transaction_session_timeout,default_transaction_isolation,default_transaction_deferrable,"
        "extra_float_digits"
    )
    pool = await pgbouncer(
        postgres15, users={login.user: login.password}, settings={"ignore_startup_parameters": ignored}
    )
    with pytest.raises(NotDone, match="a pooler stands between us"):
        async with acting(pool, login=login):
            pass


async def test_nobody_there_is_not_done(postgres15: ScratchPostgres, new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    await server.stop()
    with pytest.raises(NotDone) as caught:
        async with acting(server):
            pass
    assert caught.value.again
    login = type("Login", (), {"user": "nobody_at_all", "password": "wrong-and-secret"})
    with pytest.raises(NotDone) as caught:
        async with acting(postgres15, "no such database", login=login):
            pass
    assert "wrong-and-secret" not in str(caught.value)


async def test_a_statement_that_the_server_refuses_is_not_done(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15) as session:
        with pytest.raises(NotDone, match="42P01") as caught:
            await session.run("vacuum public.there_is_no_such_table", within=5)
        assert not caught.value.again
        with pytest.raises(NotDone, match="42601"):
            await session.run("select 1; select 2", within=5)
        assert (await session.run("select 7 as seven", within=5)).rows[0]["seven"] == 7


async def test_a_lock_that_is_not_to_be_had_may_be_tried_again(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres15)
    await postgres15.psql("create table public.t (id int)", database)
    async with connected(postgres15, database) as user, acting(postgres15, database) as session:
        async with user.transaction():
            await user.execute("lock table public.t")
            with pytest.raises(NotDone, match="55P03") as caught:
                await session.run("analyze public.t", within=30)
            assert caught.value.again
        await session.run("analyze public.t", within=30)


async def test_too_late_is_unknown_for_effects_and_not_done_for_reading(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15) as session:
        with pytest.raises(OutcomeUnknown, match="57014"):
            await session.run(SLEEP, within=0.2)
        with pytest.raises(NotDone, match="57014") as caught:
            await session.fetch(SLEEP, within=0.2)
        assert caught.value.again
        assert (await session.fetch("select 1 as one"))[0]["one"] == 1


async def test_cancelling_the_task_cancels_the_statement_at_the_server(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, execution="cancelled") as session:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(session.run(SLEEP, within=100))
            await until(is_asleep(postgres15, "cancelled"), 60)
            working.cancel()
        assert working.cancelled()
        assert not await is_asleep(postgres15, "cancelled")()
        assert (await session.fetch("select 1 as one"))[0]["one"] == 1


async def test_a_deadline_around_it_leaves_nothing_at_work(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, execution="late") as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.run(SLEEP, within=100)
        assert not await is_asleep(postgres15, "late")()


async def test_f08_a_connection_that_dies_in_mid_statement_is_unknown(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with acting(server, execution="killed") as session:

        async def kill() -> None:
            await until(is_asleep(server, "killed"), 60)
            os.kill(session.pid, signal.SIGTERM)

        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            with pytest.raises(OutcomeUnknown, match=r"57P01|08003|lost"):
                await session.run(SLEEP, within=100)
        assert session.closed
        with pytest.raises(NotDone, match="the session is gone"):
            await session.fetch("select 1")
        assert not await session.fenced()


async def test_a_warning_of_the_server_is_handed_over(
    postgres15: ScratchPostgres, fresh_database: NewDatabase, bare_role: NewLogin
) -> None:
    database = await fresh_database(postgres15)
    await postgres15.psql("create table public.t (id int)", database)
    login = await bare_role(postgres15)
    async with acting(postgres15, database, login=login) as session:
        ran = await session.run("vacuum public.t", within=30)
    assert [notice.severity for notice in ran.notices] == ["WARNING"]


async def test_one_session_at_a_time_in_a_scope(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, execution="a") as one, acting(postgres15, execution="b") as other:
        await one.fence("cluster:one/table:1.2", 1)
        assert await one.fenced()
        await other.fence("cluster:one/table:1.3", 1)
        with pytest.raises(Fenced, match=f"pid {one.pid} .dbarchitect/a/1"):
            await other.fence("cluster:one/table:1.2", 1)
        assert await one.fenced()


async def test_a_scope_is_one_in_all_databases(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres15)
    async with acting(postgres15) as one, acting(postgres15, database, execution="b") as other:
        await one.fence("cluster:two", 1)
        with pytest.raises(Fenced):
            await other.fence("cluster:two", 0.5)
        assert not await other.fenced()


async def test_an_orphan_of_an_older_epoch_is_ended(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, execution="old", epoch=4) as orphan:
        await orphan.fence("cluster:three", 1)
        async with acting(postgres15, execution="new", epoch=5) as successor:
            await successor.fence("cluster:three", 10)
            assert await successor.fenced()
        with pytest.raises((NotDone, OutcomeUnknown)):
            await orphan.fetch("select 1")


async def test_f07_a_newer_epoch_at_work_means_that_ours_is_over(postgres15: ScratchPostgres) -> None:
    async with acting(postgres15, execution="new", epoch=9) as newer:
        async with acting(postgres15, execution="old", epoch=8) as stale:
            with pytest.raises(Fenced, match="epoch 9 is at work"):
                await stale.fence("cluster:four", 10)
        await newer.fence("cluster:four", 1)
        assert await newer.fenced()


async def test_a_stranger_that_holds_our_key_is_never_ended(
    postgres15: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(postgres15)
    async with acting(postgres15, login=login, execution="theirs", epoch=1) as stranger:
        await stranger.fence("cluster:five", 1)
        async with acting(postgres15, execution="ours", epoch=2) as session:
            with pytest.raises(Fenced):
                await session.fence("cluster:five", 1.5)
        assert await stranger.fenced()


@pytest.mark.parametrize("execution", ["e", "x" * 80, "ä" * 40, "a/b"])
def test_the_epoch_survives_a_long_name(execution: str) -> None:
    name = application_name(Tag(execution=execution, epoch=123456))
    assert len(name.encode()) <= 63
    tag = tag_of(name)
    assert tag is not None
    assert tag.epoch == 123456
    assert execution.startswith(tag.execution)


@pytest.mark.parametrize(
    "name", ["", "psql", "dbarchitect", "dbarchitect/x", "dbarchitect/x/y", "dbarchitect/x/²"]
)
def test_others_are_not_taken_for_ours(name: str) -> None:
    assert tag_of(name) is None
