"""What becomes of an attempt whose outcome is not known: each row of the table of step kinds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actions.errors import OutcomeUnknown
from actions.model import Outcome, RecordKind, State, StepKind
from tests.fixtures.acting import Killed, step, virtually
from tests.fixtures.fake_target import Answer, How
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}
LOST: list[How] = ["lost_before", "lost_after", "late"]


def outcomes(stage: Stage) -> list[str]:
    return [record.body["outcome"] for record in stage.records(RecordKind.OUTCOME)]


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("kind", [StepKind.READ, StepKind.IDEMPOTENT])
def test_f09_what_can_be_repeated_is_repeated_with_an_intent_of_its_own(kind: StepKind, how: How) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=kind, arguments=SMALLER))
        stage.target.then("shrink", how)
        assert await stage.carry_out() is State.SUCCEEDED
        assert [record.attempt for record in stage.records(RecordKind.INTENT)] == [1, 2]
        assert outcomes(stage) == [Outcome.UNKNOWN, Outcome.OK]
        assert stage.target.standing == {("e1", "shrink")}

    virtually(test())


@pytest.mark.parametrize("how", LOST)
def test_f09_what_the_target_can_tell_is_read_back_and_never_done_twice(how: How) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER, attempts_max=2))
        stage.target.then("shrink", how)
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1
        by = [record.body.get("by") for record in stage.records(RecordKind.OUTCOME)]
        assert by == ([None, "read_back", None] if how == "lost_before" else [None, "read_back"])

    virtually(test())


def test_what_the_target_says_was_not_done_is_not_tried_more_often_than_planned() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, attempts_max=1))
        stage.target.then("shrink", "lost_before")
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.execution.reason == "shrink failed: the target says that it was not done"
        assert [record.body["answer"] for record in stage.records(RecordKind.READ_BACK)] == ["not_done"]
        assert stage.records(RecordKind.NOTE)[0].body["evidence"] == {"cleaned": True}

    virtually(test())


@pytest.mark.parametrize("how", LOST)
def test_what_can_be_neither_repeated_nor_read_back_is_left_to_a_person(how: How) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.ONCE, attempts_max=3))
        stage.target.then("shrink", how)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        await asyncio.sleep(60)
        assert stage.kinds().count("intent") == 1
        assert stage.target.times("shrink") <= 1
        asked = stage.records(RecordKind.MOVED)[-1].body
        assert asked["evidence"]["may_land_until"] == stage.records(RecordKind.INTENT)[0].at + 30
        assert "never done again by itself" in stage.execution.reason

    virtually(test())


@pytest.mark.parametrize("kind", StepKind)
def test_a_step_that_once_was_refused_for_certain_needs_no_resolving(kind: StepKind) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=kind, attempts_max=2, arguments=SMALLER))
        stage.target.then("shrink", "busy")
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_the_fence_is_taken_before_the_target_is_asked() -> None:
    """A late effect of a lost session must have landed, or never can, before the answer counts."""

    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.delay = 4.0
        stage.target.then("shrink", "late")
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1
        landed = stage.target.landed[0].at
        resolved = stage.records(RecordKind.OUTCOME)[-1]
        assert resolved.body["by"] == "read_back"
        assert resolved.at - stage.clock.wall >= landed

    virtually(test())


def test_passing_the_deadline_means_unknown_never_failed() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, deadline_seconds=3, arguments=SMALLER))
        stage.target.then("shrink", "slow")
        assert await stage.carry_out() is State.FAILED_CLEAN
        first = stage.records(RecordKind.OUTCOME)[0].body
        assert first["outcome"] == "unknown"
        assert first["late"] is True
        assert first["reason"] == "no answer within its deadline of 3 s"
        assert len(stage.hands.opened) == 2, "what the first session may still do is not ours to read back"

    virtually(test())


def test_what_took_too_long_is_not_repeated_more_often_than_planned_and_read_back_instead() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=3, arguments=SMALLER))
        stage.target.then("shrink", "slow")
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.kinds().count("intent") == 1

    virtually(test())


def test_a_server_that_gives_up_at_the_same_deadline_is_late_too() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=100))
        operations = stage.action.operations

        async def perform(_: Any) -> Any:
            await asyncio.sleep(99)
            raise OutcomeUnknown("canceling statement due to statement timeout")

        both = {"do": replace(operations["do"], perform=perform)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.records(RecordKind.OUTCOME)[0].body["late"] is True
        assert stage.kinds().count("intent") == 1

    virtually(test())


def test_what_took_too_long_and_cannot_be_told_is_left_to_a_person_where_nothing_takes_it_back() -> None:
    async def test() -> None:
        stage = await Stage.of(step(operation="plain", deadline_seconds=3))
        stage.target.then("shrink", "slow")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        wanted = "shrink did not come to a known end in 1 attempts; nothing takes back shrink"
        assert stage.execution.reason == wanted

    virtually(test())


def test_an_effect_that_is_deaf_to_its_deadline_is_left_behind() -> None:
    async def test() -> None:
        stage = await Stage.of(step(operation="plain", deadline_seconds=3))
        stage.target.delay = 1000.0
        stage.target.then("shrink", "stubborn")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "deaf to being cancelled" in stage.records(RecordKind.OUTCOME)[0].body["reason"]
        assert stage.clock.monotonic() < 100
        await asyncio.sleep(2000)

    virtually(test())


def test_an_effect_that_ends_well_while_it_is_being_cancelled_is_done() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=3, arguments=SMALLER))
        stage.target.then("shrink", "stubborn")
        assert await stage.carry_out() is State.SUCCEEDED
        assert outcomes(stage) == ["ok"]

    virtually(test())


def test_an_effect_whose_cancel_the_server_confirms_has_not_happened() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=3))
        stage.target.then("shrink", "confirmed")
        assert await stage.carry_out() is State.FAILED_CLEAN
        reason = stage.records(RecordKind.OUTCOME)[0].body["reason"]
        assert reason == "the server confirmed the cancel (no answer within its deadline of 3 s)"

    virtually(test())


def test_a_defect_of_an_action_leaves_the_outcome_unknown() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.ONCE))
        stage.target.then("shrink", "defect")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.records(RecordKind.OUTCOME)[0].body["reason"] == "a defect of the action"

    virtually(test())


@pytest.mark.parametrize("state", [State.RUNNING, State.RESOLVING])
def test_a_journal_without_the_attempt_that_was_begun_is_left_to_a_person(state: State) -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.alter(state=state, epoch=1)
        assert await stage.recover() is State.NEEDS_HUMAN
        assert "the journal has no attempt of it" in stage.execution.reason
        assert stage.target.landed == []

    virtually(test())


def test_what_ends_the_process_is_no_outcome() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        operations = stage.action.operations

        async def perform(_: Any) -> Any:
            raise Killed

        both = {"do": replace(operations["do"], perform=perform)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        with pytest.raises(Killed):
            await stage.carry_out()
        assert stage.kinds()[-1] == "intent"

    virtually(test())


def test_an_effect_that_cancels_itself_is_unknown() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.ONCE))
        operations = stage.action.operations

        async def perform(_: Any) -> Any:
            raise asyncio.CancelledError

        both = {"do": replace(operations["do"], perform=perform)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.records(RecordKind.OUTCOME)[0].body["reason"] == "it was cancelled from within"

    virtually(test())


def test_f08_a_partition_in_mid_step_is_resolved_when_the_target_is_back() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.then("shrink", "lost_after")
        _away(stage, 100)
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1
        assert stage.clock.monotonic() >= 100

    virtually(test())


def test_f08_a_target_that_stays_away_is_left_to_a_person_and_never_called_failed() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.then("shrink", "lost_after")
        _away(stage, 1e6)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == "whether shrink was done cannot be told: pg1 cannot be reached"
        assert outcomes(stage) == ["unknown"]
        assert 300 <= stage.clock.monotonic() < 320

    virtually(test())


def _away(stage: Stage, seconds: float) -> None:
    def goes(moment: str, record: Any) -> None:
        if moment == "before" and record.kind is RecordKind.OUTCOME and stage.target.reachable:
            stage.target.reachable = False
            stage.store.on_write = None
            asyncio.get_running_loop().call_later(seconds, lambda: setattr(stage.target, "reachable", True))

    stage.store.on_write = goes


def test_f53_another_server_than_the_one_that_was_asked_tells_nothing() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE))
        stage.target.then("shrink", "lost_after")
        stage.store.on_write = lambda _, record: (
            setattr(stage.target, "identity", replace(stage.target.identity, role="replica"))
            if record.kind is RecordKind.OUTCOME
            else None
        )
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "role 'replica' instead of 'primary'" in stage.execution.reason

    virtually(test())


def test_what_is_under_way_is_waited_for() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.then("shrink", "lost_after")
        stage.target.says("shrink", "under_way", "under_way")
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_what_stays_under_way_too_long_is_left_to_a_person() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, deadline_seconds=500))
        stage.target.then("shrink", "lost_after")
        answers: list[Answer] = ["under_way"] * 200
        stage.target.says("shrink", *answers)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "shrink is still under way" in stage.execution.reason
        assert 500 <= stage.clock.monotonic() < 520, "at least the step's own deadline"

    virtually(test())


def test_what_the_target_cannot_tell_is_left_to_a_person() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE))
        stage.target.then("shrink", "lost_after")
        stage.target.says("shrink", "ambiguous")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == "shrink: the target does not tell whether it was done"
        evidence = stage.records(RecordKind.MOVED)[-1].body["evidence"]
        assert evidence == {"looked_at": "shrink"}

    virtually(test())


@pytest.mark.parametrize("defect", [False, True])
def test_a_read_back_that_fails_is_tried_again_and_one_with_a_defect_is_not(defect: bool) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))
        stage.target.then("shrink", "lost_after")
        operations, asked = stage.action.operations, [0]

        async def read_back(work: Any) -> Any:
            asked[0] += 1
            if asked[0] == 1:
                raise ZeroDivisionError if defect else TimeoutError
            return await operations["do"].read_back(work)  # type: ignore[misc]

        both = {"do": replace(operations["do"], read_back=read_back)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is (State.NEEDS_HUMAN if defect else State.SUCCEEDED)
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_debris_that_cannot_be_removed_yet_is_removed_later() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, attempts_max=2, arguments=SMALLER))
        stage.target.then("shrink", "lost_before")
        stage.target.then("clean shrink", "busy")
        assert await stage.carry_out() is State.SUCCEEDED
        answers = [record.body["answer"] for record in stage.records(RecordKind.READ_BACK)]
        assert answers == ["not_done", "not_done"]
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_an_operation_without_cleaning_needs_none() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.CHECKABLE, attempts_max=2, arguments=SMALLER))
        stage.target.then("shrink", "lost_before")
        both = {"do": replace(stage.action.operations["do"], clean=None)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.records(RecordKind.NOTE) == []

    virtually(test())
