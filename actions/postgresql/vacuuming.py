"""Carries out a VACUUM, and tells how far it is while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from actions.action import Evidence, Parameter, Work
from actions.errors import ActError, NotDone
from actions.model import Json, OnStop, Prediction, Step, StepKind
from actions.ports import Asked
from actions.postgresql import tables
from actions.postgresql.client import PostgresActing, Ran
from actions.postgresql.pace import BYTES_PER_SECOND, Pace, pace
from actions.postgresql.tables import Table

log = structlog.get_logger()
LOOK_SECONDS = 10.0
_INDEX_CLEANUP_SINCE = 140000


WITHIN = Parameter(
    name="within",
    type="duration",
    default=7200.0,
    least=1,
    most=43200,
    help="After that long it is cancelled.",
)


def step(asked: Asked, session: PostgresActing, table: Table, *, freeze: bool) -> Step:
    """Return the step that vacuums a table."""
    return Step(
        name="vacuum",
        operation="vacuum",
        kind=StepKind.IDEMPOTENT,
        text=text(session, table, freeze=freeze),
        arguments={**tables.arguments(table), "freeze": freeze},
        deadline_seconds=float(asked.parameters.get("within", WITHIN.default)),
        attempts_max=3,
        on_stop=OnStop.CANCEL,
        locks=f"ShareUpdateExclusiveLock on {table.label}",
    )


def prediction(table: Table) -> Prediction:
    """Return what it takes at the worst: each page changed in both passes and logged whole."""
    size = table.heap_bytes + table.index_bytes
    return Prediction(
        duration_seconds=max(1.0, size / BYTES_PER_SECOND),
        disk_bytes=2 * size,
        risk="Reads the table and its indexes, and writes what it changes, as WAL too; "
        "neither readers nor writers wait for it.",
    )


def statement(session: PostgresActing, table: Table, workers: str, *, freeze: bool) -> str:
    """Return the statement; TRUNCATE would take an exclusive lock, and FULL is never done."""
    words = ["FREEZE"] if freeze else []
    words.append("TRUNCATE false")
    if session.version_num >= _INDEX_CLEANUP_SINCE:
        words.append("INDEX_CLEANUP auto")
    words.append(f"PARALLEL {workers}")
    return f"VACUUM ({', '.join(words)}) {table.quoted}"


def text(session: PostgresActing, table: Table, *, freeze: bool) -> str:
    """Return the statement for a plan: what follows from the load is decided when it begins."""
    done = statement(session, table, "n", freeze=freeze)
    return f"{done}; -- n: 0 to 4, and vacuum_cost_delay: 0 to 10 ms, by the load when it begins"


async def perform(work: Work) -> Evidence:
    """Vacuum the step's table; progress goes to the log, its last state into the evidence."""
    session: PostgresActing = work.session
    table = await tables.again(session, work.step.arguments)
    how = await pace(session, table)
    await session.configure(how.settings)
    sql = statement(session, table, str(how.workers), freeze=bool(work.step.arguments.get("freeze")))
    progress: dict[str, Json] = {}
    ran = await _watched(work, session, table, sql, progress)
    skipped = [notice.message for notice in ran.notices if notice.severity == "WARNING"]
    if skipped:  # a right that is missing is only warned of
        raise NotDone(f"{session.address}: {sql}: {'; '.join(skipped)}")
    return {
        "statement": sql,
        **_of(how),
        **progress,
        **_counted(await tables.again(session, work.step.arguments)),
    }


async def before(work: Work) -> Evidence:
    """Read the counters before it."""
    return _counted(await tables.again(work.session, work.step.arguments))


async def _watched(
    work: Work, session: PostgresActing, table: Table, sql: str, progress: dict[str, Json]
) -> Ran:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(session, table, work.execution, progress))
        came: Ran | ActError
        try:
            came = await session.run(sql, within=work.step.deadline_seconds)
        except ActError as error:  # raised below: a TaskGroup would wrap it
            came = error
        watching.cancel()
    if isinstance(came, ActError):
        raise came
    return came


async def _watch(session: PostgresActing, table: Table, execution: str, progress: dict[str, Json]) -> None:
    try:
        async with session.beside() as other:
            while True:
                await asyncio.sleep(LOOK_SECONDS if progress else 1.0)
                for row in await other.fetch(_PROGRESS, session.pid):
                    progress.update(dict(row))
                    log.info("vacuum.progress", execution=execution, table=table.label, **progress)
    except ActError as error:  # nobody looks on then; the work goes on
        log.info("vacuum.unwatched", execution=execution, table=table.label, reason=str(error))


def _of(how: Pace) -> Mapping[str, Json]:
    return {"workers": how.workers, "cost_delay_ms": how.delay_milliseconds, "sessions_active": how.sessions}


def _counted(table: Table) -> Mapping[str, Json]:
    return {"dead": table.dead, "live": table.live, "xid_age": table.xid_age, "vacuums": table.vacuums}


_PROGRESS = """
select p.phase, p.heap_blks_total, p.heap_blks_scanned, p.heap_blks_vacuumed, p.index_vacuum_count
from pg_catalog.pg_stat_progress_vacuum p where p.pid = $1
"""
