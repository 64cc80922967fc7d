"""A lease that is lost, a process that was frozen, a store that is away: nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions.errors import NotOwner, StoreUnavailable
from actions.model import OnStop, RecordKind, State, StepKind
from actions.ports import Tag
from tests.fixtures.acting import FakeLease, freeze, step, virtually
from tests.fixtures.fake_target import Backend
from tests.fixtures.memory_store import Moment
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}
STOP = "somebody said stop"


@pytest.mark.parametrize(
    ("kind", "moment", "landed"),
    [
        (RecordKind.CLAIMED, "after", 0),
        (RecordKind.MEASURED, "after", 0),
        (RecordKind.INTENT, "before", 0),
        (RecordKind.INTENT, "after", 0),
        (RecordKind.OUTCOME, "before", 1),
        (RecordKind.OUTCOME, "after", 1),
    ],
)
def test_f03_frozen_for_a_minute_it_wakes_up_does_nothing_and_says_nothing(
    kind: RecordKind, moment: Moment, landed: int
) -> None:
    """The stale one writes nothing and sends nothing, whoever has the lease now."""

    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE), step("two", kind=StepKind.CHECKABLE))
        stage.lease.deadline = 25.0
        records = [0]

        def frozen() -> None:
            freeze(60)
            records[0] = len(stage.store.journal) + (moment == "before")

        stage.at(kind, moment, frozen)
        with pytest.raises(NotOwner):
            await stage.carry_out()
        assert len(stage.store.journal) == records[0]
        assert len(stage.target.landed) == landed
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


def test_f03_what_finds_out_at_its_next_write_that_another_has_it_writes_nothing() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.then("one", "slow")
        first = stage.executor

        async def carried() -> None:
            with pytest.raises(NotOwner):
                await first.carry_out("e1")

        async with asyncio.TaskGroup() as group:
            group.create_task(carried())
            await asyncio.sleep(1)
            await stage.restart()
            assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == 1
        assert {record.epoch for record in stage.records(RecordKind.OUTCOME)} == {2}

    virtually(test())


@pytest.mark.parametrize("where", ["claim", "write", "ban"])
def test_f03_a_lease_that_another_has_by_now_ends_it_at_each_sort_of_write(where: str) -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments={"size": 200}))
        records: list[int] = []

        def another_has_it(*_: Any) -> Any:
            assert stage.store.lease is not None
            stage.store.lease = None
            records.append(len(stage.store.journal))

        if where == "claim":
            another_has_it()
            assert await stage.carry_out() is State.APPROVED
        else:
            measured = {"write": 1, "ban": 2}[where]

            def on_measure() -> None:
                nonlocal measured
                measured -= 1
                if measured == 0:
                    another_has_it()

            stage.action.on_measure = on_measure
            with pytest.raises(NotOwner):
                await stage.carry_out()
        assert len(stage.store.journal) == records[0]

    virtually(test())


def test_f05_after_its_own_deadline_no_step_begins_and_the_one_that_runs_finishes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE), step("two"))
        stage.lease.deadline = 3.0
        stage.target.then("one", "slow")
        with pytest.raises(NotOwner):
            await stage.carry_out()
        assert stage.target.times("one") == 1
        assert stage.target.times("two") == 0
        assert stage.kinds()[-1] == "outcome", (
            "what is known is still written while nobody else has the lease"
        )
        stage.lease.deadline = 1e9
        assert await stage.recover() is State.SUCCEEDED, "the same daemon goes on when it has the lease again"
        assert "taken_over" not in stage.kinds()

    virtually(test())


def test_f05_a_step_that_can_be_cancelled_is_when_the_lease_is_lost() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", on_stop=OnStop.CANCEL, deadline_seconds=5000))
        stage.lease.deadline = 3.0
        stage.target.delay = 4000.0
        stage.target.then("one", "slow")
        with pytest.raises(NotOwner):
            await stage.carry_out()
        assert stage.clock.monotonic() < 10
        assert stage.records(RecordKind.OUTCOME)[0].body["reason"] == "the lease is lost"
        assert stage.state is State.RESOLVING

    virtually(test())


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [RecordKind.INTENT, RecordKind.OUTCOME])
def test_f05_a_store_that_goes_away_in_mid_step_ends_it_and_what_is_unknown_is_found_later(
    kind: RecordKind, moment: Moment
) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE), step("two", kind=StepKind.CHECKABLE))

        def goes() -> None:
            stage.store.away = True
            raise StoreUnavailable("disk full")

        stage.at(kind, moment, goes)
        with pytest.raises(StoreUnavailable):
            await stage.carry_out()
        landed = list(stage.target.landed)
        assert len(landed) == (kind is RecordKind.OUTCOME)
        with pytest.raises(StoreUnavailable):
            await stage.recover()
        assert stage.target.landed == landed
        stage.store.away = False
        assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


def test_f07_a_store_that_has_forgotten_a_lease_has_nothing_adopted() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.alter(state=State.RUNNING, epoch=7)
        assert await stage.recover() is State.RUNNING
        stage.lease = FakeLease(epoch=0)
        stage.executor = stage.new_executor()
        assert await stage.recover() is State.RUNNING
        assert stage.kinds() == ["proposed"]

    virtually(test())


def test_what_another_takes_over_first_is_not_ours() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.alter(state=State.RUNNING, epoch=1)
        await stage.restart()
        stage.store.lease = None
        assert await stage.recover() is State.RUNNING
        assert stage.kinds() == ["proposed"]

    virtually(test())


def test_f07_the_fence_refuses_a_lower_epoch() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE))
        newer = Backend(Tag(execution="e0", epoch=9))
        stage.target.fences[str(stage.execution.plan.scope)] = newer
        assert await stage.carry_out() is State.REFUSED
        assert "is held by epoch 9" in stage.execution.reason
        assert newer.alive

    virtually(test())


def test_f03_frozen_between_the_intent_of_an_undo_and_the_undo_it_does_nothing() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        stage.lease.deadline = 25.0
        stage.at(RecordKind.UNDO_INTENT, "after", lambda: freeze(60), step=1)
        with pytest.raises(NotOwner):
            await stage.carry_out()
        assert not any(each.undo for each in stage.target.landed)
        assert stage.kinds()[-1] == "undo_intent"
        await stage.restart()
        assert await stage.recover() is State.ROLLED_BACK

    virtually(test())
