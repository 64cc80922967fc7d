"""The kill switch, a lost lease, a lost store and the daemon's own end, in the middle of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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


def _at(stage: Stage, kind: RecordKind, moment: Moment, do: Callable[[], Any], *, step: int = 0) -> None:
    """Do something at the first write of a kind."""

    def hook(now: Moment, record: Any) -> None:
        if (now, record.kind, record.step) == (moment, kind, step):
            stage.store.on_write = None
            do()

    stage.store.on_write = hook


def _stop(stage: Stage) -> Callable[[], None]:
    return lambda: setattr(stage.switch, "reason", STOP)


def test_f37_stopped_while_it_is_claimed_it_is_cancelled() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        _at(stage, RecordKind.CLAIMED, "after", _stop(stage))
        assert await stage.carry_out() is State.CANCELLED
        assert stage.execution.reason == STOP
        assert stage.target.landed == []

    virtually(test())


def test_f37_stopped_while_guards_are_asked_nothing_is_begun() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        _at(stage, RecordKind.MEASURED, "after", _stop(stage))
        assert await stage.carry_out() is State.CANCELLED
        assert "intent" not in stage.kinds()

    virtually(test())


def test_f37_stopped_between_intent_and_effect_it_is_not_sent_any_more() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3))
        _at(stage, RecordKind.INTENT, "after", _stop(stage))
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.execution.reason == STOP
        assert stage.target.landed == []
        outcome = stage.records(RecordKind.OUTCOME)[0].body
        assert outcome["reason"] == f"it was not sent any more: {STOP}"

    virtually(test())


def test_f37_a_step_that_finishes_goes_on_to_its_end_and_no_other_begins() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", on_stop=OnStop.FINISH), step("two"))
        stage.target.then("one", "slow")
        asyncio.get_running_loop().call_later(1, _stop(stage))
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.target.times("one") == 1
        assert stage.target.times("two") == 0
        assert stage.execution.reason == f"{STOP}; this stays as it is until somebody decides: one"

    virtually(test())


def test_f37_a_step_that_can_be_cancelled_ends_within_five_seconds() -> None:
    async def test() -> None:
        stage = await Stage.of(
            step(kind=StepKind.CHECKABLE, on_stop=OnStop.CANCEL, deadline_seconds=5000, attempts_max=3)
        )
        stage.target.delay = 4000.0
        stage.target.then("shrink", "slow")
        asyncio.get_running_loop().call_later(10, _stop(stage))
        assert await stage.carry_out() is State.FAILED_CLEAN
        outcome = stage.records(RecordKind.OUTCOME)[0]
        assert outcome.body["reason"] == STOP
        assert outcome.at - stage.clock.wall <= 15
        assert stage.kinds().count("intent") == 1, "no further attempt while stopped"

    virtually(test())


def test_f37_what_was_cancelled_and_cannot_be_told_is_not_begun_again_while_stopped() -> None:
    async def test() -> None:
        stage = await Stage.of(step(operation="plain", on_stop=OnStop.CANCEL, attempts_max=3))
        stage.target.then("shrink", "slow")
        asyncio.get_running_loop().call_later(1, _stop(stage))
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.kinds().count("intent") == 1
        assert STOP in stage.execution.reason

    virtually(test())


def test_f37_what_is_done_is_taken_back_after_a_stop_only_where_the_policy_says_so() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.undo_on_stop = True
        _at(stage, RecordKind.OUTCOME, "after", _stop(stage))
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.target.standing == set()

    virtually(test())


def test_f37_stopped_while_it_is_taken_back_it_stays_where_it_is() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        _at(stage, RecordKind.UNDO_OUTCOME, "after", _stop(stage), step=1)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == f"{STOP}; this stands, or may stand: one; taken back: two"

    virtually(test())


def test_f37_stopped_before_the_next_attempt_it_is_not_made() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3))
        stage.target.then("shrink", "busy", "busy")
        _at(stage, RecordKind.OUTCOME, "after", _stop(stage))
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.execution.reason == STOP
        assert stage.kinds().count("intent") == 1

    virtually(test())


@pytest.mark.parametrize("undo", [False, True])
def test_f37_a_verification_goes_on_when_stopped_and_takes_back_only_where_the_policy_says_so(
    undo: bool,
) -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments={"size": 200}))
        stage.undo_on_stop = undo
        _at(stage, RecordKind.OUTCOME, "after", _stop(stage))
        assert await stage.carry_out() is (State.ROLLED_BACK if undo else State.NEEDS_HUMAN)
        if not undo:
            wanted = f"it made things worse; it is not taken back, because {STOP}"
            assert stage.execution.reason == wanted

    virtually(test())


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

        _at(stage, kind, moment, frozen)
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

        _at(stage, kind, moment, goes)
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


@pytest.mark.parametrize("on_stop", OnStop)
def test_a_shutdown_in_mid_step_follows_what_the_step_says_and_can_be_recovered(on_stop: OnStop) -> None:
    async def test() -> None:
        stage = await Stage.of(
            step("one", kind=StepKind.CHECKABLE, on_stop=on_stop, attempts_max=2),
            step("two", kind=StepKind.CHECKABLE),
        )
        stage.target.then("one", "slow")
        await _cancelled_after(stage, 1)
        finished = on_stop is OnStop.FINISH
        assert stage.target.times("one") == finished
        outcome = stage.records(RecordKind.OUTCOME)[0].body
        assert outcome["outcome"] == ("ok" if finished else "unknown")
        assert finished or outcome["reason"] == "we are shutting down"
        assert stage.state is (State.RUNNING if finished else State.RESOLVING)
        assert stage.target.sessions == 0
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


async def _cancelled_after(stage: Stage, seconds: float, times: int = 1) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.executor.carry_out("e1"))
        await asyncio.sleep(seconds)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.1)
    assert task.cancelled()


def test_being_cancelled_again_and_again_does_not_end_what_is_to_be_finished() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", arguments=SMALLER))
        stage.target.then("one", "slow")
        await _cancelled_after(stage, 1, times=5)
        assert stage.target.times("one") == 1
        assert stage.records(RecordKind.OUTCOME)[0].body["outcome"] == "ok"

    virtually(test())


def test_a_shutdown_while_an_effect_is_deaf_still_comes_to_an_end() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", on_stop=OnStop.CANCEL))
        stage.target.delay = 50.0
        stage.target.then("one", "stubborn")
        await _cancelled_after(stage, 1, times=3)
        assert stage.clock.monotonic() < 10
        assert stage.state is State.RESOLVING
        await asyncio.sleep(100)

    virtually(test())


def test_a_shutdown_while_the_store_is_away_is_a_shutdown() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"))
        stage.target.then("one", "slow")
        asyncio.get_running_loop().call_later(2, lambda: setattr(stage.store, "away", True))
        await _cancelled_after(stage, 1)
        assert stage.state is State.RUNNING

    virtually(test())


@pytest.mark.parametrize("seconds", [8.0, 20.0, 40.0])
def test_a_shutdown_while_it_verifies_or_waits_leaves_it_where_it_is(seconds: float) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", attempts_max=9, arguments=SMALLER))
        stage.target.then("one", "busy", "busy")
        stage.target.size = None
        await _cancelled_after(stage, seconds)
        assert stage.state is (State.RUNNING if seconds < 15 else State.VERIFYING)
        await stage.restart()
        stage.target.size = 50.0
        assert await stage.recover() in {State.SUCCEEDED, State.NEEDS_HUMAN}
        assert stage.target.times("one") == 1

    virtually(test())


def test_a_session_that_does_not_close_is_left() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        opened = stage.hands.open

        class Stuck:
            def __init__(self, *args: Any) -> None:
                self.inner = opened(*args)

            async def __aenter__(self) -> Any:
                return await self.inner.__aenter__()

            async def __aexit__(self, *_: object) -> None:
                await self.inner.__aexit__(None, None, None)
                raise OSError("no end")

        stage.hands.open = Stuck  # type: ignore[method-assign,assignment]
        assert await stage.carry_out() is State.SUCCEEDED

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
