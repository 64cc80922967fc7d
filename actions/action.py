"""What an action is: how it is described, planned, done, read back, undone and measured.

An action builds plans; the executor runs any plan. Nothing here writes a journal or asks a guard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from actions.model import ActionClass, GuardResult, Json, Plan, Refusal, Step, Verdict
from actions.ports import Asked

ParameterType = Literal["text", "identifier", "integer", "number", "boolean", "choice", "duration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an action: its type, its bounds, and which label gives it unless a policy says so."""

    name: str
    type: ParameterType
    help: str
    required: bool = False
    default: Json = None
    label: str = ""
    """Alert label whose value is taken when the policy names none; it is typed and checked all the same."""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionInfo:
    """What `dbarchitect actions` and docs/actions.md say of an action."""

    name: str
    """`postgresql.vacuum`."""
    version: int
    """Raised when plans of an older version must not be carried out by this code."""
    engine: str
    """Of the targets it works on; empty: of any."""
    action_class: ActionClass
    title: str
    help: str
    """What it does, when, and what it never does."""
    parameters: tuple[Parameter, ...] = ()
    steps: tuple[str, ...] = ()
    """What its plans consist of, in order."""
    undo: str = ""
    verification: str = ""
    grants: tuple[str, ...] = ()
    """What the acting role needs, as SQL or in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What the target says of a step whose outcome is not known."""

    answer: Literal["done", "not_done", "under_way", "ambiguous"]
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an operation gets: the plan, its step, the session, and what earlier steps found."""

    plan: Plan
    step: Step
    execution: str
    epoch: int
    attempt: int
    session: Any
    """The engine's own kind of ActingSession, fenced."""
    before: Mapping[str, Json] = field(default_factory=dict)
    """What `capture` found before the first attempt: all that `undo` needs."""
    results: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """By step name: evidence of the steps that are done."""


Evidence = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How steps of one sort are done. All of it raises NotDone or OutcomeUnknown, nothing else."""

    perform: Callable[[Work], Awaitable[Evidence]]
    """Has the effect, and nothing else is awaited than that."""
    capture: Callable[[Work], Awaitable[Evidence]] | None = None
    """Reads what undoing needs, before the intent is written."""
    read_back: Callable[[Work], Awaitable[ReadBack]] | None = None
    """For CHECKABLE steps; the fence is held, so no earlier attempt of ours can still begin."""
    clean: Callable[[Work], Awaitable[Evidence]] | None = None
    """Removes debris of our own failed attempt; idempotent."""
    undo: Callable[[Work], Awaitable[Evidence]] | None = None
    """Idempotent; runs for a step that failed or timed out too."""


class Action(Protocol):
    """One remedy."""

    @property
    def info(self) -> ActionInfo:
        """Return its description."""
        ...

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how its steps are done, by `Step.operation`."""
        ...

    async def plan(self, asked: Asked, session: Any) -> Plan | Refusal:  # noqa: ANN401 - the engine's own
        """Look at the target and build a plan, or say why there is none. Changes nothing."""
        ...

    async def check(self, plan: Plan, session: Any) -> Sequence[GuardResult]:  # noqa: ANN401
        """Look once more, in the acting session, right before the first step.

        Says whether the symptom still holds (guard `second_source`), whether the objects are those of the
        plan (`identity`), and what else stands against it now (`precondition`, `headroom`).
        """
        ...

    async def measure(self, plan: Plan, session: Any) -> Mapping[str, float]:  # noqa: ANN401
        """Return what tells the effect, in base units; what cannot be measured is absent."""
        ...

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Say what the measurements mean; INCONCLUSIVE when something is absent."""
        ...
