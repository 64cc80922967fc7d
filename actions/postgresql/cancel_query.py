"""Cancels the statement of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Work
from actions.errors import NotDone
from actions.model import ActionClass, GuardResult, Plan, Refusal, Step, StepKind, Verdict
from actions.ports import Asked
from actions.postgresql import ending, victims
from actions.postgresql.client import PostgresActing
from actions.postgresql.victims import Symptom, Victim

PATIENCE_SECONDS = 15.0
_ATTEMPTS = 2

INFO = ActionInfo(
    name="postgresql.cancel_query",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="Cancel a statement",
    help=(
        "Cancels the statement that has run longest, or that of the session at the head of a lock queue. The "
        "session stays, its transaction is rolled back. Never a superuser's unless allowed, never "
        "replication, autovacuum, VACUUM, a build of an index, backups, or a session of ours."
    ),
    parameters=victims.parameters(("long_query", "lock_head")),
    steps=(
        "pg_cancel_backend, in the statement that finds the very same session, transaction and statement",
    ),
    verification="The same session no longer does the same within a minute.",
    grants=("GRANT pg_read_all_stats TO the acting role", "GRANT pg_signal_backend TO the acting role"),
)


class CancelQuery:
    """The action `postgresql.cancel_query`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {"cancel": Operation(perform=_cancel)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the statement."""
        return await ending.plan(INFO, asked, session, _steps)

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it still runs."""
        return await ending.check(plan, session)

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return whether it still runs."""
        return await ending.measure(plan, session)

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Gone is improved."""
        del plan
        return ending.judge(before, after)


def _steps(victim: Victim, symptom: Symptom) -> tuple[Step, ...]:
    cancel = ending.step(
        victim,
        symptom,
        "cancel",
        "pg_cancel_backend",
        kind=StepKind.IDEMPOTENT,
        attempts_max=_ATTEMPTS,
    )
    return (cancel,)


async def _cancel(work: Work) -> Evidence:
    await victims.signal(work.session, work.step.arguments, "pg_cancel_backend")
    if await ending.until_ended(work, PATIENCE_SECONDS, backend=False):
        return ending.told(work, cancelled=True)
    raise NotDone(
        f"{work.plan.subject} was asked to cancel and goes on after {PATIENCE_SECONDS:g} s; "
        "postgresql.terminate_session would end it",
        again=True,
    )
