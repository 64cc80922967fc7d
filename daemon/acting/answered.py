"""What was made of each incident: whether it still needs a plan, and which round that would be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from actions.model import ENDED, Execution, Incident, State
from daemon.acting.proposals import bucket

AGAIN_SECONDS = 900.0
"""So long after an end without success, or with one that did not help, a firing alert gets another plan."""
NO_PLAN_SECONDS = 900.0
"""So long after there was no plan, it is looked again."""
FINAL = frozenset({State.OBSERVED, State.DENIED, State.CANCELLED})
"""A person or a policy has said all there is to say of this alert while it fires."""


@dataclass(slots=True)
class _Answer:
    bucket: int
    executions: set[str] = field(default_factory=set)
    newest: float = 0.0
    state: State | None = None
    again_at: float = 0.0


@dataclass(slots=True)
class Answered:
    """Remembers by incident; the store's unique key is what makes sure, this saves the work."""

    _known: dict[str, _Answer] = field(default_factory=dict)

    def load(self, executions: Iterable[Execution]) -> None:
        """Take what the store has, in any order."""
        self._known.clear()
        for each in executions:
            self.took(each)

    def due(self, incident: Incident, now: float) -> bool:
        """Tell whether an incident that fires needs somebody to look at it."""
        answer = self._known.get(incident.key)
        if answer is None or answer.bucket != bucket(incident):
            return True
        if answer.state is not None and (answer.state not in ENDED or answer.state in FINAL):
            return False
        return now >= answer.again_at

    def round(self, incident: Incident) -> int:
        """Return how many executions it has had since it began."""
        answer = self._known.get(incident.key)
        return len(answer.executions) if answer is not None and answer.bucket == bucket(incident) else 0

    def took(self, execution: Execution) -> None:
        """Note an execution, a new one or one that stands elsewhere now."""
        answer = self._at(execution.incident)
        if answer.bucket != bucket(execution.incident):
            return
        answer.executions.add(execution.id)
        if execution.created < answer.newest:
            return
        answer.newest, answer.state = execution.created, execution.state
        answer.again_at = execution.updated + AGAIN_SECONDS

    def put_off(self, incident: Incident, until: float) -> None:
        """Note that there was no plan, and when to look again."""
        self._at(incident).again_at = until

    def forget(self, keys: Iterable[str]) -> None:
        """Forget incidents that are over."""
        for key in keys:
            self._known.pop(key, None)

    def _at(self, incident: Incident) -> _Answer:
        known = self._known.get(incident.key)
        if known is None or known.bucket < bucket(incident):
            known = self._known[incident.key] = _Answer(bucket(incident))
        return known
