"""Drops an invalid index: debris of a build that failed, which no query uses and every write may pay for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Parameter, ReadBack, Work
from actions.errors import NotDone, OutcomeUnknown
from actions.model import (
    ActionClass,
    GuardResult,
    Json,
    OnStop,
    Plan,
    Prediction,
    Refusal,
    Scope,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, indexes
from actions.postgresql.client import PostgresActing
from actions.postgresql.indexes import Index

WAIT_SECONDS = 30.0
_MARGIN_SECONDS = 30.0

INFO = ActionInfo(
    name="postgresql.drop_invalid_index",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="Drop an invalid index",
    help=(
        "Drops one index that is invalid because CREATE INDEX or REINDEX CONCURRENTLY failed. Never a valid "
        "one, one that is being built, one that backs a constraint, or a partitioned index that waits for "
        "its partitions."
    ),
    parameters=(
        *indexes.PARAMETERS,
        Parameter(
            name="wait_seconds",
            type="duration",
            default=WAIT_SECONDS,
            least=1,
            most=600,
            help="How long to wait for transactions that use the table; only DDL and VACUUM wait behind it.",
        ),
    ),
    steps=("DROP INDEX CONCURRENTLY",),
    undo="The definition is kept: CREATE INDEX CONCURRENTLY builds it anew.",
    verification="The index is gone.",
    grants=("GRANT the table's owner TO the acting role", "GRANT pg_read_all_stats TO the acting role"),
)


class DropInvalidIndex:
    """The action `postgresql.drop_invalid_index`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {
            "drop": Operation(perform=_drop, capture=_capture, read_back=_read_back)
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the index, and whether anybody still builds it."""
        identity = await session.identity()
        if refused := fitness.unfit(asked, identity):
            return refused
        schema, name = str(asked.parameters.get("schema") or "public"), str(asked.parameters["index"])
        index = await indexes.find(session, schema, name)
        if index is None:
            return Refusal("precondition", f"{session.address} has no index {schema}.{name}")
        if against := await _against(session, index):
            return Refusal("precondition", against)
        return Plan(
            action=INFO.name,
            version=INFO.version,
            action_class=INFO.action_class,
            target=asked.target,
            targets=(asked.target,),
            identity=identity,
            parameters={**asked.parameters, "database": session.database, "schema": schema},
            scope=Scope(
                cluster=asked.cluster or asked.target, part=f"table:{identity.database_id}.{index.table_oid}"
            ),
            subject=f"{session.database}.{index.label}",
            summary=f"drop the invalid index {index.label} of {index.table} in {session.database}",
            reason=_reason(index),
            evidence={"bytes": index.bytes, "ready": index.ready, "definition": index.definition},
            steps=(_step(index, _wait(asked.parameters)),),
            prediction=Prediction(
                duration_seconds=5.0,
                risk="DDL and VACUUM of the table wait behind it; reads and writes do not.",
            ),
            verification=Verification(within_seconds=60.0, every_seconds=5.0, text=INFO.verification),
            warnings=(*fitness.warnings(session), *_warnings(index)),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it is the same index, and still debris."""
        known = plan.steps[0].arguments
        try:
            index = await indexes.same(session, known["oid"], known["schema"], known["index"])
        except NotDone as error:
            return (fitness.verdict("identity", str(error), ""),)
        against = await _against(session, index)
        return (
            fitness.verdict("identity", "", "it is the index of the plan", oid=index.oid),
            fitness.verdict("precondition", against, "it is invalid, and nobody builds it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return whether it is there."""
        found = await indexes.by_oid(session, plan.steps[0].arguments["oid"])
        return {"invalid_indexes": float(found is not None)}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Gone is improved."""
        del plan
        if "invalid_indexes" not in before or after.get("invalid_indexes", 1.0):
            return Verdict.INCONCLUSIVE
        return Verdict.IMPROVED if before["invalid_indexes"] else Verdict.NEUTRAL


def _step(index: Index, wait: float) -> Step:
    return Step(
        name="drop",
        operation="drop",
        kind=StepKind.CHECKABLE,
        text=statement(index),
        arguments={"oid": index.oid, "schema": index.schema, "index": index.name, "wait": wait},
        deadline_seconds=2 * wait + _MARGIN_SECONDS,
        attempts_max=3,
        on_stop=OnStop.CANCEL,
        locks=f"ShareUpdateExclusiveLock on {index.table}",
        undo_text=index.definition.replace("INDEX", "INDEX CONCURRENTLY", 1),
    )


def statement(index: Index) -> str:
    """Return what drops an index without holding up reads and writes."""
    return f"DROP INDEX CONCURRENTLY {index.quoted}"


async def _against(session: PostgresActing, index: Index) -> str:
    role = await fitness.role_of(session)
    return fitness.first(
        [_not_debris(index), await indexes.blind(session, role), indexes.may_not(session, index, role)]
    )


def _not_debris(index: Index) -> str:
    decide = "a person has to decide on it"
    unfit = index.system or index.persistence == "t"
    against = {
        f"the index {index.label} is valid: this action drops debris only": index.valid,
        f"{index.label} is a partitioned index: it is invalid until every partition has its own attached "
        "(ALTER INDEX ... ATTACH PARTITION)": index.kind == "I",
        f"pid {index.builder} builds an index of {index.table}: let it end, or cancel it": index.builder,
        f"the index {index.label} backs the constraint {index.constraint}: {decide}": index.constraint,
        f"the index {index.label} is attached to {index.parent}: {decide}": index.parent,
        f"the index {index.label} is a catalog's or temporary: it cannot be dropped concurrently": unfit,
    }
    return fitness.first([reason for reason, holds in against.items() if holds])


def _reason(index: Index) -> str:
    origin = "REINDEX CONCURRENTLY failed and left it" if index.leftover else "its build failed"
    cost = "every write pays for it" if index.ready else "it takes room"
    return f"{origin}: no query uses it, {cost} ({index.bytes} bytes)"


def _warnings(index: Index) -> tuple[str, ...]:
    if index.unique and index.ready:
        return ("it is unique and kept up: as long as it is there duplicates are refused, and not after",)
    return ()


def _wait(given: Mapping[str, Json]) -> float:
    return float(given.get("wait_seconds") or WAIT_SECONDS)


async def _capture(work: Work) -> Evidence:
    index = await _same(work)
    return {"definition": index.definition, "table": index.table, "bytes": index.bytes}


async def _drop(work: Work) -> Evidence:
    index = await _same(work)
    if against := _not_debris(index):
        raise NotDone(against)
    wait = float(work.step.arguments["wait"])
    try:
        await work.session.run(statement(index), within=2 * wait, lock_timeout=wait)
    except NotDone as error:
        # It works in several transactions: a part may be done when the last one fails.
        raise OutcomeUnknown(str(error)) from None
    return {"dropped": index.quoted, "definition": index.definition}


async def _read_back(work: Work) -> ReadBack:
    """Tell by the oid: an index that was made anew has another."""
    found = await indexes.by_oid(work.session, work.step.arguments["oid"])
    if found is None:
        return ReadBack(answer="done", evidence=dict(work.before))
    return ReadBack(answer="not_done", evidence={"valid": found.valid, "ready": found.ready})


async def _same(work: Work) -> Index:
    known = work.step.arguments
    return await indexes.same(work.session, known["oid"], known["schema"], known["index"])
