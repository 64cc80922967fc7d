"""What the journal says of an execution: attempts, their outcomes, and what was measured. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actions.model import Json, Outcome, Plan, Record, RecordKind, State, StepKind

BY_READ_BACK = "read_back"
"""In an outcome's `by`: the target was asked afterwards."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt at a step, or at its undo; `outcome` is None while only the intent is known."""

    step: int
    number: int
    may_land_until: float
    before: Mapping[str, Json]
    outcome: Outcome | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)
    reason: str = ""
    again: bool = False
    late: bool = False
    """It was still under way at its deadline."""
    orphaned: bool = True
    """Whoever began it did not live to write down an outcome."""
    current: bool = True
    """Of the round that is under way: no person has sent the execution on its way again since."""

    @property
    def may_stand(self) -> bool:
        """Tell whether there is, or may be, an effect."""
        return self.outcome is not Outcome.FAILED_CLEAN


@dataclass(slots=True)
class Progress:
    """All that the records of one execution mean."""

    plan: Plan
    attempts: list[Attempt] = field(default_factory=list)
    undos: list[Attempt] = field(default_factory=list)
    baseline: Mapping[str, float] = field(default_factory=dict)
    despite_stop: bool = False
    """A person who knew that everything is stopped had it taken back all the same."""
    asked_from: State = State.RUNNING
    """Where it stood when a person was last asked."""

    @property
    def last(self) -> Attempt | None:
        """Return the newest attempt at a step."""
        return self.attempts[-1] if self.attempts else None

    @property
    def results(self) -> Mapping[str, Mapping[str, Json]]:
        """Return the evidence of the steps that are done, by name."""
        return {
            self.plan.steps[each.step].name: each.evidence
            for each in self.attempts
            if each.outcome is Outcome.OK
        }

    def of(self, step: int) -> list[Attempt]:
        """Return the attempts at one step."""
        return [each for each in self.attempts if each.step == step]

    def undo_of(self, step: int) -> list[Attempt]:
        """Return the attempts to undo one step."""
        return [each for each in self.undos if each.step == step]

    def before(self, step: int) -> Mapping[str, Json] | None:
        """Return what was captured before the first attempt at a step; None before there was any."""
        attempts = self.of(step)
        return attempts[0].before if attempts else None

    def undone(self, step: int) -> bool:
        """Tell whether a step has been taken back."""
        return any(each.outcome is Outcome.OK for each in self.undo_of(step))

    @property
    def standing(self) -> list[int]:
        """Return the steps whose effect stands, or may stand, in order."""
        return [
            index
            for index in sorted({each.step for each in self.attempts if each.may_stand})
            if self.plan.steps[index].kind is not StepKind.READ and not self.undone(index)
        ]

    @property
    def to_undo(self) -> list[int]:
        """Return the steps that compensation takes back, last first: those that failed cleanly too."""
        return [
            index
            for index in sorted({each.step for each in self.attempts}, reverse=True)
            if self.plan.steps[index].undoable
            and self.plan.steps[index].kind is not StepKind.READ
            and not self.undone(index)
        ]

    @property
    def fixed(self) -> list[str]:
        """Return the names of the standing steps that nothing takes back."""
        names = [step.name for step in self.plan.steps]
        if self.plan.irreversible:
            return [names[index] for index in self.standing]
        return [names[index] for index in self.standing if index not in self.to_undo]


def progress(plan: Plan, records: Sequence[Record]) -> Progress:
    """Read the journal of one execution, oldest record first."""
    found = Progress(plan)
    for record in records:
        match record.kind:
            case RecordKind.INTENT:
                found.attempts.append(_intended(record))
            case RecordKind.UNDO_INTENT:
                found.undos.append(_intended(record))
            case RecordKind.OUTCOME:
                _settle(found.attempts, record)
            case RecordKind.UNDO_OUTCOME:
                _settle(found.undos, record)
            case RecordKind.MEASURED if record.body.get("when") == "before":
                found.baseline = dict(record.body.get("values", {}))
            case _:
                pass
        _sent(found, record.body)
    return found


def _intended(record: Record) -> Attempt:
    return Attempt(
        step=record.step,
        number=record.attempt,
        may_land_until=float(record.body.get("may_land_until", record.at)),
        before=record.body.get("before", {}),
    )


def _settle(attempts: Sequence[Attempt], record: Record) -> None:
    body = record.body
    attempt = next(each for each in attempts if (each.step, each.number) == (record.step, record.attempt))
    if body.get("by") != BY_READ_BACK:
        attempt.orphaned = False
        attempt.late = bool(body.get("late", False))
    attempt.outcome = Outcome(body["outcome"])
    attempt.evidence = body.get("evidence", {})
    attempt.reason = str(body.get("reason", ""))
    attempt.again = bool(body.get("again", False))


def _sent(found: Progress, body: Mapping[str, Any]) -> None:
    """Note who sent it on its way: what failed before a person did has no bearing on what may follow."""
    if body.get("to") == State.NEEDS_HUMAN:
        found.asked_from = State(body.get("from", State.RUNNING))
    if "by_hand" in body:
        found.despite_stop = bool(body.get("despite_stop", False))
        for attempt in (*found.attempts, *found.undos):
            attempt.current = False
    elif body.get("to") == State.COMPENSATING and body.get("from") != State.COMPENSATING:
        found.despite_stop = False
