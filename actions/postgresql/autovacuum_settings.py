"""Gives one table autovacuum thresholds that fit its size and its churn, and keeps what it had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Parameter, Work
from actions.errors import NotDone
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
from actions.postgresql import fitness, planning, tables
from actions.postgresql.client import PostgresActing
from actions.postgresql.tables import Table

LADDER = (0.01, 0.02, 0.05, 0.1)
"""Scale factors that are given: few, so that a plan stays the same while counters move."""
THRESHOLD_ROWS = 1000
"""Of autovacuum_vacuum_threshold: below so many dead rows no pass is worth it."""
ROWS_MIN = 10_000
"""Smaller tables are vacuumed in no time whatever they say."""
PASS_SECONDS = 3600.0
"""So often a pass is aimed at."""
COUNTED_SECONDS_MIN = 3600.0
DAY_SECONDS = 86_400.0
WORSE_FACTOR = 1.5
BETTER_FACTOR = 0.8
SCALE = "autovacuum_vacuum_scale_factor"
THRESHOLD = "autovacuum_vacuum_threshold"
ANALYZE_SCALE = "autovacuum_analyze_scale_factor"
NAMES = (SCALE, THRESHOLD, ANALYZE_SCALE)

INFO = ActionInfo(
    name="postgresql.autovacuum_settings",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="Autovacuum settings of a table",
    help=(
        "Sets autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold and "
        "autovacuum_analyze_scale_factor on one table: the scale factors are the smallest of 0.01, 0.02, "
        "0.05 and 0.1 that is at least (rows updated and deleted in an hour) / rows, the threshold is 1000. "
        "So a pass comes about every hour of churn, never for less than 1 % of the rows, never later than "
        "at 10 %. Only ever makes autovacuum come sooner; every other storage parameter stays as it is."
    ),
    parameters=(
        *tables.PARAMETERS,
        Parameter(
            name="counted_min",
            type="duration",
            default=COUNTED_SECONDS_MIN,
            least=0,
            help="For how long the counters must have counted.",
        ),
    ),
    steps=("ALTER TABLE SET (three autovacuum parameters)",),
    undo="ALTER TABLE SET (the old values), RESET (those that it did not have)",
    verification="Looked at every hour: within 24 hours the share of dead rows falls by a fifth, or under "
    "the new scale factor. If not, or if it grows by half although autovacuum came, it is taken back.",
    grants=("GRANT pg_monitor TO the acting role", "the table's owner: GRANT owner TO the acting role"),
)


class AutovacuumSettings:
    """The action `postgresql.autovacuum_settings`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {"alter": Operation(perform=_alter, capture=_capture, undo=_undo)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Find the table and compute what fits it."""
        identity = await session.identity()
        unfit = fitness.unfit(asked, identity)
        table = unfit or await tables.choose(session, asked, "dead", ("r", "m"))
        if isinstance(table, Refusal):
            return table
        against = await _against(asked.parameters, session, table)
        if against:
            return Refusal("precondition", against)
        wanted = fitting(table)
        return planning.on_table(
            INFO,
            asked,
            session,
            identity,
            table,
            summary=f"autovacuum of {table.label} in {session.database}: at {wanted[SCALE]} of its rows",
            reason=f"{churn_per_hour(table):.0f} rows of {table.rows:.0f} change in an hour, and autovacuum "
            f"begins at {table.vacuum_threshold:.0f} dead ones",
            evidence={
                "rows": table.rows,
                "dead": table.dead,
                "changed_per_hour": churn_per_hour(table),
                "counted_seconds": table.counted_seconds,
                "threshold": table.vacuum_threshold,
                "options": list(table.options),
            },
            step=Step(
                name="alter",
                operation="alter",
                kind=StepKind.IDEMPOTENT,
                text=f"ALTER TABLE {table.quoted} SET ({_listed(wanted)})",
                arguments={**tables.arguments(table), "options": dict(wanted)},
                deadline_seconds=15.0,
                attempts_max=5,
                locks=f"ShareUpdateExclusiveLock on {table.label}",
                undo_text=f"ALTER TABLE {table.quoted} {back(before(table))}",
                undoable=True,
            ),
            prediction=Prediction(
                duration_seconds=1.0,
                risk="Autovacuum comes more often: each pass reads what has changed, at its usual pace.",
            ),
            verification=Verification(
                settle_seconds=PASS_SECONDS,
                within_seconds=DAY_SECONDS,
                every_seconds=PASS_SECONDS,
                on_inconclusive=Inconclusive.REVERT,
                text=INFO.verification,
            ),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether the table is the same, and would still get the same settings."""
        table, same = await fitness.same_table(plan, session)
        if table is None:
            return (same,)
        against = await _against(plan.parameters, session, table)
        return (same, fitness.verdict("precondition", against, "nothing stands against it"))

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return the share of dead rows and how often autovacuum came; nothing of a table without rows."""
        table = await tables.again(session, plan.steps[0].arguments)
        rows = table.live + table.dead
        return {"dead_share": table.dead / rows, "autovacuums": float(table.autovacuums)} if rows else {}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the shares of dead rows; a greater one tells nothing until autovacuum has come."""
        was, now = before.get("dead_share"), after.get("dead_share")
        if was is None or now is None:
            return Verdict.INCONCLUSIVE
        scale = float(plan.steps[0].arguments["options"][SCALE])
        if now <= max(BETTER_FACTOR * was, scale):
            return Verdict.IMPROVED
        came = after.get("autovacuums", 0.0) > before.get("autovacuums", math.inf)
        worse = now > WORSE_FACTOR * max(was, scale)
        return Verdict.WORSE if came and worse else Verdict.INCONCLUSIVE


def churn_per_hour(table: Table) -> float:
    """Return how many rows are updated or deleted in an hour, as the counters have it."""
    return (table.updated + table.deleted) / max(table.counted_seconds, 1.0) * PASS_SECONDS


def fitting(table: Table) -> Mapping[str, str]:
    """Return the settings that fit a table."""
    share = churn_per_hour(table) / max(table.rows, 1)
    scale = next((step for step in LADDER if step >= share), LADDER[-1])
    return {SCALE: f"{scale:g}", THRESHOLD: str(THRESHOLD_ROWS), ANALYZE_SCALE: f"{scale:g}"}


def before(table: Table) -> dict[str, str | None]:
    """Return what a table says of the three parameters; None where it says nothing."""
    options = dict(option.split("=", 1) for option in table.options)
    return {name: options.get(name) for name in NAMES}


def back(was: Mapping[str, str | None]) -> str:
    """Return the actions of ALTER TABLE that restore what was."""
    kept = {name: value for name, value in was.items() if value is not None}
    gone = [name for name, value in was.items() if value is None]
    parts = [f"SET ({_listed(kept)})"] if kept else []
    return ", ".join([*parts, *([f"RESET ({', '.join(gone)})"] if gone else [])])


def _listed(options: Mapping[str, str]) -> str:
    for name, value in options.items():
        float(value)  # numbers only: nothing else becomes SQL
        if name not in NAMES:
            raise ValueError(f"{name} is none of {', '.join(NAMES)}")
    return ", ".join(f"{name} = {value}" for name, value in options.items())


async def _against(parameters: Mapping[str, Json], session: PostgresActing, table: Table) -> str:
    counted = float(str(parameters.get("counted_min", COUNTED_SECONDS_MIN)))
    wanted = fitting(table)
    begins = THRESHOLD_ROWS + float(wanted[SCALE]) * table.rows
    where = f"{table.label} in {session.address}"
    return fitness.first(
        [
            f"{where} had {table.rows:.0f} rows when last analyzed, fewer than {ROWS_MIN}: not worth it"
            if table.rows < ROWS_MIN
            else "",
            f"the counters of {where} have counted for {table.counted_seconds:.0f} s only"
            if table.counted_seconds < counted
            else "",
            f"autovacuum is off for {where} (autovacuum_enabled): somebody wanted that, ask first"
            if any(option.startswith("autovacuum_enabled=") and _off(option) for option in table.options)
            else "",
            f"autovacuum comes to {where} at {table.vacuum_threshold:.0f} dead rows already, "
            f"what fits its churn is {begins:.0f}"
            if table.vacuum_threshold <= begins
            else "",
            fitness.may_not_alter(session, table, await fitness.role_of(session)),
        ]
    )


def _off(option: str) -> bool:
    return option.partition("=")[2].lower() in ("off", "false", "no", "0", "f", "n")


async def _capture(work: Work) -> Evidence:
    return {"was": before(await tables.again(work.session, work.step.arguments))}


async def _alter(work: Work) -> Evidence:
    session: PostgresActing = work.session
    table = await tables.again(session, work.step.arguments)
    return await _altered(work, f"ALTER TABLE {table.quoted} SET ({_listed(work.step.arguments['options'])})")


async def _undo(work: Work) -> Evidence:
    """Write back what was there; what somebody else has set since is left to people."""
    if "was" not in work.before:
        return {}
    table = await tables.again(work.session, work.step.arguments)
    was, ours = work.before["was"], work.step.arguments["options"]
    now = before(table)
    foreign = [name for name in NAMES if now[name] not in (was[name], ours[name])]
    if foreign:
        raise NotDone(
            f"{work.session.address}: {', '.join(foreign)} of {table.label} was changed by somebody else "
            "since; decide by hand"
        )
    return await _altered(work, f"ALTER TABLE {table.quoted} {back(was)}")


async def _altered(work: Work, sql: str) -> Evidence:
    session: PostgresActing = work.session
    await session.run(sql, within=10.0)
    table = await tables.again(session, work.step.arguments)
    return {"options": list(table.options)}
