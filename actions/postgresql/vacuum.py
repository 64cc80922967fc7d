"""Removes dead rows from a table, unless somebody holds the horizon that would make it useless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Operation, Parameter
from actions.model import ActionClass, GuardResult, Inconclusive, Plan, Refusal, Verdict, Verification
from actions.ports import Asked
from actions.postgresql import fitness, planning, tables, vacuuming
from actions.postgresql.client import PostgresActing
from actions.postgresql.horizon import Blocker, blockers
from actions.postgresql.tables import Table

DEAD_ROWS_MIN = 1000
REMOVED_SHARE = 0.5
"""As many of the dead rows have to be gone for it to have helped."""

INFO = ActionInfo(
    name="postgresql.vacuum",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="VACUUM a table",
    help=(
        "Removes dead rows from one table: the one that is named, or the one with most of them against "
        "autovacuum's threshold. Names who holds the xmin horizon first: VACUUM before that is useless. "
        "Never FULL, never truncates, never disturbs a VACUUM that runs. Does not shrink a bloated table."
    ),
    parameters=(
        *tables.PARAMETERS,
        Parameter(
            name="dead_rows_min",
            type="integer",
            default=DEAD_ROWS_MIN,
            least=1,
            help="With fewer dead rows there is no plan.",
        ),
        Parameter(
            name="blocker_seconds",
            type="duration",
            default=60.0,
            least=0,
            help="A session or prepared transaction that has held the horizon for so long stands against it, "
            "unless the table was vacuumed twice as long ago.",
        ),
        Parameter(
            name="blocker_transactions",
            type="integer",
            default=10_000,
            least=1,
            help="So does a slot or a standby that holds it back by that many transactions.",
        ),
        vacuuming.WITHIN,
    ),
    steps=("VACUUM (TRUNCATE false, INDEX_CLEANUP auto, PARALLEL n)",),
    verification="At least half of the dead rows are gone within 15 minutes.",
    grants=(
        "GRANT pg_monitor TO the acting role",
        "PostgreSQL 17 and later: GRANT pg_maintain TO the acting role, or MAINTAIN on the table",
        "earlier: the table's owner, or the database's",
    ),
)


class Vacuum:
    """The action `postgresql.vacuum`."""

    info: ActionInfo = INFO
    operations: Mapping[str, Operation] = {
        "vacuum": Operation(perform=vacuuming.perform, capture=vacuuming.before)
    }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the table, and what stands against it."""
        identity = await session.identity()
        unfit = fitness.unfit(asked, identity)
        table = unfit or await tables.choose(session, asked, "dead", ("r", "m"))
        if isinstance(table, Refusal):
            return table
        against = await _against(asked.parameters, session, table)
        if against:
            return Refusal("precondition", against)
        return planning.on_table(
            INFO,
            asked,
            session,
            identity,
            table,
            summary=f"VACUUM {table.label} in {session.database}",
            reason=f"{table.dead} dead rows beside {table.live} live ones; autovacuum begins at "
            f"{table.vacuum_threshold:.0f}",
            evidence={"dead": table.dead, "live": table.live, "threshold": table.vacuum_threshold},
            step=vacuuming.step(asked, session, table, freeze=False),
            prediction=vacuuming.prediction(table),
            verification=Verification(
                within_seconds=900.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether the table is the same, still needs it, and nobody holds the horizon."""
        table, same = await fitness.same_table(plan, session)
        if table is None:
            return (same,)
        needed = _too_few(plan.parameters, session, table)
        against = await _against(plan.parameters, session, table, with_need=False)
        return (
            same,
            fitness.verdict("second_source", needed, f"{table.dead} dead rows", dead=table.dead),
            fitness.verdict("precondition", against, "nothing stands against it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return how many rows are dead, and how often it was vacuumed by hand."""
        table = await tables.again(session, plan.steps[0].arguments)
        return {"dead_rows": float(table.dead), "vacuums": float(table.vacuums)}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the dead rows, once the counters tell of this VACUUM."""
        del plan
        if not after.get("vacuums", 0.0) > before.get("vacuums", math.inf):
            return Verdict.INCONCLUSIVE
        gone = before["dead_rows"] - after["dead_rows"]
        return Verdict.IMPROVED if gone >= REMOVED_SHARE * before["dead_rows"] else Verdict.NEUTRAL


def holding(found: Sequence[Blocker], table: Table, seconds: float, transactions: int) -> Sequence[Blocker]:
    """Return those of the holders for whom VACUUM would do little.

    What died before a session began can be removed in spite of it. When it died is not known, so a session
    counts if it was there for at least half of the time since the last VACUUM.
    """
    long = max(seconds, (table.vacuumed_ago or 0.0) / 2)
    return [
        one
        for one in found
        if (one.seconds is not None and one.seconds >= long)
        or (one.seconds is None and one.age >= transactions)
    ]


def _too_few(parameters: Mapping[str, object], session: PostgresActing, table: Table) -> str:
    least = int(str(parameters.get("dead_rows_min", DEAD_ROWS_MIN)))
    if table.dead >= least:
        return ""
    return f"{table.label} in {session.address} has {table.dead} dead rows, fewer than {least}: nothing to do"


async def _against(
    parameters: Mapping[str, object], session: PostgresActing, table: Table, *, with_need: bool = True
) -> str:
    seconds = float(str(parameters.get("blocker_seconds", 60.0)))
    transactions = int(str(parameters.get("blocker_transactions", 10_000)))
    holders = holding(await blockers(session), table, seconds, transactions)
    useless = f"VACUUM of {table.label} in {session.address} would be useless: " if holders else ""
    return fitness.first(
        [
            _too_few(parameters, session, table) if with_need else "",
            fitness.busy(session, table),
            useless + "; ".join(one.sentence for one in holders[:3]) if holders else "",
            fitness.may_not_maintain(session, table, await fitness.role_of(session)),
        ]
    )
