"""What must hold in a simulation at every moment, and what is counted of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from actions.action import Work
from actions.model import ENDED, LIVE, Execution, Record, RecordKind, Scope, State, StepKind
from actions.ports import Move
from tests.simulation.target import Backend, Target

STOP_SECONDS = 5.0
_INTENTS = {RecordKind.INTENT: False, RecordKind.UNDO_INTENT: True}
_TWICE = frozenset({StepKind.CHECKABLE, StepKind.ONCE})


@dataclass(slots=True)
class Watch:
    """Sees all that is written and all that happens at the targets; keeps what broke a promise."""

    keep_trace: bool = False
    violations: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kinds: dict[tuple[str, int], StepKind] = field(default_factory=dict)
    """What steps really are, by execution and step."""
    scopes: dict[str, Scope] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    stopped_since: float | None = None
    sent_despite: set[str] = field(default_factory=set)
    """Executions that may be taken back while everything is stopped: by their policy, or since a person said so."""
    _intents: set[tuple[str, int, int, int, bool]] = field(default_factory=set)
    _epochs: Counter[str] = field(default_factory=Counter)
    _landed: Counter[tuple[str, int]] = field(default_factory=Counter)

    def note(self, text: str) -> None:
        """Write a line of the trace."""
        if self.keep_trace:
            self.trace.append(f"{asyncio.get_running_loop().time():10.3f}  {text}")

    def fault(self, what: str) -> None:
        """Count a fault that was made."""
        self.counts[what] += 1
        self.note(f"FAULT {what}")

    def wrong(self, what: str) -> None:
        """Keep a broken promise."""
        self.violations.append(f"at {asyncio.get_running_loop().time():.3f} s: {what}")
        self.note(f"WRONG {what}")

    def written(self, who: str, move: Move, called_at: float, deadline: float) -> None:
        """See a transition that the store has done."""
        record, key = move.record, move.execution
        self.note(
            f"{who}: {key} -> {move.to} {record.kind} step {record.step} attempt {record.attempt} "
            f"epoch {record.epoch} {record.body.get('outcome', '')} {move.reason or ''}"
        )
        self.states[key] = move.to
        if record.epoch < self._epochs[key]:
            self.wrong(f"{key}: epoch {record.epoch} writes after epoch {self._epochs[key]} took over")
        self._epochs[key] = max(self._epochs[key], record.epoch)
        if move.to is State.CLAIMED:
            self._alone(key)
        if record.kind in _INTENTS:
            self._intended(record, key, called_at, deadline)

    def begins(self, target: Target, backend: Backend, work: Work, undo: bool) -> None:
        """See a statement begin at a target."""
        step = work.plan.steps.index(work.step)
        self.note(f"{target.name}: begins {_named(work, step, undo)}")
        if (work.execution, step, work.attempt, work.epoch, undo) not in self._intents:
            self.wrong(f"an effect without an intent: {_named(work, step, undo)}")
        for other in target.backends:
            if other is not backend and other.job and other.job.work.plan.scope.collides(work.plan.scope):
                self.wrong(f"{_named(work, step, undo)} while {other.job.work.execution} is at work there")

    def lands(self, target: Target, _: Backend, work: Work, undo: bool) -> None:
        """See an effect happen."""
        step = work.plan.steps.index(work.step)
        key, kind = (work.execution, step), self.kinds[work.execution, step]
        self.note(f"{target.name}: landed {_named(work, step, undo)}")
        if undo:
            target.standing.pop(key, None)
            return
        self._landed[key] += 1
        self.counts["effects"] += 1
        target.standing[key] = target.standing.get(key, 0) + 1
        if kind in _TWICE and target.standing[key] > 1:
            self.wrong(f"done twice: {_named(work, step, undo)}, which is {kind}")
        if kind is StepKind.ONCE and self._landed[key] > 1:
            self.wrong(f"done again: {_named(work, step, undo)}, which is {kind}")

    def ended(self, execution: Execution, targets: dict[str, Target]) -> None:
        """See where an execution stands at the very end."""
        self.counts[f"ended {execution.state}"] += 1
        plan, key = execution.plan, execution.id
        standing = targets[plan.target].standing
        there = [i for i in range(len(plan.steps)) if standing.get((key, i))]
        acting = [i for i, _ in enumerate(plan.steps) if self.kinds[key, i] is not StepKind.READ]
        match execution.state:
            case State.SUCCEEDED if there != acting:
                self.wrong(f"{key} succeeded, and of the steps {acting} these stand: {there}")
            case State.NEEDS_HUMAN if not execution.reason:
                self.wrong(f"{key} needs a person and does not say why")
            case State.SUCCEEDED | State.NEEDS_HUMAN | State.CLOSED_BY_HUMAN:
                pass
            case state if state not in ENDED:
                self.wrong(f"{key} is still {state}: {execution.reason}")
            case state if there:
                self.wrong(f"{key} is {state}, and these steps stand: {there}")
            case _:
                pass
        if "defect" in execution.reason:
            self.wrong(f"{key}: {execution.reason}")

    def _alone(self, key: str) -> None:
        for other, state in self.states.items():
            if other != key and state in LIVE and self.scopes[other].collides(self.scopes[key]):
                self.wrong(f"{key} is claimed while {other} is {state} in {self.scopes[other]}")

    def _intended(self, record: Record, key: str, called_at: float, deadline: float) -> None:
        undo = _INTENTS[record.kind]
        self._intents.add((key, record.step, record.attempt, record.epoch, undo))
        if called_at > deadline:
            self.wrong(f"{key}: an intent {called_at - deadline:.1f} s after the lease's own deadline")
        since = self.stopped_since
        if since is not None and called_at > since + STOP_SECONDS and not (undo and key in self.sent_despite):
            self.wrong(f"{key}: an intent {called_at - since:.1f} s after everything was told to stop")


def _named(work: Work, step: int, undo: bool) -> str:
    what = "undo of " if undo else ""
    return f"{what}{work.execution} step {step} attempt {work.attempt} epoch {work.epoch}"
