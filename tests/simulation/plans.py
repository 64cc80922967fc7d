"""What is done in a simulation: an action whose plans have steps of all kinds, and alerts that ask for them."""

# ruff: noqa: ARG002 - the ports have these arguments
from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from actions.action import ActionInfo, Operation
from actions.model import (
    SYSTEM,
    ActionClass,
    Execution,
    GuardResult,
    Identity,
    Incident,
    Mode,
    OnStop,
    Plan,
    Prediction,
    Scope,
    State,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.policy import Budget, CoolDown, Policy
from actions.ports import Asked
from rules.model import Place
from tests.fixtures.virtual_time import EPOCH
from tests.simulation.node import CHECKS
from tests.simulation.target import IDENTITY, OPERATIONS, Session

NAME = "sim.act"
POLICIES = {
    name: Policy(
        name=name,
        action=NAME,
        mode=Mode.AUTO,
        place=Place("/etc/policies.yaml", 1, 1),
        budget=Budget(
            per_action_hour=30, per_action_day=200, per_target_hour=20, global_hour=60, per_incident_day=10
        ),
        cool_down=CoolDown(after_success=1.0, after_failure=1.0, after_rollback=1.0),
        undo_on_stop=name == "undoes",
    )
    for name in ("acts", "undoes")
}


@dataclass(slots=True)
class SimAction:
    """Makes the plan again that it made before, unless `changed` says that things are other now."""

    chance: random.Random
    made: dict[str, Plan] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    worse: float = 0.1

    @property
    def info(self) -> ActionInfo:
        return ActionInfo(
            name=NAME, version=1, engine="fake", action_class=ActionClass.B, title="Acts", help="Acts."
        )

    @property
    def operations(self) -> Mapping[str, Operation]:
        return OPERATIONS

    async def plan(self, asked: Asked, session: Session) -> Plan:
        await session.look()
        key = str(asked.parameters["key"])
        plan = self.made[key]
        return replace(plan, subject="another one") if key in self.changed else plan

    async def check(self, plan: Plan, session: Session) -> Sequence[GuardResult]:
        await session.look()
        return CHECKS

    async def measure(self, plan: Plan, session: Session) -> Mapping[str, float]:
        return await session.look()

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        worse = self.chance.random() < self.worse
        return Verdict.WORSE if worse else Verdict.IMPROVED


def new_plan(chance: random.Random, key: str, target: str) -> tuple[Plan, dict[int, StepKind]]:
    """Return a plan with one to three steps, and what kinds its steps are."""
    kinds = [chance.choice(list(StepKind)) for _ in range(chance.randint(1, 3))]
    steps = [
        Step(
            name=f"s{number}",
            operation="tell" if kind is StepKind.CHECKABLE else chance.choice(["tell", "mute"]),
            kind=kind,
            text=f"do {number}",
            deadline_seconds=chance.choice([5.0, 30.0]),
            attempts_max=chance.choice([1, 1, 3]),
            on_stop=chance.choice(list(OnStop)),
            undoable=kind is not StepKind.READ and chance.random() < 0.7,
            undo_text=f"undo {number}",
        )
        for number, kind in enumerate(kinds)
    ]
    part = chance.choice(["", "table:1", "table:2", "table:3"])
    plan = Plan(
        action=NAME,
        version=1,
        action_class=ActionClass.B,
        target=target,
        targets=(target,),
        identity=Identity(**{name: getattr(IDENTITY, name) for name in Identity.__slots__}),
        parameters={"key": key},
        scope=Scope(cluster=target.partition("-")[0], part=part),
        subject=key,
        summary="Acts.",
        reason="An alert.",
        evidence={},
        steps=tuple(steps),
        prediction=Prediction(duration_seconds=1.0),
        verification=Verification(within_seconds=chance.choice([10.0, 60.0]), every_seconds=5.0),
        irreversible=chance.random() < 0.1,
    )
    return plan, dict(enumerate(kinds))


def claimed_kinds(plan: Plan) -> Plan:
    """Return the plan as one that says of all its steps that repeating them does no harm."""
    steps = [
        step if step.kind is StepKind.READ else replace(step, kind=StepKind.IDEMPOTENT) for step in plan.steps
    ]
    return replace(plan, steps=tuple(steps))


def new_execution(plan: Plan, key: str, now: float, *, policy: str, state: State, asks: bool) -> Execution:
    """Return what an alert makes of a plan; `asks` for a person's yes."""
    more: dict[str, Any] = {"mode": Mode.APPROVE} if asks else {"mode": Mode.AUTO}
    return Execution(
        id=key,
        dedup_key=f"dedup {key}",
        plan=plan,
        plan_hash=plan.plan_hash,
        incident=Incident(source="rules", name="Alert", labels={"key": key}, starts_at=EPOCH + now),
        policy=policy,
        proposer=SYSTEM,
        state=state,
        created=EPOCH + now,
        deadline=EPOCH + now + 3600,
        **more,
    )
