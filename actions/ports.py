"""What acting asks of the rest: a store, a clock, sessions at targets, facts. `daemon/` provides them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from actions.model import Execution, GuardResult, Identity, Json, Plan, Record, State


class Clock(Protocol):
    """Time; simulations bring their own. Sleeping and deadlines are asyncio's."""

    def now(self) -> float:
        """Return Unix time, seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump: the running event loop's time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The right to act, for a while."""

    owner: str
    epoch: int
    """+1 with every grant to another, or after a pause; never reused: the fencing token."""
    expires_at: float
    """By the store's clock, Unix seconds."""
    fresh: bool = False
    """It has just begun, so others' attempts may still be under way."""
    previous: str = ""
    """Who held it before, when it is fresh and was not released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transition: done only if the execution still stands at `expected` with `expected_epoch`."""

    execution: str
    expected: Collection[State]
    expected_epoch: int
    to: State
    record: Record
    """Written in the same transaction, before anything relies on the transition."""
    step: int | None = None
    attempt: int | None = None
    epoch: int | None = None
    """The new owner's; None keeps it."""
    reason: str | None = None
    deadline: float | None = None
    lease_epoch: int | None = None
    """When given, the lease must be at this epoch: what executors always give."""
    also: Sequence[Record] = ()
    """Further records of the same transaction, before `record`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A flag that keeps actions from being done. Empty `target` and `action` mean everything."""

    target: str = ""
    action: str = ""
    by: str = ""
    why: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's yes. It counts for one plan hash and for a while."""

    execution: str
    plan_hash: str
    who: str
    at: float
    expires_at: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What guards must know of an earlier execution. Times are Unix seconds."""

    id: str
    action: str
    family: str
    target: str
    cluster: str
    incident_key: str
    state: State
    started: float
    """When it was claimed."""
    ended: float
    """When it came to its state; `started` while it is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """What a look at the hash chain found."""

    records: int
    head: str
    """Hash of the last record."""
    first_bad: int | None = None
    """seq of the first record that is not as it was written."""
    problem: str = ""


class Store(Protocol):
    """The journal and all that must outlive us. Every method raises StoreUnavailable when it cannot.

    When a method that writes returns, what it wrote is on disk.
    """

    async def grant(self, owner: str, ttl_seconds: float) -> Grant | None:
        """Take or renew the lease; None while another holds it."""
        ...

    async def release(self, grant: Grant) -> None:
        """Give the lease back at once; nothing happens if it is another's by now."""
        ...

    async def propose(self, execution: Execution, record: Record) -> tuple[Execution, bool]:
        """Write a new execution; if one with its dedup_key exists, return that one and False."""
        ...

    async def move(self, move: Move) -> bool:
        """Do a transition; False: it stands elsewhere, or is another's. Nothing was written then.

        To CLAIMED only if no LIVE execution's scope collides with its own (checked in the transaction).
        """
        ...

    async def write(self, record: Record, *, lease_epoch: int | None = None) -> bool:
        """Append a record that moves nothing; False when `lease_epoch` is not the lease's any more.

        With `execution` and `epoch` set, the execution must be of that epoch.
        """
        ...

    async def execution(self, key: str) -> Execution | None:
        """Return one execution."""
        ...

    async def executions(
        self, states: Collection[State] = (), *, limit: int = 1000, before: float | None = None
    ) -> Sequence[Execution]:
        """Return executions in these states (all when empty), newest first, made before a Unix time."""
        ...

    async def records(self, execution: str) -> Sequence[Record]:
        """Return the journal of one execution, oldest first."""
        ...

    async def approve(self, approval: Approval, record: Record) -> bool:
        """Keep an approval; False when this person has already approved this execution."""
        ...

    async def approvals(self, execution: str) -> Sequence[Approval]:
        """Return its approvals, oldest first."""
        ...

    async def stop(self, stop: Stop, record: Record) -> None:
        """Set a flag; setting it again changes nothing but writes the record."""
        ...

    async def resume(self, stop: Stop, record: Record) -> bool:
        """Take a flag back; False when it was not set."""
        ...

    async def stops(self) -> Sequence[Stop]:
        """Return all flags that are set."""
        ...

    async def past(self, since: float) -> Sequence[Past]:
        """Return executions that were ever claimed and are LIVE or ended after a Unix time."""
        ...

    async def verify(self, since_seq: int = 0) -> ChainReport:
        """Read the journal and recompute its hashes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Whose session this is: in its application_name, so that a successor knows orphans of ours."""

    execution: str
    epoch: int


class ActingSession(Protocol):
    """A direct session at one target, of one execution; actions know their engine's own kind of it."""

    async def identity(self) -> Identity:
        """Say which server and role this is, asked now."""
        ...

    async def fence(self, scope: str, within_seconds: float) -> None:
        """Hold the scope's fence at the target until this session ends.

        A session of an older epoch of ours that still holds it is waited for, then ended. Raises Fenced.
        """
        ...

    async def fenced(self) -> bool:
        """Tell whether the fence is still held, asked now."""
        ...


class Hands(Protocol):
    """Opens acting sessions."""

    def open(self, target: str, database: str, tag: Tag) -> AbstractAsyncContextManager[ActingSession]:
        """Open a session; an empty database means the target's own. Raises NotDone; never hangs."""
        ...


class Guardian(Protocol):
    """Asks all guards with fresh facts."""

    async def judge(
        self,
        execution: Execution,
        stage: str,
        session: ActingSession | None = None,
        fresh: Plan | None = None,
    ) -> Sequence[GuardResult]:
        """Return all results at a stage: `proposed`, `claimed` or `session`.

        `fresh` is the plan made anew in the session, to be compared with the one that was approved.
        """
        ...


class Switch(Protocol):
    """The kill switch."""

    def stopped(self, target: str, action: str) -> str:
        """Return why nothing may be done, or an empty string. Unreadable means stopped."""
        ...

    async def wait(self, target: str, action: str) -> str:
        """Return the reason as soon as it is stopped."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """What an executor must know of its lease at a moment."""

    epoch: int
    """0: it has none."""
    deadline: float
    """Monotonic: after it no intent may be written (time of sending the renewal + ttl - 5 s)."""
    leader_since: float = 0.0
    """Monotonic."""


class Lease(Protocol):
    """Holds the lease and renews it."""

    def held(self) -> Leadership:
        """Return what is held now; epoch 0 when nothing is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an action is asked to plan."""

    target: str
    cluster: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    """Typed and checked against `ActionInfo.parameters`."""
    reason: str = ""
    """Why, in a sentence; the action may say it better by what it measures."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The alert's: for wording only."""
