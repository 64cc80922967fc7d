"""The kill switch, a lost lease, a lost store and the daemon's own end, in the middle of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actions.model import OnStop, RecordKind, State, StepKind
from tests.fixtures.acting import step, virtually
from tests.fixtures.fake_target import FakeTarget, How
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}
STOP = "somebody said stop"


def _stop(stage: Stage) -> Callable[[], None]:
    return lambda: setattr(stage.switch, "reason", STOP)


def test_f37_stopped_while_it_is_claimed_it_is_cancelled() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.at(RecordKind.CLAIMED, "after", _stop(stage))
        assert await stage.carry_out() is State.CANCELLED
        assert stage.execution.reason == STOP
        assert stage.target.landed == []

    virtually(test())


def test_f37_stopped_while_guards_are_asked_nothing_is_begun() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.at(RecordKind.MEASURED, "after", _stop(stage))
        assert await stage.carry_out() is State.CANCELLED
        assert "intent" not in stage.kinds()

    virtually(test())


def test_f37_stopped_between_intent_and_effect_it_is_not_sent_any_more() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3))
        stage.at(RecordKind.INTENT, "after", _stop(stage))
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


@pytest.mark.parametrize("undo", [False, True])
def test_f37_a_step_that_can_be_cancelled_ends_within_five_seconds(undo: bool) -> None:
    """Removing what it left is an effect too: it needs the policy's word, or a person's."""

    async def test() -> None:
        stage = await Stage.of(
            step(
                kind=StepKind.CHECKABLE,
                on_stop=OnStop.CANCEL,
                deadline_seconds=5000,
                attempts_max=3,
                arguments=SMALLER,
            )
        )
        stage.target.delay = 4000.0
        stage.target.then("shrink", "slow")
        stage.undo_on_stop = undo
        asyncio.get_running_loop().call_later(10, _stop(stage))
        assert await stage.carry_out() is (State.FAILED_CLEAN if undo else State.NEEDS_HUMAN)
        assert bool(stage.records(RecordKind.NOTE)) == undo
        outcome = stage.records(RecordKind.OUTCOME)[0]
        assert outcome.body["reason"] == STOP
        assert outcome.at - stage.clock.wall <= 15
        assert stage.kinds().count("intent") == 1, "no further attempt while stopped"
        if undo:
            return
        assert "what a failed attempt at shrink may have left is not removed" in stage.execution.reason
        stage.switch.reason = ""
        await stage.executor.settle("e1", "resume", "ann", "")
        assert await stage.recover() is State.SUCCEEDED

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
        stage.at(RecordKind.OUTCOME, "after", _stop(stage))
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.target.standing == set()

    virtually(test())


def test_f37_stopped_while_it_is_taken_back_it_stays_where_it_is() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        stage.at(RecordKind.UNDO_OUTCOME, "after", _stop(stage), step=1)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == f"{STOP}; this stands, or may stand: one; taken back: two"

    virtually(test())


def test_f37_stopped_before_the_next_attempt_it_is_not_made() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3))
        stage.target.then("shrink", "busy", "busy")
        stage.at(RecordKind.OUTCOME, "after", _stop(stage))
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
        stage.at(RecordKind.OUTCOME, "after", _stop(stage))
        assert await stage.carry_out() is (State.ROLLED_BACK if undo else State.NEEDS_HUMAN)
        if not undo:
            wanted = f"it made things worse; it is not taken back, because {STOP}"
            assert stage.execution.reason == wanted

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


def test_f37_stopped_while_it_looks_it_writes_no_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        following = FakeTarget.next

        def looked(target: FakeTarget, name: str) -> How:
            if name.startswith("capture"):
                stage.switch.reason = STOP
            return following(target, name)

        monkeypatch.setattr(FakeTarget, "next", looked)
        assert await stage.carry_out() is State.CANCELLED
        assert "intent" not in stage.kinds()

    virtually(test())
