"""What people decide about executions that need them, and about those that succeeded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from actions.errors import NotDone, NotOwner
from actions.model import RecordKind, Scope, State, StepKind, Verification
from actions.recovery import Recovery
from actions.run.by_hand import How
from tests.fixtures.acting import approved, step, virtually
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}


async def _settled(stage: Stage, how: How) -> State:
    """Settle it as a person does, then go on as the daemon does."""
    assert stage.state is State.NEEDS_HUMAN
    await stage.executor.settle("e1", how, "ann", "I have looked")
    for key in await Recovery(stage.executor).adopt():
        await Recovery(stage.executor).resume(key)
    return stage.state


async def _unknown_once() -> Stage:
    stage = await Stage.of(step("one", kind=StepKind.ONCE), step("two", arguments=SMALLER))
    stage.target.then("one", "lost_after")
    await stage.carry_out()
    return stage


def test_what_a_person_says_was_done_goes_on_with_the_next_step() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        assert await _settled(stage, "mark_done") is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1
        said = stage.records(RecordKind.OUTCOME)[1]
        assert (said.who, said.body["by"], said.body["outcome"]) == ("ann", "person", "ok")
        assert said.body["reason"] == "ann: I have looked"

    virtually(test())


def test_what_a_person_says_was_not_done_has_failed_without_effect() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        assert await _settled(stage, "mark_not_done") is State.FAILED_CLEAN
        assert stage.target.times("two") == 0

    virtually(test())


def test_resuming_what_is_never_repeated_asks_again() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        assert await _settled(stage, "resume") is State.NEEDS_HUMAN
        assert stage.kinds().count("intent") == 1

    virtually(test())


def test_what_a_person_wants_taken_back_is() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        assert await _settled(stage, "revert") is State.ROLLED_BACK
        assert stage.target.standing == set()

    virtually(test())


def test_a_person_may_have_it_taken_back_while_everything_is_stopped() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        stage.switch.reason = "stop"
        assert await _settled(stage, "revert") is State.ROLLED_BACK

    virtually(test())


def test_what_can_be_taken_back_is_and_the_rest_is_said() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two", undoable=False), step("three"))
        stage.target.then("three", "refused")
        await stage.carry_out()
        assert await _settled(stage, "revert") is State.NEEDS_HUMAN
        assert stage.execution.reason == (
            "all that can be taken back is; this stands, or may stand: two; taken back: one, three"
        )
        assert await _settled(stage, "mark_done") is State.CLOSED_BY_HUMAN

    virtually(test())


def test_an_irreversible_plan_does_not_end_rolled_back_by_hand_either() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"), irreversible=True)
        stage.target.then("two", "refused")
        await stage.carry_out()
        assert await _settled(stage, "revert") is State.NEEDS_HUMAN
        assert "all that can be taken back is; nothing stands" in stage.execution.reason
        assert stage.target.standing == set()

    virtually(test())


def test_a_step_that_failed_is_tried_again_when_a_person_resumes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", undoable=False), step("two", arguments=SMALLER))
        stage.target.then("two", "refused", "refused")
        await stage.carry_out()
        assert await _settled(stage, "resume") is State.NEEDS_HUMAN
        assert stage.kinds().count("intent") == 3
        assert await _settled(stage, "resume") is State.SUCCEEDED
        assert [record.attempt for record in stage.records(RecordKind.INTENT)] == [1, 1, 2, 3]

    virtually(test())


def test_an_unknown_outcome_is_resolved_anew_when_a_person_resumes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", operation="plain", deadline_seconds=3, arguments=SMALLER))
        stage.target.then("one", "slow")
        await stage.carry_out()
        assert await _settled(stage, "resume") is State.SUCCEEDED

    virtually(test())


def test_a_plan_that_was_stopped_in_the_middle_goes_on_when_a_person_resumes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two", arguments=SMALLER))
        stage.target.then("one", "slow")
        asyncio.get_running_loop().call_later(1, lambda: setattr(stage.switch, "reason", "stop"))
        await stage.carry_out()
        assert await _settled(stage, "resume") is State.NEEDS_HUMAN, "still stopped"
        stage.switch.reason = ""
        await asyncio.sleep(1e6)
        assert await _settled(stage, "resume") is State.SUCCEEDED, "its time begins anew"
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


def test_an_undo_that_failed_is_tried_again_when_a_person_resumes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        stage.target.then("undo one", "refused")
        await stage.carry_out()
        assert await _settled(stage, "resume") is State.ROLLED_BACK
        assert stage.target.standing == set()

    virtually(test())


def test_an_undo_that_a_person_did_is_done() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"), step("three"))
        stage.target.then("three", "refused")
        stage.target.then("undo two", "refused")
        await stage.carry_out()
        assert await _settled(stage, "mark_done") is State.ROLLED_BACK
        assert stage.target.times("two", undo=True) == 0
        assert stage.target.times("one", undo=True) == 1

    virtually(test())


def test_an_undo_that_a_person_says_was_not_done_ends_it() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        stage.target.then("undo two", "refused")
        await stage.carry_out()
        assert await _settled(stage, "mark_not_done") is State.CLOSED_BY_HUMAN
        assert stage.records(RecordKind.MOVED)[-1].body["marked"] == "not_done"
        assert stage.records(RecordKind.MOVED)[-1].who == "ann"

    virtually(test())


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("resume", State.SUCCEEDED),
        ("revert", State.ROLLED_BACK),
        ("mark_done", State.CLOSED_BY_HUMAN),
        ("mark_not_done", State.CLOSED_BY_HUMAN),
    ],
)
def test_an_effect_that_could_not_be_told_is_looked_at_again_or_closed(how: How, end: State) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), verification=Verification(within_seconds=60))
        stage.store.on_write = lambda _, record: (
            setattr(stage.target, "size", None) if record.kind is RecordKind.OUTCOME else None
        )
        await stage.carry_out()
        stage.store.on_write = None
        await asyncio.sleep(1000)
        stage.target.size = 90.0
        assert await _settled(stage, how) is end

    virtually(test())


def test_what_needs_nobody_is_not_settled() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", arguments=SMALLER))
        await stage.carry_out()
        with pytest.raises(NotDone, match="e1 is succeeded: nothing waits for a person's decision"):
            await stage.executor.settle("e1", "resume", "ann", "")

    virtually(test())


def test_without_the_lease_nothing_is_settled() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        stage.lease.epoch = 0
        with pytest.raises(NotOwner, match="not held here"):
            await stage.executor.settle("e1", "mark_done", "ann", "")
        stage.lease.epoch, stage.lease.deadline = 1, 0.0
        with pytest.raises(NotOwner, match="not held here"):
            await stage.executor.settle("e1", "mark_done", "ann", "")
        assert stage.state is State.NEEDS_HUMAN

    virtually(test())


def test_what_another_daemon_left_to_a_person_is_settled_in_our_epoch() -> None:
    async def test() -> None:
        stage = await _unknown_once()
        await stage.restart()
        assert await _settled(stage, "mark_done") is State.SUCCEEDED
        assert stage.execution.epoch == 2

    virtually(test())


def test_what_succeeded_is_taken_back_on_demand_with_intents_and_outcomes() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two", arguments=SMALLER))
        await stage.carry_out()
        await stage.restart()
        assert await stage.executor.undo("e1", "ann", "the users complain") is State.COMPENSATING
        assert await stage.recover() is State.ROLLED_BACK
        assert stage.target.standing == set()
        assert stage.target.size == 100.0
        assert stage.kinds().count("undo_intent") == stage.kinds().count("undo_outcome") == 2
        asked = [record for record in stage.records(RecordKind.MOVED) if record.who == "ann"]
        assert asked[0].body["note"] == "the users complain"

    virtually(test())


def test_what_cannot_be_undone_is_not() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", undoable=False, arguments=SMALLER))
        with pytest.raises(NotDone, match="only what succeeded can be undone"):
            await stage.executor.undo("e1", "ann", "")
        await stage.carry_out()
        with pytest.raises(NotDone, match="nothing takes back one"):
            await stage.executor.undo("e1", "ann", "")
        stage.switch.reason = "stop"
        with pytest.raises(NotDone, match="not undone now: stop"):
            await stage.executor.undo("e1", "ann", "")

    virtually(test())


def test_what_only_looked_has_nothing_to_undo() -> None:
    async def test() -> None:
        stage = await Stage.of(step("look", kind=StepKind.READ))
        await stage.carry_out()
        with pytest.raises(NotDone, match="nothing takes back what it did"):
            await stage.executor.undo("e1", "ann", "")

    virtually(test())


def test_nothing_is_undone_while_another_works_in_its_scope() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", arguments=SMALLER))
        await stage.carry_out()
        elsewhere = replace(stage.action.made(), scope=Scope(cluster="c2"))
        await approved(stage.store, elsewhere, "e3", state=State.NEEDS_HUMAN)
        await approved(stage.store, stage.action.made(), "e2")
        stage.target.then("one", "slow")
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.executor.carry_out("e2"))
            await asyncio.sleep(1)
            with pytest.raises(NotDone, match=r"e2 is at work in cluster:c1/table:5\.1"):
                await stage.executor.undo("e1", "ann", "")

    virtually(test())
