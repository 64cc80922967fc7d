"""Ends one session: what it runs is cancelled first, and only what does not heed that is terminated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, ReadBack, Work
from actions.errors import NotDone, OutcomeUnknown
from actions.model import ActionClass, GuardResult, Plan, Refusal, Step, StepKind, Verdict
from actions.ports import Asked
from actions.postgresql import ending, victims
from actions.postgresql.client import PostgresActing
from actions.postgresql.victims import Symptom, Victim

HEED_SECONDS = 5.0
PATIENCE_SECONDS = 20.0
_ATTEMPTS = 2

INFO = ActionInfo(
    name="postgresql.terminate_session",
    version=1,
    engine="postgresql",
    action_class=ActionClass.C,
    title="End a session",
    help=(
        "Ends the session that has idled longest in a transaction, heads a lock queue, or runs a statement "
        "for too long; a statement is cancelled first, and when that helps the session stays. Never a "
        "superuser's unless allowed, never replication, autovacuum, VACUUM, a build of an index, backups, "
        "or a session of ours."
    ),
    parameters=victims.parameters(("idle_in_transaction", "lock_head", "long_query")),
    steps=(
        "pg_cancel_backend, where a statement may be running",
        "pg_terminate_backend, in the statement that finds the very same session and transaction",
    ),
    verification="The same session no longer does the same within a minute.",
    grants=("GRANT pg_read_all_stats TO the acting role", "GRANT pg_signal_backend TO the acting role"),
)


class TerminateSession:
    """The action `postgresql.terminate_session`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {
            "cancel": Operation(perform=_cancel),
            "terminate": Operation(perform=_terminate, read_back=_read_back),
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the session."""
        return await ending.plan(INFO, asked, session, _steps)

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it is still there and still does it."""
        return await ending.check(plan, session)

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return whether it still does it."""
        return await ending.measure(plan, session)

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Gone is improved."""
        del plan
        return ending.judge(before, after)


def _steps(victim: Victim, symptom: Symptom) -> tuple[Step, ...]:
    terminate = ending.step(
        victim,
        symptom,
        "terminate",
        "pg_terminate_backend",
        kind=StepKind.CHECKABLE,
        attempts_max=_ATTEMPTS,
    )
    if symptom == "idle_in_transaction":  # there is nothing to cancel
        return (terminate,)
    cancel = ending.step(victim, symptom, "cancel", "pg_cancel_backend", kind=StepKind.IDEMPOTENT)
    return cancel, terminate


async def _cancel(work: Work) -> Evidence:
    """Ask first; what does not heed it is for the next step."""
    await victims.signal(work.session, work.step.arguments, "pg_cancel_backend")
    ended = await ending.until_ended(work, HEED_SECONDS, backend=False)
    return ending.told(work, heeded=ended)


async def _terminate(work: Work) -> Evidence:
    if work.results.get("cancel", {}).get("heeded"):
        return ending.told(work, terminated=False, why="it has heeded the cancellation")
    try:
        await victims.signal(work.session, work.step.arguments, "pg_terminate_backend")
    except NotDone:
        if "cancel" in work.results and not await victims.still(work.session, work.step.arguments):
            return ending.told(work, terminated=False, why="it has heeded the cancellation, late")
        raise
    if await ending.until_ended(work, PATIENCE_SECONDS, backend=True):
        return ending.told(work, terminated=True)
    raise OutcomeUnknown(f"{work.plan.subject} was told to end and is there after {PATIENCE_SECONDS:g} s")


async def _read_back(work: Work) -> ReadBack:
    """Look for the backend: one that is gone needs no second signal, one that is there may get it."""
    if await victims.there(work.session, work.step.arguments):
        return ReadBack(answer="not_done", evidence=ending.told(work))
    return ReadBack(answer="done", evidence=ending.told(work, terminated=True))
