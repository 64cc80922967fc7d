"""VACUUM as a remedy: what it removes, and who makes it useless."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actions.errors import NotDone
from actions.model import Verdict
from actions.postgresql.vacuum import Vacuum
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase
from tests.fixtures.dead_rows import ROWS, asleep, dirty, size, wake
from tests.fixtures.servers import NewPostgres, Pair
from tests.fixtures.waiting import until

VACUUM = Vacuum()

VACUUM = Vacuum()


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Any) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await dirty(server, database)
    return database


async def test_it_removes_dead_rows_and_never_truncates(server: ScratchPostgres, shop: str) -> None:
    before = await size(server, shop)
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        assert "TRUNCATE false, INDEX_CLEANUP auto" in plan.steps[0].text
        assert all(result.allowed for result in await VACUUM.check(plan, session))
        first = await VACUUM.measure(plan, session)
        done = await carried_out(VACUUM, plan, session)
        after = await VACUUM.measure(plan, session)
    assert done["before"]["vacuum"]["dead"] == ROWS
    assert done["results"]["vacuum"]["dead"] == 0
    assert VACUUM.judge(plan, first, after) is Verdict.IMPROVED
    assert await size(server, shop) == before, "the empty end of the table must not have been cut off"


async def test_planning_again_with_its_parameters_gives_the_same_plan(
    server: ScratchPostgres, shop: str
) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session)
        assert plan.parameters["table"] == "t"
        assert (await planned(VACUUM, session, **plan.parameters)).plan_hash == plan.plan_hash


async def test_the_neediest_table_is_found(server: ScratchPostgres, shop: str) -> None:
    await server.psql(
        "create table public.small (id int) with (autovacuum_enabled = off);"
        "insert into public.small select generate_series(1, 1500); delete from public.small",
        shop,
    )
    async with acting(server, shop) as session:
        assert (await planned(VACUUM, session, dead_rows_min=1)).subject == f"{shop}.public.t"


async def test_there_is_nothing_to_do_when_few_rows_are_dead(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        refused = await refusal(VACUUM, session, table="t", dead_rows_min=ROWS * 10)
    assert "fewer than 50000" in refused.reason


async def test_between_plan_and_act_the_symptom_may_have_gone(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("vacuum public.t", shop)
        results = {result.guard: result for result in await VACUUM.check(plan, session)}
    assert not results["second_source"].allowed
    assert results["identity"].allowed


async def test_f53_a_table_dropped_and_made_anew_is_another_one(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("drop table public.t; create table public.t (id int)", shop)
        (same,) = await VACUUM.check(plan, session)
        assert (same.guard, same.allowed) == ("identity", False)
        with pytest.raises(NotDone, match="is gone"):
            await carried_out(VACUUM, plan, session)


async def test_f53_a_table_renamed_meanwhile_is_left_alone(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("alter table public.t rename to old; create table public.t (id int)", shop)
        with pytest.raises(NotDone, match=r"is called public\.old now"):
            await carried_out(VACUUM, plan, session)


async def test_f50_a_plan_for_another_database_is_refused(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        refused = await refusal(VACUUM, session, database="another", table="t")
    assert refused.guard == "identity"


async def test_f53_a_replica_is_refused(postgres_pair: Pair) -> None:
    async with acting(postgres_pair[1]) as session:
        assert "is a replica" in (await refusal(VACUUM, session)).reason


@contextlib.asynccontextmanager
async def idle_in_transaction(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    async with connected(server, database, server_settings={"application_name": "forgotten"}) as user:
        await user.execute("begin isolation level repeatable read")
        await user.fetch("select 1 from pg_class")
        yield r"idle in a transaction.*forgotten|forgotten.*idle in a transaction"


@contextlib.asynccontextmanager
async def running(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    async with connected(server, database) as user:
        async with asyncio.TaskGroup() as group:
            group.create_task(asleep(user))
            await until(lambda: _busy(server, user.get_server_pid()), 60)
            yield "cancel_query"
            await wake(server)


async def _busy(server: ScratchPostgres, pid: int) -> bool:
    asked = f"select count(*) from pg_stat_activity where pid = {pid} and backend_xmin is not null"
    return int(await server.psql(asked)) == 1


@contextlib.asynccontextmanager
async def prepared(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    await server.psql("begin; insert into public.t values (0); prepare transaction 'lost one'", database)
    try:
        yield r"prepared transaction lost one.*ROLLBACK PREPARED"
    finally:
        await server.psql("rollback prepared 'lost one'", database)


@pytest.mark.parametrize("hold", [idle_in_transaction, running, prepared])
async def test_who_holds_the_horizon_is_named_first(server: ScratchPostgres, shop: str, hold: Any) -> None:
    async with hold(server, shop) as words, acting(server, shop) as session:
        refused = await refusal(VACUUM, session, table="t", blocker_seconds=0.0)
        assert "would be useless" in refused.reason
        assert re.search(words, refused.reason), refused.reason
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t", blocker_seconds=0.0)
        async with hold(server, shop):
            results = {result.guard: result for result in await VACUUM.check(plan, session)}
    assert not results["precondition"].allowed


async def test_a_holder_of_another_database_stands_against_nothing(
    server: ScratchPostgres, shop: str
) -> None:
    async with idle_in_transaction(server, "postgres"), acting(server, shop) as session:
        await planned(VACUUM, session, table="t", blocker_seconds=0.0)


@pytest.mark.parametrize("connected_standby", [True, False], ids=["standby_feedback", "slot"])
async def test_a_standby_and_its_slot_hold_the_horizon(
    new_postgres: NewPostgres, connected_standby: bool
) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(
        replica_of=primary,
        slot="far",
        settings={"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"},
    )
    await dirty(primary, "postgres")
    async with connected(replica) as reader:
        await reader.execute("begin isolation level repeatable read")
        await reader.fetch("select 1 from pg_class")

        async def fed() -> bool:
            return bool(await primary.psql("select 1 from pg_replication_slots where xmin is not null"))

        await until(fed, 60)
        if not connected_standby:
            await replica.kill()

            async def gone() -> bool:
                return not await primary.psql("select 1 from pg_stat_replication")

            await until(gone, 60)
        for _ in range(5):
            await primary.psql("insert into public.t values (0)")
        async with acting(primary) as session:
            refused = await refusal(VACUUM, session, table="t", blocker_transactions=1)
            await planned(VACUUM, session, table="t")
    assert ("hot_standby_feedback" if connected_standby else "the replication slot far") in refused.reason
