"""From approved to an end: each transition of the states, and what refuses before anything was begun."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from actions.errors import ActError, NotOwner
from actions.model import GuardResult, RecordKind, State, StepKind
from tests.fixtures.acting import approved, step, virtually
from tests.fixtures.stage import Stage

NO = GuardResult(guard="budget", allowed=False, reason="3 of 3 in this hour")
SMALLER = {"size": 50}


@pytest.mark.parametrize("kind", StepKind)
def test_each_kind_of_step_is_done_once_and_verified(kind: StepKind) -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=kind, arguments=SMALLER))
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1
        wanted = "proposed guards claimed guards measured intent outcome moved measured verdict"
        assert stage.kinds() == wanted.split()
        assert stage.target.sessions == 0
        assert not stage.executor.busy
        assert (await stage.store.verify()).first_bad is None

    virtually(test())


def test_an_intent_has_all_that_a_successor_or_a_person_must_know() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER), step("second", operation="plain"))
        assert await stage.carry_out() is State.SUCCEEDED
        first, second = stage.records(RecordKind.INTENT)
        assert (first.step, first.attempt, first.epoch) == (0, 1, 1)
        assert first.body["before"] == {"size": 100.0}, "read before the effect"
        assert first.body["text"] == "make shrink"
        assert first.body["kind"] == "idempotent"
        assert first.body["arguments"] == {"size": 50}
        assert first.body["may_land_until"] == first.at + 30
        assert first.body["read_back"] == "the target is asked"
        assert second.body["read_back"] == "nothing tells"
        assert second.body["before"] == {}

    virtually(test())


def test_what_is_not_known_is_not_carried_out() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        with pytest.raises(ActError, match="no execution e2"):
            await stage.executor.carry_out("e2")

    virtually(test())


def test_a_guard_that_refuses_when_claimed_leaves_it_approved_and_the_journal_as_it_was() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        for results in ([NO], []):
            stage.guardian.results["claimed"] = results
            assert await stage.carry_out() is State.APPROVED
        assert stage.kinds() == ["proposed"]

    virtually(test())


def test_while_everything_is_stopped_nothing_is_claimed() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.switch.reason = "somebody said stop"
        assert await stage.carry_out() is State.APPROVED
        assert stage.kinds() == ["proposed"]

    virtually(test())


def test_without_the_lease_nothing_is_claimed() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.lease.epoch = 0
        with pytest.raises(NotOwner):
            await stage.carry_out()
        stage.lease.epoch, stage.lease.deadline = 1, -1.0
        with pytest.raises(NotOwner):
            await stage.carry_out()
        assert stage.kinds() == ["proposed"]

    virtually(test())


def test_what_works_in_a_scope_that_is_held_stays_approved() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.ONCE))
        await approved(stage.store, stage.action.made(), "e2")
        stage.target.then("shrink", "lost_before")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert await stage.executor.carry_out("e2") is State.APPROVED

    virtually(test())


def test_what_ended_is_not_carried_out_again() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        assert await stage.carry_out() is State.SUCCEEDED
        assert await stage.carry_out() is State.SUCCEEDED
        assert await stage.executor.drive("e1") is State.SUCCEEDED
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_one_execution_is_driven_once_at_a_time() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        stage.target.then("shrink", "slow")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stage.carry_out())
            await asyncio.sleep(1)
            assert await stage.executor.drive("e1") is State.RUNNING
        assert first.result() is State.SUCCEEDED
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_act_ends_before_verification_and_drive_does_the_rest() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        assert await stage.executor.act("e1") is State.VERIFYING
        assert await stage.executor.drive("e1") is State.SUCCEEDED

    virtually(test())


def test_f38_a_step_that_may_outlast_the_window_is_not_begun() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=30))
        assert await stage.carry_out(until=stage.clock.now() + 29) is State.CANCELLED
        assert stage.execution.reason == "shrink may take 30 s, and 29 s are left"
        assert stage.target.landed == []

    virtually(test())


def test_f38_a_window_that_ends_between_two_steps_leaves_the_second_alone_and_asks_a_person() -> None:
    async def test() -> None:
        stage = await Stage.of(step(deadline_seconds=30), step("second", deadline_seconds=30))
        stage.target.then("shrink", "slow")
        assert await stage.carry_out(until=stage.clock.now() + 33) is State.NEEDS_HUMAN
        assert stage.target.times("second") == 0
        assert "second may take 30 s, and 28 s are left" in stage.execution.reason
        assert "this stays as it is until somebody decides: shrink" in stage.execution.reason

    virtually(test())


def test_a_step_that_the_target_refuses_has_had_no_effect_and_that_is_the_end() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3))
        stage.target.then("shrink", "refused")
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.execution.reason == "shrink failed: shrink: the target says no"
        assert stage.kinds().count("intent") == 1

    virtually(test())


def test_a_busy_target_is_tried_again_with_an_intent_for_each_attempt_and_growing_pauses() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=3, arguments=SMALLER))
        stage.target.then("shrink", "busy", "busy")
        assert await stage.carry_out() is State.SUCCEEDED
        intents = stage.records(RecordKind.INTENT)
        assert [record.attempt for record in intents] == [1, 2, 3]
        pauses = [later.at - earlier.at for earlier, later in itertools.pairwise(intents)]
        assert pauses == [5 * 1.25, 10 * 1.25]
        assert [record.body["before"] for record in intents] == [{"size": 100.0}] * 3

    virtually(test())


def test_a_target_that_stays_busy_is_left_alone_after_the_last_attempt() -> None:
    async def test() -> None:
        stage = await Stage.of(step(attempts_max=2))
        stage.target.then("shrink", "busy", "busy", "busy")
        assert await stage.carry_out() is State.FAILED_CLEAN
        assert stage.kinds().count("intent") == 2

    virtually(test())


def test_a_step_that_fails_has_the_earlier_ones_and_itself_taken_back_last_first() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"), step("three"))
        stage.target.then("three", "refused")
        assert await stage.carry_out() is State.ROLLED_BACK
        undone = [each.step for each in stage.target.landed if each.undo]
        assert undone == ["three", "two", "one"]
        assert stage.target.standing == set()
        assert stage.kinds().count("undo_intent") == stage.kinds().count("undo_outcome") == 3
        assert stage.records(RecordKind.UNDO_INTENT)[0].body["text"] == "unmake three"

    virtually(test())


@pytest.mark.parametrize("kind", [StepKind.IDEMPOTENT, StepKind.CHECKABLE, StepKind.ONCE])
def test_a_plan_with_a_step_that_nothing_takes_back_never_ends_rolled_back(kind: StepKind) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", kind=kind, undoable=False), step("two"))
        stage.target.then("two", "refused")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == "two failed: two: the target says no; nothing takes back one"
        assert not any(each.undo for each in stage.target.landed)

    virtually(test())


def test_an_irreversible_plan_is_never_taken_back_by_itself() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"), irreversible=True)
        stage.target.then("two", "refused")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "nothing takes back one" in stage.execution.reason

    virtually(test())


def test_reading_steps_that_were_done_leave_nothing_to_take_back() -> None:
    async def test() -> None:
        stage = await Stage.of(step("look", kind=StepKind.READ), step("two"))
        stage.target.then("two", "refused")
        assert await stage.carry_out() is State.FAILED_CLEAN

    virtually(test())


@pytest.mark.parametrize("defect", [False, True])
def test_what_undoing_needs_is_read_before_the_intent_or_nothing_is_begun(defect: bool) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("capture two", "defect" if defect else "refused")
        stage.target.then("capture one", "ok")
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.kinds().count("intent") == 1, "of the first step alone"
        assert stage.target.times("two") == 0
        reasons = [record.body.get("reason", "") for record in stage.records(RecordKind.MOVED)]
        assert any("two was not begun" in reason for reason in reasons)

    virtually(test())


def test_a_first_step_whose_undo_data_cannot_be_read_is_refused() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"))
        stage.target.then("capture one", "refused")
        assert await stage.carry_out() is State.REFUSED
        assert "intent" not in stage.kinds()

    virtually(test())


def test_a_session_that_breaks_between_two_steps_is_opened_anew_with_its_fence() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two", arguments=SMALLER))
        stage.store.on_write = lambda moment, record: (
            stage.break_sessions() if moment == "after" and record.kind is RecordKind.OUTCOME else None
        )
        assert await stage.carry_out() is State.SUCCEEDED
        assert len(stage.hands.opened) >= 3
        assert stage.target.times("two") == 1

    virtually(test())


def test_a_target_that_goes_away_between_two_steps_is_waited_for() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two", arguments=SMALLER))
        asyncio.get_running_loop().call_later(20, lambda: setattr(stage.target, "reachable", True))

        def leaves(moment: str, record: Any) -> None:
            if moment == "after" and record.kind is RecordKind.OUTCOME and record.step == 0:
                stage.target.reachable = False

        stage.store.on_write = leaves
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


def test_f53_another_server_between_two_steps_is_not_worked_on() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))

        def fails_over(moment: str, record: Any) -> None:
            if moment == "after" and record.kind is RecordKind.OUTCOME:
                stage.target.identity = replace(stage.target.identity, timeline=2)
                stage.break_sessions()

        stage.store.on_write = fails_over
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "timeline 2 instead of 1" in stage.execution.reason
        assert stage.target.times("two") == 0

    virtually(test())


def test_f53_another_server_right_before_the_first_step_is_refused() -> None:
    async def test() -> None:
        stage = await Stage.of(step())

        def fails_over(moment: str, record: Any) -> None:
            if moment == "after" and record.kind is RecordKind.MEASURED:
                stage.target.identity = replace(stage.target.identity, timeline=2)
                stage.break_sessions()

        stage.store.on_write = fails_over
        assert await stage.carry_out() is State.REFUSED
        assert "timeline 2 instead of 1" in stage.execution.reason
        assert stage.target.landed == []

    virtually(test())


def test_results_of_earlier_steps_reach_later_ones() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", arguments={"size": 70}), step("two"))
        seen: list[Any] = []
        operations = stage.action.operations

        async def perform(work: Any) -> Any:
            seen.append(dict(work.results))
            return {"not": {"json"}} if work.step.name == "two" else {"size": 70}

        both = {"do": replace(operations["do"], perform=perform)}
        stage.action.__class__ = type("Seeing", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is State.SUCCEEDED
        assert seen == [{}, {"one": {"size": 70}}]
        told = stage.records(RecordKind.OUTCOME)[1].body["evidence"]
        assert told == {"not_json": "{'not': {'json'}}"}

    virtually(test())
