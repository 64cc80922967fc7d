"""What people and programs may ask of acting; the API and the command line know nothing else of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actions.action import ActionInfo
from actions.model import Execution, Record, State
from actions.ports import Approval, ChainReport, Stop


class OfficeRefused(Exception):
    """It was not done, and nothing changed. `status` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.status = status
        """400 bad request, 403 not allowed to you, 404 no such plan, 409 stands elsewhere, 503 no store."""
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One execution with all that the journal has of it."""

    execution: Execution
    records: Sequence[Record]
    approvals: Sequence[Approval]
    approvals_needed: int
    """How many more; 0 when nothing waits for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What `auto` would have done about one incident, and what became of it without."""

    execution: Execution
    cleared_at: float | None
    """Unix time at which the symptom went away by itself; None: it has not, or nobody saw."""


class Office(Protocol):
    """Raises OfficeRefused for whatever it does not do. `who` is the name of a token, or `cli:USER`."""

    def actions(self) -> Sequence[ActionInfo]:
        """Return the catalogue."""
        ...

    async def executions(
        self, states: Collection[State] = (), *, target: str = "", limit: int = 200
    ) -> Sequence[Execution]:
        """Return executions, newest first."""
        ...

    async def case(self, key: str) -> Case:
        """Return one execution; an unambiguous beginning of its id is enough."""
        ...

    async def propose(
        self, action: str, target: str, parameters: Mapping[str, str], who: str, note: str = ""
    ) -> Execution:
        """Plan an action that a person wants; it waits for approval as its class demands."""
        ...

    async def approve(
        self, key: str, plan_hash: str, who: str, *, confirm: str = "", note: str = ""
    ) -> Execution:
        """Say yes to exactly this plan. `confirm` is the target's name, typed, for class D."""
        ...

    async def deny(self, key: str, who: str, note: str = "") -> Execution:
        """Say no; also takes back what was approved and not begun."""
        ...

    async def run_now(self, key: str, who: str) -> Execution:
        """Begin what is approved without waiting for its window; guards other than the window still hold."""
        ...

    async def undo(self, key: str, who: str, note: str = "") -> Execution:
        """Propose, and carry out once it is approved, the undoing of an execution that succeeded."""
        ...

    async def settle(self, key: str, how: str, who: str, note: str) -> Execution:
        """End what needs a human: `resume`, `revert`, `mark_done` or `mark_not_done`."""
        ...

    async def stop(self, who: str, why: str, *, target: str = "", action: str = "") -> Sequence[Stop]:
        """Set a stop flag; return all that are set."""
        ...

    async def resume(self, who: str, note: str, *, target: str = "", action: str = "") -> Sequence[Stop]:
        """Take a stop flag back; return those that are still set."""
        ...

    async def stops(self) -> Sequence[Stop]:
        """Return the stop flags that are set."""
        ...

    async def acknowledge(self, action: str, who: str, note: str) -> None:
        """Close an action's circuit breaker."""
        ...

    async def shadow(self, since: float) -> Sequence[Shadow]:
        """Return what would have been done since a Unix time."""
        ...

    async def verify(self) -> ChainReport:
        """Check the hash chain of the journal."""
        ...
