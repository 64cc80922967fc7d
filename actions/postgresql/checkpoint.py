"""Writes a checkpoint now, so that the next one, a restart or a backup begins with less to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Work
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
    Plan,
    Prediction,
    Refusal,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, planning
from actions.postgresql.client import PostgresActing

DEADLINE_SECONDS = 900.0
_ROLE_SINCE = 150000

INFO = ActionInfo(
    name="postgresql.checkpoint",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="CHECKPOINT",
    help=(
        "Has the server write a checkpoint as fast as it can; on a replica, a restartpoint. It costs I/O at "
        "once, and full-page writes afterwards."
    ),
    steps=("CHECKPOINT",),
    verification="The server's latest checkpoint is newer than before.",
    grants=("GRANT pg_monitor TO the acting role", "GRANT pg_checkpoint TO the acting role (15 and later)"),
)


class Checkpoint:
    """The action `postgresql.checkpoint`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {"checkpoint": Operation(perform=_perform)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Ask for the right to do it."""
        identity = await session.identity()
        against = await _against(session)
        if against:
            return Refusal("precondition", against)
        return planning.on_server(
            INFO,
            asked,
            session,
            identity,
            part=f"checkpoint:{asked.target}",
            subject="checkpoint",
            summary=f"CHECKPOINT on {asked.target}",
            evidence=dict(await _state(session)),
            steps=(
                Step(
                    name="checkpoint",
                    operation="checkpoint",
                    kind=StepKind.IDEMPOTENT,
                    text="CHECKPOINT",
                    deadline_seconds=DEADLINE_SECONDS,
                ),
            ),
            prediction=Prediction(
                duration_seconds=60.0,
                risk="Everything in shared buffers that has changed is written at once.",
            ),
            verification=Verification(
                within_seconds=60.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Ask for the right once more."""
        del plan
        return (fitness.verdict("precondition", await _against(session), "it may be done"),)

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return when the latest checkpoint began, Unix seconds."""
        del plan
        return await _state(session)

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the two checkpoints."""
        del plan
        newer = after.get("checkpoint_at", 0.0) >= before.get("checkpoint_at", math.inf)
        further = after.get("checkpoint_lsn", 0.0) > before.get("checkpoint_lsn", math.inf)
        return Verdict.IMPROVED if newer and further else Verdict.INCONCLUSIVE


async def _state(session: PostgresActing) -> Mapping[str, float]:
    (row,) = await session.fetch(_STATE)
    return {"checkpoint_at": row["at"], "checkpoint_lsn": row["lsn"]}


async def _against(session: PostgresActing) -> str:
    (row,) = await session.fetch(_RIGHT)
    if row["may"] or session.read_only:
        return ""
    how = f"GRANT pg_checkpoint TO {row['role']}"
    if session.version_num < _ROLE_SINCE:
        how = "before PostgreSQL 15 only a superuser may"
    return f"the role {row['role']} may not write a checkpoint at {session.address}: {how}"


async def _perform(work: Work) -> Evidence:
    session: PostgresActing = work.session
    await session.run("CHECKPOINT", within=work.step.deadline_seconds)
    return dict(await _state(session))


_STATE = """
select extract(epoch from c.checkpoint_time)::float8 as at, (c.checkpoint_lsn - '0/0'::pg_lsn)::float8 as lsn
from pg_catalog.pg_control_checkpoint() c
"""
_RIGHT = """
select pg_catalog.quote_ident(current_user) as role, coalesce(bool_or(r.rolsuper
  or (r.rolname = 'pg_checkpoint')), false) as may
from pg_catalog.pg_roles r
where pg_catalog.pg_has_role(r.oid, 'USAGE') and (r.rolname in (current_user, 'pg_checkpoint'))
"""
