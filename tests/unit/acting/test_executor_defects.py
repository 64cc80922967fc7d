"""Defects of our own, and of what a newer version no longer has: told, and nothing goes on in circles."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from actions.model import GuardResult, RecordKind, State, StepKind
from tests.fixtures.acting import Killed, step, virtually
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}


async def _killed_in_mid_step() -> Stage:
    stage = await Stage.of(step(kind=StepKind.CHECKABLE, arguments=SMALLER))

    def killed() -> None:
        raise Killed

    stage.at(RecordKind.INTENT, "after", killed)
    with pytest.raises(Killed):
        await stage.carry_out()
    await stage.restart()
    return stage


@pytest.mark.parametrize("gone", [False, True])
def test_f55_what_an_older_version_began_is_left_to_a_person_where_the_action_has_changed(gone: bool) -> None:
    async def test() -> None:
        stage = await _killed_in_mid_step()
        if gone:
            stage.executor.parts.actions.clear()  # type: ignore[attr-defined]
        else:
            stage.action.version = 2
        assert await stage.recover() is State.NEEDS_HUMAN
        wanted = "there is no action fake.act in this version" if gone else "the plan is of version 1"
        assert stage.execution.reason.startswith(f"this program cannot go on with it: {wanted}")
        assert stage.target.landed == []

    virtually(test())


def test_f55_what_an_older_version_began_goes_on_where_the_action_is_the_same() -> None:
    async def test() -> None:
        stage = await _killed_in_mid_step()
        assert await stage.recover() is State.SUCCEEDED

    virtually(test())


def test_a_defect_of_our_own_breaks_it_off_and_a_person_is_asked() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))

        def defect(_: Any) -> bool:
            raise ZeroDivisionError("of ours")

        stage.switch.reason = ""
        stage.at(RecordKind.OUTCOME, "after", lambda: setattr(stage.switch, "reason", "stop"))
        stage.executor.parts = replace(stage.executor.parts, undo_on_stop=defect)
        stage.alter(plan=replace(stage.execution.plan, steps=(step(arguments=SMALLER), step("two"))))
        stage.alter(plan_hash=stage.execution.plan.plan_hash)
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == "it was broken off by a defect of this program: of ours"
        assert await stage.recover() is State.NEEDS_HUMAN, "it does not go on in circles"

    virtually(test())


@pytest.mark.parametrize(
    "before",
    [
        {"definition": "CREATE INDEX i ON t (a) WHERE password = 'x'"},
        {"password": "x"},
        {"settings": ["work_mem=4MB", {"deep": "postgresql://u:secret@h/d"}]},
        {"name": "a\0b"},
        {"size": math.nan},
    ],
)
@pytest.mark.parametrize("undoable", [False, True])
def test_undo_data_that_the_journal_would_mask_is_no_undo_data(before: Any, undoable: bool) -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER, undoable=undoable))

        async def capture(_: Any) -> Any:
            return before

        both = {"do": replace(stage.action.operations["do"], capture=capture)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is (State.REFUSED if undoable else State.SUCCEEDED)
        if undoable:
            assert stage.target.landed == []
            assert "the journal masks, or cannot hold, what undoing needs" in stage.execution.reason

    virtually(test())


def test_undo_data_that_is_no_secret_is_kept() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        whole = {"password_encryption": "md5", "options": ["a=1", {"n": 1.5}], "none": None}

        async def capture(_: Any) -> Any:
            return whole

        both = {"do": replace(stage.action.operations["do"], capture=capture)}
        stage.action.__class__ = type("Odd", (type(stage.action),), {"operations": both, "__slots__": ()})
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.records(RecordKind.INTENT)[0].body["before"] == whole

    virtually(test())


def test_what_is_measured_and_is_no_number_is_absent() -> None:
    async def test() -> None:
        stage = await Stage.of(step(undoable=False))
        stage.target.size = math.nan
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.records(RecordKind.MEASURED)[0].body["values"] == {}
        assert "what was measured does not tell" in stage.execution.reason

    virtually(test())


def test_what_a_guard_looked_at_and_no_journal_can_hold_is_told_as_text() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments=SMALLER))
        odd = GuardResult(guard="headroom", allowed=True, reason="enough", inputs={"free": math.inf})
        stage.guardian.results["session"] = [odd]
        assert await stage.carry_out() is State.SUCCEEDED
        (kept,) = stage.records(RecordKind.GUARDS)[-1].body["results"]
        assert "headroom" in str(kept)

    virtually(test())
