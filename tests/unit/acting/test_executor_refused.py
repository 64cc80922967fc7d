"""What refuses in the acting session, before anything was begun."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actions.errors import NotDone, OutcomeUnknown, StoreUnavailable
from actions.model import GuardResult, Plan, RecordKind, Refusal, State
from actions.ports import ActingSession
from tests.fixtures.acting import FakeGuardian, step, virtually
from tests.fixtures.stage import Stage

NO = GuardResult(guard="budget", allowed=False, reason="3 of 3 in this hour")
SMALLER = {"size": 50}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"refusal": Refusal("precondition", "the table is gone")}, "precondition: the table is gone"),
        ({"version": 2}, "precondition: the plan is of version 1 of fake.act, and this is 2"),
    ],
)
def test_an_action_that_says_no_in_the_session_refuses(change: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        for name, value in change.items():
            setattr(stage.action, name, value)
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == reason
        assert stage.target.landed == []

    virtually(test())


def test_a_guard_that_refuses_in_the_session_refuses_and_all_results_are_kept() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        yes = GuardResult(guard="mode", allowed=True, reason="auto", inputs={"mode": "auto"})
        stage.guardian.results["session"] = [yes, NO]
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == "budget: 3 of 3 in this hour"
        kept = stage.records(RecordKind.GUARDS)[-1].body
        assert kept["stage"] == "session"
        assert [result["guard"] for result in kept["results"]] == ["mode", "budget"]
        assert kept["results"][0]["inputs"] == {"mode": "auto"}

    virtually(test())


def test_no_guard_at_all_in_the_session_refuses() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.guardian.results["session"] = []
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == "mode: no guard has answered"

    virtually(test())


def test_f39_a_plan_that_was_changed_after_it_was_proposed_is_refused() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        other = replace(stage.execution.plan, parameters={"table": "another"})
        stage.alter(plan=other)
        assert await stage.carry_out() is State.REFUSED
        assert "its hash differs" in stage.execution.reason

    virtually(test())


def test_f39_guards_get_the_plan_made_anew_in_the_session_to_compare_it() -> None:
    class Comparing(FakeGuardian):
        async def judge(
            self, execution: Any, stage: str, session: Any = None, fresh: Plan | None = None
        ) -> Any:
            if stage == "session" and (fresh is None or fresh.plan_hash != execution.plan_hash):
                return [GuardResult(guard="identity", allowed=False, reason="it would be another plan now")]
            return await super().judge(execution, stage, session, fresh)

    async def test() -> None:
        stage = await Stage.of(step())
        stage.executor = replace_guardian(stage, Comparing())
        stage.action.steps = [step("another")]
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == "identity: it would be another plan now"
        assert stage.target.landed == []

    virtually(test())


def replace_guardian(stage: Stage, guardian: FakeGuardian) -> Any:
    stage.guardian = guardian
    return stage.new_executor()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"action": "fake.gone"}, "there is no action fake.gone in this version"),
        ({"steps": (step(operation="gone"),)}, "fake.act has no operation gone"),
        ({"steps": ()}, "the plan has no steps"),
    ],
)
def test_a_plan_that_this_version_cannot_carry_out_is_refused(plan: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        changed = replace(stage.execution.plan, **plan)
        stage.alter(plan=changed, plan_hash=changed.plan_hash)
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == f"precondition: {reason}"

    virtually(test())


def test_f50_another_server_behind_the_same_name_is_refused() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.target.identity = replace(stage.target.identity, system="1", database_id=6)
        assert await stage.carry_out() is State.REFUSED
        assert (
            "identity: pg1 is not what the plan was made for: system '1' instead of" in stage.execution.reason
        )
        assert "database_id 6 instead of 5" in stage.execution.reason
        assert stage.target.sessions == 0

    virtually(test())


def test_a_target_that_cannot_be_reached_is_refused_before_anything_was_begun() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.target.reachable = False
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == "session: pg1 cannot be worked on: pg1 cannot be reached"

    virtually(test())


def test_a_session_that_never_comes_is_given_up() -> None:
    async def test() -> None:
        stage = await Stage.of(step())
        stage.hands.open = Never  # type: ignore[method-assign,assignment]
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == "session: pg1 cannot be worked on: no session within 30 s"

    virtually(test())


class Never:
    def __init__(self, *_: Any) -> None:
        pass

    async def __aenter__(self) -> ActingSession:
        await asyncio.sleep(1e6)
        raise AssertionError

    async def __aexit__(self, *_: object) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutcomeUnknown("connection lost"), "session: pg1 could not be looked at: connection lost"),
        (NotDone("no right"), "session: pg1 could not be looked at: no right"),
        (TimeoutError(), "session: pg1 could not be looked at: TimeoutError"),
        (KeyError("x"), "defect: looking at pg1 failed by a defect: 'x'"),
    ],
)
def test_what_cannot_be_measured_before_is_not_begun(error: Exception, reason: str) -> None:
    async def test() -> None:
        stage = await Stage.of(step())

        def fails() -> None:
            raise error

        stage.action.on_measure = fails
        assert await stage.carry_out() is State.REFUSED
        assert stage.execution.reason == reason
        assert stage.target.landed == []

    virtually(test())


def test_a_store_that_goes_away_while_guards_are_asked_ends_it_where_it_is() -> None:
    async def test() -> None:
        stage = await Stage.of(step())

        def fails() -> None:
            raise StoreUnavailable("gone")

        stage.action.on_measure = fails
        with pytest.raises(StoreUnavailable):
            await stage.carry_out()
        assert stage.state is State.CLAIMED
        assert stage.target.landed == []
        assert stage.target.sessions == 0

    virtually(test())
