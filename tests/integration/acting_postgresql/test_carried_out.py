"""The executor carries remedies out on a real server: to their end, through a lost session, and back."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from actions.action import Action, Operation, Work
from actions.errors import NotDone
from actions.executor import Executor
from actions.model import RecordKind, State
from actions.ports import Clock, Tag
from actions.postgresql.autovacuum_settings import AutovacuumSettings
from actions.postgresql.client import PostgresActing
from actions.postgresql.set_parameter import SetParameter
from actions.postgresql.vacuum import Vacuum
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting import FakeGuardian, FakeLease, FakeSwitch, MemoryStore, approved
from tests.fixtures.acting_postgres import acting, planned
from tests.fixtures.dead_rows import crowded, dead, dirty, under_way
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until


class WallClock(Clock):
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class OnServer:
    """Opens sessions at one server, whatever the target is called."""

    def __init__(self, server: ScratchPostgres) -> None:
        self._server = server

    def open(self, target: str, database: str, tag: Tag) -> AbstractAsyncContextManager[PostgresActing]:
        del target
        return acting(self._server, database or "postgres", epoch=tag.epoch, execution=tag.execution)


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    return await new_postgres(request.param)


async def ready(server: ScratchPostgres, action: Action, **parameters: Any) -> tuple[Executor, MemoryStore]:
    """Put a plan into a store, approved, and return who carries it out as `e1`."""
    clock = WallClock()
    store = MemoryStore(clock)
    await store.grant("us", 3600.0)
    async with acting(server) as session:
        plan = await planned(action, session, **parameters)
    soon = dataclasses.replace(plan.verification, settle_seconds=0.0, every_seconds=0.5, within_seconds=5.0)
    await approved(store, dataclasses.replace(plan, verification=soon))
    actions = {action.info.name: action}
    return Executor(store, OnServer(server), actions, FakeGuardian(), FakeSwitch(), FakeLease(), clock), store


async def told(store: MemoryStore) -> str:
    execution = await store.execution("e1")
    kinds = [record.kind for record in await store.records("e1")]
    return f"{execution and execution.reason}: {kinds}"


async def test_a_table_is_vacuumed_and_that_is_verified(server: ScratchPostgres) -> None:
    await dirty(server, "postgres")
    executor, store = await ready(server, Vacuum(), table="t")
    assert await executor.carry_out("e1") is State.SUCCEEDED, await told(store)
    assert await dead(server, "postgres") == 0
    verdicts = [
        record.body["verdict"] for record in await store.records("e1") if record.kind is RecordKind.VERDICT
    ]
    assert verdicts == ["improved"]


async def test_f08_a_session_lost_in_the_middle_is_resolved_and_it_is_done_again(
    server: ScratchPostgres,
) -> None:
    await dirty(server, "postgres", rows=200_000)
    executor, store = await ready(server, Vacuum(), table="t")
    async with crowded(server), asyncio.TaskGroup() as group:
        working = group.create_task(executor.carry_out("e1"))
        await until(lambda: under_way(server), 60)
        await server.psql("select pg_terminate_backend(pid) from pg_stat_progress_vacuum")
        state = await working
    assert state is State.SUCCEEDED, await told(store)
    kinds = [record.kind for record in await store.records("e1")]
    assert kinds.count(RecordKind.INTENT) == 2
    assert await dead(server, "postgres") == 0


class Blind(SetParameter):
    """Cannot read back what it has set."""

    @property
    def operations(self) -> dict[str, Operation]:
        return {**super().operations, "look": Operation(perform=_sees_nothing)}


async def _sees_nothing(work: Work) -> dict[str, Any]:
    raise NotDone(f"{work.step.name}: nothing to be seen")


@pytest.mark.parametrize(
    ("action", "state", "shown"), [(SetParameter(), "succeeded", "8MB"), (Blind(), "rolled_back", "2MB")]
)
async def test_a_parameter_is_set_or_taken_back(
    server: ScratchPostgres, action: Action, state: str, shown: str
) -> None:
    await server.psql("alter system set work_mem = '2MB'")
    await server.psql("select pg_reload_conf()")
    executor, store = await ready(server, action, name="work_mem", value="8MB")
    assert await executor.carry_out("e1") == state, await told(store)

    async def in_force() -> bool:
        return await server.psql("show work_mem") == shown

    await until(in_force, 60)


async def test_settings_whose_effect_nobody_sees_are_taken_back(server: ScratchPostgres) -> None:
    await server.psql("create table public.t as select generate_series(1, 100000) as id")
    await server.psql("analyze public.t; delete from public.t where id <= 50000")
    executor, store = await ready(server, AutovacuumSettings(), table="t", counted_min=0.0)
    assert await executor.carry_out("e1") is State.ROLLED_BACK, await told(store)
    assert await server.psql("select reloptions from pg_class where relname = 't'") == ""
