"""Rewrites a bloated table with pg_repack, while everybody goes on reading and writing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from actions.action import ActionInfo, Operation, Parameter
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
    Json,
    Plan,
    Prediction,
    Refusal,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, planning, repacking, tables
from actions.postgresql.client import PostgresActing
from actions.postgresql.index_bloat import Bloat
from actions.postgresql.tables import Table

SHARE_MIN = 0.3
BYTES_MIN = 100 * 2**20
WAIT_SECONDS = 60.0
BYTES_PER_SECOND = 10 * 2**20
SHRUNK = 0.9
_LEAST_DEADLINE = 1800.0
_SLOWER_TIMES = 20.0
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$-]*")

INFO = ActionInfo(
    name="postgresql.repack",
    version=1,
    engine="postgresql",
    action_class=ActionClass.C,
    title="Rewrite a bloated table",
    help=(
        "Rewrites one table and its indexes with pg_repack, when statistics and pgstattuple agree that it is "
        "bloated. Takes room for a second copy. Waits for its exclusive locks, cancels nobody for them, and "
        "gives up. Never VACUUM FULL."
    ),
    parameters=(
        *tables.PARAMETERS,
        Parameter(
            name="bloat_ratio_min",
            type="number",
            default=SHARE_MIN,
            least=0.05,
            most=1,
            help="Share of the heap that has to be bloat, by both estimators.",
        ),
        Parameter(
            name="bloat_bytes_min", type="integer", default=BYTES_MIN, least=0, help="And how much, in bytes."
        ),
        Parameter(
            name="single_estimate",
            type="boolean",
            default=False,
            help="Go on where only one estimator knows.",
        ),
        Parameter(
            name="wait_seconds",
            type="duration",
            default=WAIT_SECONDS,
            least=1,
            most=600,
            help="How long pg_repack tries for its exclusive lock before it gives up.",
        ),
    ),
    steps=("pg_repack --table=... --no-kill-backend --wait-timeout=...",),
    undo="None, and none needed: the rows are the same. What a killed attempt leaves is removed.",
    verification="Table and indexes are smaller by a tenth.",
    grants=(
        "pg_repack on the daemon's machine, of the extension's version",
        "CREATE EXTENSION pg_repack; CREATE EXTENSION pgstattuple",
        "a superuser",
    ),
)


class Repack:
    """The action `postgresql.repack`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {
            "repack": Operation(
                perform=repacking.perform,
                capture=repacking.capture,
                read_back=repacking.read_back,
                clean=repacking.clean,
            )
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the table, at pg_repack, and ask both estimators."""
        identity = await session.identity()
        if refused := fitness.unfit(asked, identity):
            return refused
        if not asked.parameters.get("table"):
            return Refusal("precondition", "name the table: none is rewritten just for being the worst")
        table = await tables.choose(session, asked, "dead", ("r",))
        if isinstance(table, Refusal):
            return table
        found = await repacking.program(session)
        ready = await repacking.readiness(session, table.oid)
        if against := await _against(session, table, ready, found):
            return Refusal("precondition", against)
        bloat = await _bloat(session, table)
        if against := _too_little(asked.parameters, bloat, table):
            return Refusal("second_source", against)
        return planning.on_table(
            INFO,
            asked,
            session,
            identity,
            table,
            summary=f"rewrite {table.label} in {session.database} with pg_repack {found[1]}",
            reason=f"{bloat.share:.0%} of its {bloat.bytes} bytes are bloat",
            evidence=bloat.evidence,
            step=_step(asked.parameters, found[0], table, ready.total_bytes),
            prediction=Prediction(
                duration_seconds=10.0 + ready.total_bytes / BYTES_PER_SECOND,
                disk_bytes=ready.total_bytes,
                risk="Writes the whole table anew, and as much WAL; at begin and end everybody waits for a "
                "moment. DDL on the table may be cancelled meanwhile.",
            ),
            verification=Verification(
                within_seconds=300.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it is the same table, still bloated, and pg_repack still fits."""
        table, same = await fitness.same_table(plan, session)
        if table is None:
            return (same,)
        found = await repacking.program(session)
        ready = await repacking.readiness(session, table.oid)
        little = _too_little(plan.parameters, await _bloat(session, table), table)
        against = await _against(session, table, ready, found)
        return (
            same,
            fitness.verdict("second_source", little, "it is bloated"),
            fitness.verdict("precondition", against, "nothing stands against it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return the size of table, TOAST and indexes."""
        table = await tables.again(session, plan.steps[0].arguments)
        return {"total_bytes": float((await repacking.readiness(session, table.oid)).total_bytes)}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the sizes."""
        del plan
        if not before.get("total_bytes") or "total_bytes" not in after:
            return Verdict.INCONCLUSIVE
        shrunk = after["total_bytes"] <= SHRUNK * before["total_bytes"]
        return Verdict.IMPROVED if shrunk else Verdict.NEUTRAL


def _step(given: Mapping[str, Json], program: str, table: Table, total: int) -> Step:
    words = repacking.argv(program, table.quoted, float(given.get("wait_seconds") or WAIT_SECONDS))
    # In half hours, so that a little growth does not make it another plan.
    deadline = _LEAST_DEADLINE * (1 + _SLOWER_TIMES * total / BYTES_PER_SECOND // _LEAST_DEADLINE)
    return Step(
        name="repack",
        operation="repack",
        kind=StepKind.CHECKABLE,
        text=shlex.join(words),
        arguments={**tables.arguments(table), "argv": words},
        deadline_seconds=deadline,
        attempts_max=2,
        locks=f"AccessExclusiveLock on {table.quoted} for moments, ShareUpdateExclusiveLock meanwhile",
    )


async def _against(
    session: PostgresActing, table: Table, ready: repacking.Readiness, found: tuple[str, str]
) -> str:
    role = await fitness.role_of(session)
    if session.read_only:
        ready = replace(ready, superuser=True)  # whoever acts is another role
    reasons = repacking.against(ready, found, f"{table.label} in {session.address}", role)
    # pg_repack puts the name unquoted into a connection string: host=... in it would be obeyed.
    name = session.database
    odd = "" if _PLAIN.fullmatch(name) else f"pg_repack mistakes the database name {name!r} for options"
    system = "a system catalog cannot be rewritten" if table.schema == "pg_catalog" else ""
    holds = [reason for reason, is_so in reasons.items() if is_so]
    return fitness.first([system, odd, *holds, fitness.busy(session, table)])


async def _bloat(session: PostgresActing, table: Table) -> Bloat:
    size = await _heap(session, table)
    return Bloat(
        bytes=size,
        estimated=await repacking.estimated(session, table.oid, size),
        measured=await repacking.measured(session, table.oid),
    )


async def _heap(session: PostgresActing, table: Table) -> int:
    sql = "select pg_catalog.pg_relation_size($1::int8::oid::pg_catalog.regclass)::int8 as bytes"
    return int((await session.fetch(sql, table.oid))[0]["bytes"])


def _too_little(given: Mapping[str, Json], bloat: Bloat, table: Table) -> str:
    return bloat.against(
        table.label,
        float(given.get("bloat_ratio_min", SHARE_MIN)),
        int(given.get("bloat_bytes_min", BYTES_MIN)),
        one_is_enough=bool(given.get("single_estimate")),
    )
