"""What all states of an execution need while it is driven: its ledger, its session, and when to halt."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actions.action import Action, Operation, Work
from actions.model import Execution, Json, Plan, RecordKind, State, Step, StepKind
from actions.ports import ActingSession, Clock, Guardian, Hands, Lease, Store, Switch
from actions.run.grip import Grip
from actions.run.ledger import Ledger
from actions.run.progress import Attempt, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take, seconds; tests make it short."""

    open: float = 30.0
    """A session with its fence."""
    fence: float = 10.0
    """An older session that holds the fence, before it is ended."""
    look: float = 60.0
    """Everything that only reads: guards, capture, measuring, reading back."""
    cancel: float = 3.0
    """An effect that was cancelled, before it is left behind."""
    retry: float = 5.0
    """Before the second attempt; doubles with each, and a random half is added."""
    retry_most: float = 60.0
    resolve: float = 300.0
    """An outcome that cannot be told; a person is asked then. At least the step's own deadline."""
    chance: Callable[[], float] = random.random
    """0 to 1: keeps daemons and sessions from trying in step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What executions are carried out with."""

    store: Store
    hands: Hands
    actions: Mapping[str, Action]
    guardian: Guardian
    switch: Switch
    lease: Lease
    clock: Clock
    patience: Patience
    undo_on_stop: Callable[[Execution], bool]


@dataclass(slots=True)
class Course:
    """One execution under way."""

    parts: Parts
    ledger: Ledger
    grip: Grip

    @property
    def execution(self) -> Execution:
        """Return the execution as it stands."""
        return self.ledger.execution

    @property
    def plan(self) -> Plan:
        """Return its plan."""
        return self.ledger.execution.plan

    @property
    def action(self) -> Action:
        """Return its action; raise KeyError where this program has it no more."""
        return self.parts.actions[self.plan.action]

    def operation(self, step: Step) -> Operation:
        """Return how a step is done."""
        return self.action.operations[step.operation]

    def stopped(self) -> str:
        """Return why everything is told to stop."""
        return self.parts.switch.stopped(self.plan.target, self.plan.action)

    def halted(self) -> str:
        """Return why what runs must be stopped: the kill switch, or a lease that is not ours any more."""
        held = self.parts.lease.held()
        if held.epoch != self.ledger.epoch or self.parts.clock.monotonic() >= held.deadline:
            return "the lease is lost"
        return self.stopped()

    def no_time(self, step: Step) -> str:
        """Say so when a step that takes until its deadline would end after the execution must have."""
        left = self.execution.deadline - self.parts.clock.now()
        if left >= step.deadline_seconds:
            return ""
        return f"{step.name} may take {step.deadline_seconds:g} s, and {max(left, 0.0):.0f} s are left"

    def pause(self, tried: int) -> float:
        """Return how long to wait after so many attempts."""
        patience = self.parts.patience
        seconds = min(patience.retry * 2.0 ** max(tried - 1, 0), patience.retry_most)
        return seconds * (1.0 + patience.chance() / 2)

    def patient(self, step: Step) -> bool:
        """Tell whether what cannot be done now may still be waited for, counted from the last transition."""
        waited = self.parts.clock.now() - self.execution.updated
        return waited < max(self.parts.patience.resolve, step.deadline_seconds)

    def work(self, step: Step, attempt: int, session: ActingSession, before: Any, done: Progress) -> Work:  # noqa: ANN401 - JSON
        """Return what an operation gets."""
        return Work(
            plan=self.plan,
            step=step,
            execution=self.execution.id,
            epoch=self.ledger.epoch,
            attempt=attempt,
            session=session,
            before=before or {},
            results=done.results,
        )

    async def ask_person(self, reason: str, evidence: Mapping[str, Json] | None = None) -> None:
        """Leave it to a person; the scope stays held."""
        body = {"evidence": evidence} if evidence else {}
        await self.ledger.move(State.NEEDS_HUMAN, RecordKind.MOVED, body, reason=reason)

    async def retreat(self, done: Progress, reason: str, *, halted: bool = False) -> None:
        """End going forward: nothing stands, or it is taken back, or a person is asked."""
        if not done.standing:
            await self._end_clean(done, reason, halted=halted)
        elif halted and not self.parts.undo_on_stop(self.execution):
            names = ", ".join(self.plan.steps[index].name for index in done.standing)
            await self.ask_person(f"{reason}; this stays as it is until somebody decides: {names}")
        elif done.fixed:
            await self.ask_person(f"{reason}; nothing takes back {', '.join(done.fixed)}")
        else:
            await self.ledger.move(State.COMPENSATING, RecordKind.MOVED, {}, reason=reason)

    async def _end_clean(self, done: Progress, reason: str, *, halted: bool) -> None:
        without = State.CANCELLED if halted else State.REFUSED
        to = State.FAILED_CLEAN if done.attempts else without
        await self.ledger.move(to, RecordKind.MOVED, {}, reason=reason)


def attempts_allowed(step: Step, attempts: list[Attempt]) -> int:
    """Return how often a step may be begun in all, after these attempts.

    What can be repeated without harm gets three attempts when an answer was lost or the daemon ended in mid
    step, but no more than planned when it took too long. What cannot gets another for each attempt
    (two at most) that nobody lived to see the end of, once the target has said that it was not done.
    """
    if step.kind in {StepKind.READ, StepKind.IDEMPOTENT}:
        lost = not attempts or (attempts[-1].may_stand and not attempts[-1].late)
        return max(step.attempts_max, 3) if lost else step.attempts_max
    return step.attempts_max + min(sum(each.orphaned for each in attempts), 2)


def time_for(plan: Plan) -> float:
    """Return how long a plan may take at the most up to its verification, seconds."""
    return sum(step.deadline_seconds * max(step.attempts_max, 3) for step in plan.steps) + 600.0
