"""Freezes the oldest table before transaction ids run out, unless somebody holds the horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Operation, Parameter
from actions.model import ActionClass, GuardResult, Inconclusive, Plan, Refusal, Verdict, Verification
from actions.ports import Asked
from actions.postgresql import fitness, planning, tables, vacuuming
from actions.postgresql.client import PostgresActing
from actions.postgresql.horizon import Blocker, blockers
from actions.postgresql.tables import Table

SHARE_MIN = 0.5
HELPS_SHARE = 0.5
"""A holder older than that part of the table's own age leaves too little to gain."""

INFO = ActionInfo(
    name="postgresql.freeze",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="VACUUM (FREEZE) a table",
    help=(
        "Freezes the rows of one table: the one that is named, or the one whose transaction or multixact "
        "ids are oldest against autovacuum's limits. Names who holds the xmin horizon first: nothing newer "
        "can be frozen. Leaves a table alone that a VACUUM against wraparound works on."
    ),
    parameters=(
        *tables.PARAMETERS,
        Parameter(
            name="share_min",
            type="number",
            default=SHARE_MIN,
            least=0,
            most=1,
            help="A table younger than this part of autovacuum_freeze_max_age, or its like, is left.",
        ),
        vacuuming.WITHIN,
    ),
    steps=("VACUUM (FREEZE, TRUNCATE false, INDEX_CLEANUP auto, PARALLEL n)",),
    verification="The table's age has fallen by half or more within 15 minutes.",
    grants=(
        "GRANT pg_monitor TO the acting role",
        "PostgreSQL 17 and later: GRANT pg_maintain TO the acting role, or MAINTAIN on the table",
        "earlier: the table's owner, or the database's",
    ),
)


class Freeze:
    """The action `postgresql.freeze`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {"vacuum": Operation(perform=vacuuming.perform, capture=vacuuming.before)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the table, and what stands against it."""
        identity = await session.identity()
        unfit = fitness.unfit(asked, identity)
        table = unfit or await tables.choose(session, asked, "frozen", ("r", "m"))
        if isinstance(table, Refusal):
            return table
        against = _young(asked.parameters, session, table) or await _against(session, table)
        if against:
            return Refusal("precondition", against)
        return planning.on_table(
            INFO,
            asked,
            session,
            identity,
            table,
            summary=f"VACUUM (FREEZE) {table.label} in {session.database}",
            reason=f"its oldest transaction id is {table.xid_age:.0f} back, its oldest multixact "
            f"{table.multixact_age:.0f}: {table.frozen_share:.0%} of the limit",
            evidence={
                "xid_age": table.xid_age,
                "multixact_age": table.multixact_age,
                "freeze_max_age": table.freeze_max_age,
                "multixact_freeze_max_age": table.multixact_max_age,
            },
            step=vacuuming.step(asked, session, table, freeze=True),
            prediction=vacuuming.prediction(table),
            verification=Verification(
                within_seconds=900.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether the table is the same, is still old, and nobody holds the horizon."""
        table, same = await fitness.same_table(plan, session)
        if table is None:
            return (same,)
        young = _young(plan.parameters, session, table)
        return (
            same,
            fitness.verdict("second_source", young, "it is still that old", xid_age=table.xid_age),
            fitness.verdict("precondition", await _against(session, table), "nothing stands against it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return the table's age in transactions and multixacts, and as a part of the limits."""
        table = await tables.again(session, plan.steps[0].arguments)
        return {
            "xid_age": table.xid_age,
            "multixact_age": table.multixact_age,
            "limit_share": table.frozen_share,
        }

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the age with the limits."""
        del plan
        was, now = before.get("limit_share"), after.get("limit_share")
        if was is None or now is None:
            return Verdict.INCONCLUSIVE
        return Verdict.IMPROVED if now <= HELPS_SHARE * was else Verdict.NEUTRAL


def holding(found: Sequence[Blocker], table: Table) -> Sequence[Blocker]:
    """Return those of the holders beyond whom too little could be frozen."""
    return [one for one in found if one.age > HELPS_SHARE * table.xid_age]


def _young(parameters: Mapping[str, object], session: PostgresActing, table: Table) -> str:
    least = float(str(parameters.get("share_min", SHARE_MIN)))
    if table.frozen_share >= least:
        return ""
    age = f"{table.frozen_share:.0%} of the age at which autovacuum freezes it"
    return f"{table.label} in {session.address} has {age}, less than {least:.0%}: nothing to do"


async def _against(session: PostgresActing, table: Table) -> str:
    # Multixacts are held back by other things than the xmin horizon: for them nobody stands in the way.
    by_xid = table.xid_age / table.freeze_max_age >= table.multixact_age / table.multixact_max_age
    holders = holding(await blockers(session), table) if by_xid else ()
    useless = f"freezing {table.label} in {session.address} would gain little: "
    return fitness.first(
        [
            fitness.busy(session, table),
            useless + "; ".join(one.sentence for one in holders[:3]) if holders else "",
            fitness.may_not_maintain(session, table, await fitness.role_of(session)),
        ]
    )
