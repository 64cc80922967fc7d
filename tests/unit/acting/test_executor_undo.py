"""Taking back: what gets lost then, and what cannot be taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actions.model import RecordKind, State
from tests.fixtures.acting import step, virtually
from tests.fixtures.fake_target import How
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}
LOST: list[How] = ["lost_before", "lost_after", "late"]


def test_an_unknown_attempt_before_a_clean_failure_may_still_stand_and_is_taken_back() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        stage.target.then("shrink", "lost_after", "refused")
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.target.standing == set()
        assert stage.target.size == 100.0

    virtually(test())


def test_f33_an_undo_that_fails_is_left_to_a_person_with_what_stands_and_the_scope_stays_held() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"), step("three"))
        stage.target.then("three", "refused")
        stage.target.then("undo two", "refused")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == (
            "two could not be taken back: two: the target says no; this stands, or may stand: one, two;"
            " taken back: three"
        )
        assert stage.target.times("one", undo=True) == 0

    virtually(test())


@pytest.mark.parametrize("how", ["busy", "lost_before", "lost_after", "late"])
def test_an_undo_that_gets_lost_is_done_again_because_it_is_idempotent(how: How) -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", arguments=SMALLER), step("two"))
        stage.target.then("two", "refused")
        stage.target.then("undo one", how)
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.target.standing == set()
        assert stage.target.size == 100.0
        undone = [(record.step, record.attempt) for record in stage.records(RecordKind.UNDO_INTENT)]
        assert undone == [(1, 1), (0, 1), (0, 2)]

    virtually(test())


def test_f33_an_undo_that_stays_lost_is_left_to_a_person_after_three_attempts() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        lost: list[How] = ["lost_before"] * 5
        stage.target.then("undo one", *lost)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "one could not be taken back: connection lost" in stage.execution.reason
        assert stage.kinds().count("undo_intent") == 4

    virtually(test())


def test_f33_a_target_that_is_away_while_taking_back_is_waited_for_and_then_left_to_a_person() -> None:
    async def test(seconds: float, end: State) -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")
        stage.store.on_write = lambda moment, record: (
            _leave(stage, seconds) if moment == "after" and record.body.get("to") == "compensating" else None
        )
        assert await stage.carry_out() is end
        if end is State.NEEDS_HUMAN:
            assert "two could not be taken back: pg1 cannot be reached" in stage.execution.reason

    virtually(test(60, State.ROLLED_BACK))
    virtually(test(1e6, State.NEEDS_HUMAN))


def _leave(stage: Stage, seconds: float) -> None:
    stage.store.on_write = None
    stage.target.reachable = False
    asyncio.get_running_loop().call_later(seconds, lambda: setattr(stage.target, "reachable", True))


def test_f53_what_was_done_is_not_taken_back_on_another_server() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one"), step("two"))
        stage.target.then("two", "refused")

        def fails_over(moment: str, record: Any) -> None:
            if moment == "after" and record.body.get("to") == "compensating":
                stage.target.identity = replace(stage.target.identity, timeline=2)
                stage.break_sessions()

        stage.store.on_write = fails_over
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "timeline 2 instead of 1" in stage.execution.reason
        assert "this stands, or may stand: one" in stage.execution.reason

    virtually(test())


def test_a_step_that_says_it_can_be_undone_but_has_no_undo_is_left_to_a_person() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", operation="plain", undoable=True), step("two"))
        stage.target.then("two", "refused")
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "one could not be taken back: plain has no undo in this version" in stage.execution.reason

    virtually(test())
