"""The values of acting: plans, their steps, executions, and what the journal keeps of them.

A plan is data: whoever reads it knows everything that would be done. Its canonical JSON gives `plan_hash`,
to which approvals are bound.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Json = Any
"""What JSON can hold: numbers that are finite, strings, booleans, null, lists, objects."""
SYSTEM = "dbarchitect"
"""Who proposes and decides where no person does."""


class ActionClass(enum.StrEnum):
    """How much an action can hurt."""

    A = "A"
    """Reads, or touches only ourselves."""
    B = "B"
    """Reversible and cheap: VACUUM, ANALYZE."""
    C = "C"
    """Disruptive: terminate, REINDEX. One approval by somebody else than the proposer, or `auto`."""
    D = "D"
    """Destructive or irreversible: drop a slot. Two approvals, or `auto` by a policy naming the target."""


class Mode(enum.StrEnum):
    """What a policy does with an alert."""

    OBSERVE = "observe"
    """Nothing but a record of what would have been done."""
    ADVISE = "advise"
    """A plan that waits for a person who wants it."""
    APPROVE = "approve"
    """A plan that asks for approval."""
    AUTO = "auto"


class StepKind(enum.StrEnum):
    """What recovery may do with a step whose outcome is not known."""

    READ = "read"
    """No effect: run again."""
    IDEMPOTENT = "idempotent"
    """Repeating it gives the same end state: run again."""
    CHECKABLE = "checkable"
    """Not repeatable, but the target can tell whether it happened: read back."""
    ONCE = "once"
    """Neither: never again; a person decides."""


class OnStop(enum.StrEnum):
    """What happens to a running step when everything is told to stop."""

    FINISH = "finish"
    CANCEL = "cancel"


class State(enum.StrEnum):
    """Where an execution stands. The quiet ends have had no effect."""

    PROPOSED = "proposed"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    CLAIMED = "claimed"
    RUNNING = "running"
    RESOLVING = "resolving"
    VERIFYING = "verifying"
    COMPENSATING = "compensating"
    NEEDS_HUMAN = "needs_human"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED_CLEAN = "failed_clean"
    CLOSED_BY_HUMAN = "closed_by_human"
    OBSERVED = "observed"
    """Only recorded: what `auto` would have done."""
    REJECTED = "rejected"
    REFUSED = "refused"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


WAITING = frozenset({State.PROPOSED, State.AWAITING_APPROVAL, State.APPROVED})
"""No intent was written: whatever ends these has had no effect."""
WORKING = frozenset({State.CLAIMED, State.RUNNING, State.RESOLVING, State.VERIFYING, State.COMPENSATING})
"""Somebody owns these; after a crash, whoever holds the lease takes them over."""
LIVE = WORKING | {State.NEEDS_HUMAN}
"""These hold their scope: nothing else is begun in it."""
ENDED = frozenset(State) - WAITING - LIVE
BAD_ENDS = frozenset({State.ROLLED_BACK, State.FAILED_CLEAN, State.NEEDS_HUMAN, State.CLOSED_BY_HUMAN})
"""What a circuit breaker counts as no success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which server, database and role a plan was made for; what is unknown to an engine stays empty."""

    system: str = ""
    """PostgreSQL's system identifier, and its like."""
    timeline: int = 0
    role: str = ""
    """primary or replica."""
    database: str = ""
    database_id: int = 0
    """PostgreSQL's oid of the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What must not be worked on twice at once; a scope without `part` is the whole cluster."""

    cluster: str
    """Name of the cluster; of the target, where it belongs to none."""
    part: str = ""
    """`table:16384.24576`, `slot:NAME`, `session:PID`, ...; ids rather than names where there are any."""

    def __str__(self) -> str:
        return f"cluster:{self.cluster}/{self.part}" if self.part else f"cluster:{self.cluster}"

    def collides(self, other: Scope) -> bool:
        """Tell whether work in both at once could be work on one thing."""
        return self.cluster == other.cluster and (not self.part or not other.part or self.part == other.part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One effect, or one look. What is done with it is `Action.operations[operation]`."""

    name: str
    operation: str
    kind: StepKind
    text: str
    """The exact statements, or the argv, as a person reads them; never a secret."""
    arguments: Mapping[str, Json] = field(default_factory=dict)
    deadline_seconds: float = 60.0
    """Passing it means that the outcome is unknown, never that it failed."""
    attempts_max: int = 1
    on_stop: OnStop = OnStop.FINISH
    locks: str = ""
    """Lock mode and object, e.g. `ShareUpdateExclusiveLock on public.orders`; empty for none."""
    undo_text: str = ""
    """What takes it back; empty where nothing does."""
    undoable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan is expected to take."""

    duration_seconds: float
    disk_bytes: int = 0
    """Free space that is used for a while or for good."""
    risk: str = ""
    """What may go wrong, and who would notice, in a sentence."""


class Inconclusive(enum.StrEnum):
    """What follows when the effect could not be told by the deadline."""

    KEEP = "keep"
    """It stays as it is, and that is an end: for what cannot make anything worse."""
    REVERT = "revert"
    HUMAN = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How the effect is told: `Action.measure` before and after, `Action.judge` over both."""

    settle_seconds: float = 0.0
    """How long to wait before the first look."""
    within_seconds: float = 300.0
    """When it must be told at the latest, from the end of the last step on."""
    every_seconds: float = 15.0
    on_inconclusive: Inconclusive = Inconclusive.HUMAN
    text: str = ""
    """What is measured, and what counts as better, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done, where, why, and how it is taken back and told."""

    action: str
    version: int
    action_class: ActionClass
    target: str
    targets: tuple[str, ...]
    """Every target that feels it; an empty set is refused."""
    identity: Identity
    parameters: Mapping[str, Json]
    scope: Scope
    subject: str
    """What it is about, for people and for the family: `shop.public.orders`."""
    summary: str
    """One sentence: what is done."""
    reason: str
    """One sentence: why."""
    evidence: Mapping[str, Json]
    """Figures that the reason rests on, as measured when the plan was made."""
    steps: tuple[Step, ...]
    prediction: Prediction
    verification: Verification
    irreversible: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Return what cool-downs and bans are kept by: the same action on the same thing."""
        return f"{self.action} {self.target} {self.subject}"

    @property
    def essence(self) -> str:
        """Return the canonical JSON of all that an approval is bound to.

        Figures that move by themselves (evidence, prediction, warnings, wording) are not in it.
        """
        whole = as_json(self)
        for moving in ("evidence", "prediction", "warnings", "summary", "reason"):
            del whole[moving]
        return canonical(whole)

    @property
    def plan_hash(self) -> str:
        """Return SHA-256 of the essence, in hex."""
        return hashlib.sha256(self.essence.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no plan, or why a plan is not carried out."""

    guard: str
    """`precondition`, or the guard's name: a word from a closed list, safe as a label."""
    reason: str
    """What stands against it, where, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """What one guard said, with what it looked at."""

    guard: str
    allowed: bool
    reason: str
    inputs: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What a plan answers: an alert, a schedule, or a person's wish."""

    source: str
    """`rules`, `alertmanager`, `schedule` or `person`."""
    name: str = ""
    """alertname, or the schedule's name."""
    labels: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    starts_at: float = 0.0
    """Unix time, seconds: since when the condition holds, or the moment that a schedule named."""

    @property
    def key(self) -> str:
        """Return what makes two incidents the same one while it lasts."""
        labels = canonical(dict(sorted(self.labels.items())))
        return hashlib.sha256(f"{self.source}\n{self.name}\n{labels}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of one plan; what the store holds of it. Times are Unix seconds."""

    id: str
    dedup_key: str
    plan: Plan
    plan_hash: str
    incident: Incident
    policy: str
    """Name of the policy that proposed it; empty when a person did."""
    mode: Mode
    proposer: str
    """SYSTEM, or the name of a token."""
    state: State
    step: int = 0
    """Index of the step that runs, is resolved, or is undone."""
    attempt: int = 0
    epoch: int = 0
    """Of the owner: 0 before it was claimed."""
    reason: str = ""
    """Why it stands where it stands, for people."""
    created: float = 0.0
    deadline: float = 0.0
    """When it ends by itself: a proposal expires, a run is over its time."""
    updated: float = 0.0


class RecordKind(enum.StrEnum):
    """What a journal record tells."""

    PROPOSED = "proposed"
    GUARDS = "guards"
    APPROVAL = "approval"
    MOVED = "moved"
    """A transition that nothing else tells of."""
    CLAIMED = "claimed"
    TAKEN_OVER = "taken_over"
    INTENT = "intent"
    OUTCOME = "outcome"
    READ_BACK = "read_back"
    MEASURED = "measured"
    VERDICT = "verdict"
    UNDO_INTENT = "undo_intent"
    UNDO_OUTCOME = "undo_outcome"
    LEASE = "lease"
    STOP = "stop"
    RELEASE = "release"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal. The store fills in the last four."""

    kind: RecordKind
    body: Mapping[str, Json]
    execution: str = ""
    step: int = 0
    attempt: int = 0
    epoch: int = 0
    who: str = SYSTEM
    seq: int = 0
    at: float = 0.0
    prev_hash: str = ""
    hash: str = ""


class Outcome(enum.StrEnum):
    """What became of an attempt."""

    OK = "ok"
    FAILED_CLEAN = "failed_clean"
    """It had no effect, and that is known."""
    UNKNOWN = "unknown"


class Verdict(enum.StrEnum):
    """What the measurement says of the effect."""

    IMPROVED = "improved"
    NEUTRAL = "neutral"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


def as_json(value: Any) -> Any:  # noqa: ANN401 - any value of this module
    """Return a value of this module as what JSON can hold."""
    kind: type = value.__class__
    return _adapter(kind).dump_python(value, mode="json")


def canonical(value: Json) -> str:
    """Return the one JSON text of a value; raise ValueError for numbers that are not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a class of this module
    from pydantic import TypeAdapter  # noqa: PLC0415 - only those who act need it

    return TypeAdapter(kind)
