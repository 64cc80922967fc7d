"""Refreshes what the planner knows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Parameter, Work
from actions.errors import NotDone
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
    OnStop,
    Plan,
    Prediction,
    Refusal,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, planning, tables
from actions.postgresql.client import PostgresActing
from actions.postgresql.tables import Table

CHANGED_SHARE_MIN = 0.1
SECONDS = 60.0
"""A guess: it reads a sample of at most 300 pages for each unit of the statistics target."""

INFO = ActionInfo(
    name="postgresql.analyze",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="ANALYZE a table",
    help=(
        "Refreshes the planner's statistics of one table: the one that is named, or the one with most "
        "changed rows against autovacuum's threshold. Plans of queries may change with them."
    ),
    parameters=(
        *tables.PARAMETERS,
        Parameter(
            name="changed_share_min",
            type="number",
            default=CHANGED_SHARE_MIN,
            least=0,
            help="Part of the rows that must have changed since the last ANALYZE, unless there was none.",
        ),
        Parameter(
            name="within",
            type="duration",
            default=1800.0,
            least=1,
            most=7200,
            help="After that long it is cancelled.",
        ),
    ),
    steps=("ANALYZE",),
    verification="It was analyzed since, within 5 minutes.",
    grants=(
        "GRANT pg_monitor TO the acting role",
        "PostgreSQL 17 and later: GRANT pg_maintain TO the acting role, or MAINTAIN on the table",
        "earlier: the table's owner, or the database's",
    ),
)


class Analyze:
    """The action `postgresql.analyze`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {"analyze": Operation(perform=_perform)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the table, and what stands against it."""
        identity = await session.identity()
        unfit = fitness.unfit(asked, identity)
        table = unfit or await tables.choose(session, asked, "changed", ("r", "m"))
        if isinstance(table, Refusal):
            return table
        against = _fresh(asked.parameters, session, table) or await _against(session, table)
        if against:
            return Refusal("precondition", against)
        return planning.on_table(
            INFO,
            asked,
            session,
            identity,
            table,
            summary=f"ANALYZE {table.label} in {session.database}",
            reason=f"{table.changed} rows changed beside {table.live} live ones; autovacuum begins at "
            f"{table.analyze_threshold:.0f}"
            if table.analyzed_ago is not None
            else "it has never been analyzed",
            evidence={"changed": table.changed, "live": table.live, "analyzed_ago": table.analyzed_ago},
            step=Step(
                name="analyze",
                operation="analyze",
                kind=StepKind.IDEMPOTENT,
                text=f"ANALYZE {table.quoted}",
                arguments=tables.arguments(table),
                deadline_seconds=float(asked.parameters.get("within", 1800.0)),
                attempts_max=3,
                on_stop=OnStop.CANCEL,
                locks=f"ShareUpdateExclusiveLock on {table.label}",
            ),
            prediction=Prediction(
                duration_seconds=SECONDS,
                risk="Plans of queries may change, as they do whenever autovacuum does it.",
            ),
            verification=Verification(
                within_seconds=300.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether the table is the same and still needs it."""
        table, same = await fitness.same_table(plan, session)
        if table is None:
            return (same,)
        fresh = _fresh(plan.parameters, session, table)
        return (
            same,
            fitness.verdict("second_source", fresh, f"{table.changed} changed rows", changed=table.changed),
            fitness.verdict("precondition", await _against(session, table), "nothing stands against it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return how often it was analyzed, and how many rows have changed since."""
        table = await tables.again(session, plan.steps[0].arguments)
        return {"analyzes": float(table.analyzes), "changed_rows": float(table.changed)}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Say whether it was analyzed since; the counters may tell of it a little later."""
        del plan
        newer = after.get("analyzes", 0.0) > before.get("analyzes", math.inf)
        return Verdict.IMPROVED if newer else Verdict.INCONCLUSIVE


def _fresh(parameters: Mapping[str, object], session: PostgresActing, table: Table) -> str:
    least = float(str(parameters.get("changed_share_min", CHANGED_SHARE_MIN)))
    if table.analyzed_ago is None or (table.changed and table.changed >= least * table.live):
        return ""
    changed = f"{table.changed} of {table.live} rows have changed since {table.analyzed_ago:.0f} s ago"
    return f"the statistics of {table.label} in {session.address} are fresh: {changed}"


async def _against(session: PostgresActing, table: Table) -> str:
    role = await fitness.role_of(session)
    return fitness.first([fitness.busy(session, table), fitness.may_not_maintain(session, table, role)])


async def _perform(work: Work) -> Evidence:
    session: PostgresActing = work.session
    table = await tables.again(session, work.step.arguments)
    ran = await session.run(f"ANALYZE {table.quoted}", within=work.step.deadline_seconds)
    skipped = [notice.message for notice in ran.notices if notice.severity == "WARNING"]
    if skipped:  # a right that is missing is only warned of
        raise NotDone(f"{session.address}: ANALYZE {table.quoted}: {'; '.join(skipped)}")
    after = await tables.again(session, work.step.arguments)
    return {"changed": after.changed, "analyzes": after.analyzes}
