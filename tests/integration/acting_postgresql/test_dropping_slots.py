"""Dropping a slot: only the one that was meant, only while nobody uses it, and everybody told what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actions.errors import NotDone
from actions.model import ActionClass, Verdict
from actions.postgresql.drop_inactive_slot import DropInactiveSlot
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.databases import NewLogin
from tests.fixtures.servers import NewPostgres, Pair, Servers
from tests.fixtures.waiting import until

DROP = DropInactiveSlot()
LOGICAL = {"retained_bytes_min": 0, "inactive_seconds_min": 0.0, "since_unknown": True}
PHYSICAL = {**LOGICAL, "standby": True}


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def slot(server: ScratchPostgres) -> AsyncIterator[str]:
    name = f"s_{secrets.token_hex(4)}"
    await server.psql(f"select pg_create_logical_replication_slot('{name}', 'test_decoding')")
    yield name
    await removed(server, name)


@pytest.fixture
async def physical(server: ScratchPostgres) -> AsyncIterator[str]:
    name = f"p_{secrets.token_hex(4)}"
    await server.psql(f"select pg_create_physical_replication_slot('{name}', true)")
    yield name
    await removed(server, name)


async def removed(server: ScratchPostgres, name: str) -> None:
    await server.psql(
        f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'"
    )


async def exists(server: ScratchPostgres, name: str) -> bool:
    return await server.psql(f"select 1 from pg_replication_slots where slot_name = '{name}'") == "1"


async def test_a_logical_slot_is_dropped_and_what_is_lost_is_said(server: ScratchPostgres, slot: str) -> None:
    async with acting(server) as session:
        plan = await planned(DROP, session, slot=slot, **LOGICAL)
        assert plan.action_class is ActionClass.D
        assert plan.irreversible
        assert plan.scope.part == f"slot:{slot}"
        assert "test_decoding, database postgres" in plan.summary
        assert "synchronized from the beginning" in plan.prediction.risk
        assert f"pg_create_logical_replication_slot('{slot}', 'test_decoding')" in plan.warnings[0]
        assert "MiB an hour" in plan.reason
        assert (await planned(DROP, session, **plan.parameters)).plan_hash == plan.plan_hash
        assert all(result.allowed for result in await DROP.check(plan, session))
        before = await DROP.measure(plan, session)
        done = await carried_out(DROP, plan, session)
        assert done["before"]["drop"]["name"] == slot
        assert done["before"]["drop"]["restart_lsn"]
        assert DROP.judge(plan, before, await DROP.measure(plan, session)) is Verdict.IMPROVED
        assert not await exists(server, slot)


async def test_a_physical_slot_needs_a_word_of_its_own(server: ScratchPostgres, physical: str) -> None:
    async with acting(server) as session:
        refused = await refusal(DROP, session, slot=physical, **LOGICAL)
        assert "`standby: true` goes on" in refused.reason
        assert "cloned anew" in refused.reason
        plan = await planned(DROP, session, slot=physical, **PHYSICAL)
        await carried_out(DROP, plan, session)
        assert not await exists(server, physical)


async def test_one_that_retains_little_was_used_lately_or_is_kept_stays(
    server: ScratchPostgres, slot: str
) -> None:
    async with acting(server) as session:
        refused = await refusal(DROP, session, slot=slot, since_unknown=True)
        assert "less than 1073741824" in refused.reason
        refused = await refusal(DROP, session, slot=slot, retained_bytes_min=0)
        wanted = "3600 s are asked for" if server.binaries.major >= 17 else "does not tell since when"
        assert wanted in refused.reason
        refused = await refusal(DROP, session, slot=slot, keep=f"other, {slot[:4]}*", **LOGICAL)
        assert "is in `keep`" in refused.reason
        refused = await refusal(DROP, session, slot=f"{slot}x", **LOGICAL)
        assert "has no replication slot" in refused.reason
        refused = await refusal(DROP, session, slot="'; drop table x; --", **LOGICAL)
        assert "has no replication slot" in refused.reason
    assert await exists(server, slot)


async def test_one_in_use_is_refused_also_when_it_came_into_use_after_the_plan(
    postgres_pair: Pair,
) -> None:
    primary, replica = postgres_pair
    async with acting(primary) as session:
        refused = await refusal(DROP, session, slot="replica", **PHYSICAL)
        assert "is in use" in refused.reason
        await replica.stop()
        try:
            await until(lambda: unused(primary, "replica"), 60)
            plan = await planned(DROP, session, slot="replica", **PHYSICAL)
        finally:
            await replica.start()
        await until(lambda: in_use(primary, "replica"), 60)
        results = await DROP.check(plan, session)
        assert not all(result.allowed for result in results)
        with pytest.raises(NotDone, match="nothing was done"):
            await carried_out(DROP, plan, session)
        assert await exists(primary, "replica")


async def unused(server: ScratchPostgres, name: str) -> bool:
    said = await server.psql(f"select active from pg_replication_slots where slot_name = '{name}'")
    return said == "f"


async def in_use(server: ScratchPostgres, name: str) -> bool:
    return not await unused(server, name)


async def test_one_made_anew_under_the_same_name_is_another(server: ScratchPostgres, slot: str) -> None:
    read_back = DROP.operations["drop"].read_back
    assert read_back
    async with acting(server) as session:
        plan = await planned(DROP, session, slot=slot, **LOGICAL)
        asked = work(plan, "drop", session)
        assert (await read_back(asked)).answer == "not_done"
        await removed(server, slot)
        assert (await read_back(asked)).answer == "done"
        await server.psql(
            "create table if not exists public.some_wal (id int); insert into some_wal values (1)"
        )
        await server.psql(f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')")
        assert (await read_back(asked)).answer == "ambiguous"
        (result,) = await DROP.check(plan, session)
        assert (result.guard, result.allowed) == ("identity", False)
        with pytest.raises(NotDone, match="is another by now"):
            await carried_out(DROP, plan, session)
        assert await exists(server, slot)


async def test_a_temporary_slot_is_refused(server: ScratchPostgres) -> None:
    async with acting(server) as session, acting(server, execution="other") as other:
        name = f"t_{secrets.token_hex(4)}"
        await other.fetch("select pg_catalog.pg_create_physical_replication_slot($1, true, true)", name)
        refused = await refusal(DROP, session, slot=name, **PHYSICAL)
    assert "is in use" in refused.reason or "is temporary" in refused.reason


async def test_a_slot_that_was_lost_may_go_however_little_it_retains(new_postgres: NewPostgres) -> None:
    settings = {"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    server = await new_postgres(15, settings=settings)
    await server.psql("select pg_create_physical_replication_slot('gone', true)")
    for _ in range(3):
        await server.psql("select pg_switch_wal()")
        await server.psql("create table t as select i from generate_series(1, 200000) i; drop table t")
    async with contextlib.AsyncExitStack() as stack:
        await server.psql("checkpoint")
        await until(lambda: lost(server), 60)
        session = await stack.enter_async_context(acting(server))
        plan = await planned(DROP, session, slot="gone", standby=True, since_unknown=True)
        await carried_out(DROP, plan, session)
        assert not await exists(server, "gone")


async def lost(server: ScratchPostgres) -> bool:
    await server.psql("select pg_switch_wal(); checkpoint")
    await asyncio.sleep(0.2)
    return await server.psql("select wal_status from pg_replication_slots") == "lost"


async def test_synchronized_and_awaited_slots_are_left_alone(new_postgres: NewPostgres) -> None:
    server = await new_postgres(18, settings={"synchronized_standby_slots": "other, awaited"})
    await server.psql("select pg_create_physical_replication_slot('awaited', true)")
    await server.psql(
        "select pg_create_logical_replication_slot('kept', 'test_decoding', false, false, true)"
    )
    async with acting(server) as session:
        refused = await refusal(DROP, session, slot="awaited", **PHYSICAL)
        assert "synchronized_standby_slots" in refused.reason
        plan = await planned(DROP, session, slot="kept", **LOGICAL)
        assert any("failover" in warning for warning in plan.warnings)


async def test_a_replica_is_refused(postgres_pair: Pair) -> None:
    _, replica = postgres_pair
    async with acting(replica) as session:
        refused = await refusal(DROP, session, slot="replica", **PHYSICAL)
    assert "name the primary" in refused.reason


async def test_the_right_that_is_missing_is_named(
    server: ScratchPostgres, slot: str, bare_role: NewLogin
) -> None:
    actor = await bare_role(server)
    async with acting(server, login=actor) as session:
        refused = await refusal(DROP, session, slot=slot, **LOGICAL)
        assert f"ALTER ROLE {actor.user} REPLICATION;" in refused.reason
        await server.psql(f"alter role {actor.user} replication")
        plan: Any = await planned(DROP, session, slot=slot, **LOGICAL)
        await server.psql(f"alter role {actor.user} noreplication")
        with pytest.raises(NotDone, match="42501"):
            await carried_out(DROP, plan, session)
        await server.psql(f"alter role {actor.user} replication")
        await carried_out(DROP, plan, session)
    assert not await exists(server, slot)
