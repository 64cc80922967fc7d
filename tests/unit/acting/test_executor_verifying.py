"""How the effect is told, and what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actions.model import Inconclusive, RecordKind, State, StepKind, Verdict, Verification
from tests.fixtures.acting import step, virtually
from tests.fixtures.stage import Stage


async def _stage(size: float, **verification: Any) -> Stage:
    spec = Verification(**({"within_seconds": 60} | verification))
    return await Stage.of(step(arguments={"size": size}), verification=spec)


@pytest.mark.parametrize(
    ("size", "verdict", "end"),
    [
        (50, Verdict.IMPROVED, State.SUCCEEDED),
        (100, Verdict.NEUTRAL, State.SUCCEEDED),
        (200, Verdict.WORSE, State.ROLLED_BACK),
    ],
)
def test_what_is_measured_decides(size: float, verdict: Verdict, end: State) -> None:
    async def test() -> None:
        stage = await _stage(size)
        assert await stage.carry_out() is end
        before, after = stage.records(RecordKind.MEASURED)
        assert before.body == {"when": "before", "values": {"size": 100.0}}
        assert after.body == {"when": "after", "values": {"size": size}}
        told = stage.records(RecordKind.VERDICT)[0].body
        assert told["verdict"] == verdict
        assert told["before"] == {"size": 100.0}

    virtually(test())


def test_what_made_things_worse_is_taken_back_and_its_family_is_banned() -> None:
    async def test() -> None:
        stage = await _stage(200)
        assert await stage.carry_out() is State.ROLLED_BACK
        assert stage.target.size == 100.0
        (ban,) = [record for record in stage.store.journal if record.body.get("event") == "banned"]
        assert ban.kind is RecordKind.NOTE
        assert ban.body["ban"] == ban.body["family"] == stage.execution.plan.family
        assert ban.body["action"] == "fake.act"
        assert ban.body["until"] == ban.at + 90 * 86400
        assert "e1" in ban.body["why"]

    virtually(test())


def test_what_made_things_worse_and_cannot_be_taken_back_is_left_to_a_person() -> None:
    async def test() -> None:
        stage = await Stage.of(step(arguments={"size": 200}, undoable=False))
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert stage.execution.reason == "it made things worse; nothing takes back shrink"

    virtually(test())


def test_the_first_look_waits_until_things_have_settled() -> None:
    async def test() -> None:
        stage = await _stage(50, settle_seconds=40)
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.clock.monotonic() == 40

    virtually(test())


def test_a_time_to_settle_that_is_longer_than_the_time_to_tell_gets_one_look() -> None:
    async def test() -> None:
        stage = await _stage(50, settle_seconds=100)
        assert await stage.carry_out() is State.SUCCEEDED
        assert stage.clock.monotonic() == 100

    virtually(test())


def test_it_looks_again_until_the_effect_can_be_told_and_holds_nothing_meanwhile() -> None:
    async def test() -> None:
        stage = await _stage(50, within_seconds=86400, every_seconds=900)
        stage.store.on_write = lambda _, record: (
            setattr(stage.target, "size", None) if record.kind is RecordKind.OUTCOME else None
        )
        asyncio.get_running_loop().call_later(80000, lambda: setattr(stage.target, "size", 50.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stage.carry_out())
            await asyncio.sleep(1000)
            assert stage.state is State.VERIFYING
            assert stage.target.sessions == 0
            assert stage.target.fences == {}
        assert task.result() is State.SUCCEEDED
        assert len(stage.records(RecordKind.MEASURED)) == 2, "looks that tell nothing are not written down"

    virtually(test())


@pytest.mark.parametrize(
    ("follows", "end"),
    [
        (Inconclusive.KEEP, State.SUCCEEDED),
        (Inconclusive.REVERT, State.ROLLED_BACK),
        (Inconclusive.HUMAN, State.NEEDS_HUMAN),
    ],
)
def test_an_effect_that_cannot_be_told_in_time_ends_as_the_plan_says(
    follows: Inconclusive, end: State
) -> None:
    async def test() -> None:
        stage = await _stage(50, on_inconclusive=follows)
        stage.target.size = None
        stage.action.steps = [step()]
        changed = replace(stage.execution.plan, steps=(step(),))
        stage.alter(plan=changed, plan_hash=changed.plan_hash)
        assert await stage.carry_out() is end
        assert 60 <= stage.clock.monotonic() < 61
        verdict = stage.records(RecordKind.VERDICT)[0].body
        assert verdict["verdict"] == "inconclusive"
        assert "its effect could not be told in time: what was measured does not tell" in verdict["reason"]

    virtually(test())


@pytest.mark.parametrize(
    ("follows", "end"),
    [
        (Inconclusive.KEEP, State.NEEDS_HUMAN),
        (Inconclusive.REVERT, State.NEEDS_HUMAN),
        (Inconclusive.HUMAN, State.NEEDS_HUMAN),
    ],
)
def test_f31_a_target_that_is_down_while_verifying_never_makes_it_a_success(
    follows: Inconclusive, end: State
) -> None:
    async def test() -> None:
        stage = await _stage(50, on_inconclusive=follows)
        stage.store.on_write = lambda moment, record: (
            setattr(stage.target, "reachable", False)
            if moment == "after" and record.body.get("to") == "verifying"
            else None
        )
        assert await stage.carry_out() is end
        verdict = stage.records(RecordKind.VERDICT)[0].body
        assert verdict["verdict"] == "inconclusive"
        assert "it could not be measured: pg1 cannot be reached" in verdict["reason"]

    virtually(test())


def test_f31_measuring_that_has_a_defect_tells_nothing() -> None:
    async def test() -> None:
        stage = await _stage(50)
        looks = [0]

        def defect() -> None:
            looks[0] += 1
            if looks[0] > 1:
                raise ZeroDivisionError("by nothing")

        stage.action.on_measure = defect
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "measuring it has a defect: by nothing" in stage.execution.reason

    virtually(test())


def test_f31_another_server_is_not_measured() -> None:
    async def test() -> None:
        stage = await _stage(50)
        stage.store.on_write = lambda _, record: (
            setattr(stage.target, "identity", replace(stage.target.identity, system="other"))
            if record.body.get("to") == "verifying"
            else None
        )
        assert await stage.carry_out() is State.NEEDS_HUMAN
        assert "system 'other'" in stage.execution.reason

    virtually(test())


def test_a_verification_of_a_day_goes_on_after_a_restart_in_the_middle_of_it() -> None:
    async def test() -> None:
        stage = await _stage(50, within_seconds=86400, settle_seconds=80000, every_seconds=900)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stage.carry_out())
            await asyncio.sleep(40000)
            task.cancel()
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED
        assert stage.clock.monotonic() == 80000, "from where it was, not from its begin"
        assert stage.target.times("shrink") == 1

    virtually(test())


def test_a_verification_that_nobody_was_there_to_do_gets_one_look_after_its_time() -> None:
    async def test() -> None:
        stage = await _stage(50, within_seconds=600)
        assert await stage.executor.act("e1") is State.VERIFYING
        await asyncio.sleep(5000)
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED

    virtually(test())


def test_once_steps_are_verified_like_others() -> None:
    async def test() -> None:
        stage = await Stage.of(step(kind=StepKind.ONCE, arguments={"size": 10}))
        assert await stage.carry_out() is State.SUCCEEDED

    virtually(test())
