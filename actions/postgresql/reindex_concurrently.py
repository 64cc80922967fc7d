"""Rebuilds a bloated B-tree beside the old one, while everybody goes on reading and writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Operation, Parameter
from actions.errors import NotDone
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
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
from actions.postgresql import fitness, index_bloat, indexes, latency, rebuilding
from actions.postgresql.client import PostgresActing
from actions.postgresql.indexes import Index

SHARE_MIN = 0.3
BYTES_MIN = 100 * 2**20
WAIT_SECONDS = 300.0
BYTES_PER_SECOND = 20 * 2**20
"""What durations are guessed with."""
SHRUNK = 0.9
_LEAST_DEADLINE = 900.0
_SLOWER_TIMES = 20.0

INFO = ActionInfo(
    name="postgresql.reindex_concurrently",
    version=1,
    engine="postgresql",
    action_class=ActionClass.C,
    title="Rebuild a bloated index",
    help=(
        "Rebuilds one B-tree when two estimators agree that it is bloated: statistics of its columns, and "
        "pgstatindex. Takes room for a second copy. What a failed attempt leaves is found and dropped. Never "
        "for partitioned, temporary or system indexes, exclusion constraints, or while a VACUUM works on it."
    ),
    parameters=(
        *indexes.PARAMETERS,
        Parameter(
            name="bloat_ratio_min",
            type="number",
            default=SHARE_MIN,
            least=0.05,
            most=1,
            help="Share of the index that has to be bloat, by both estimators.",
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
            most=3600,
            help="How long to wait for open transactions; only DDL and VACUUM of the table wait behind it.",
        ),
    ),
    steps=("REINDEX INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY of what failed attempts have left"),
    undo="None, and none needed: the new index is the same as the old one. A failed attempt is cleaned up.",
    verification="The index is smaller by a tenth, and statements on its table do not take twice as long.",
    grants=(
        "GRANT the table's owner TO the acting role",
        "GRANT pg_read_all_stats TO the acting role",
        "CREATE EXTENSION pgstattuple; GRANT pg_stat_scan_tables TO the acting role",
    ),
)


class ReindexConcurrently:
    """The action `postgresql.reindex_concurrently`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {
            "reindex": Operation(
                perform=rebuilding.perform,
                capture=rebuilding.capture,
                read_back=rebuilding.read_back,
                clean=rebuilding.clean,
            ),
            "tidy": Operation(perform=rebuilding.tidy),
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the index, ask both estimators, and see who stands in the way."""
        identity = await session.identity()
        if refused := fitness.unfit(asked, identity):
            return refused
        schema, name = str(asked.parameters.get("schema") or "public"), str(asked.parameters["index"])
        index = await indexes.find(session, schema, name)
        if index is None:
            return Refusal("precondition", f"{session.address} has no index {schema}.{name}")
        if against := await _against(asked.parameters, session, index):
            return Refusal("precondition", against)
        bloat = await index_bloat.bloat(session, index)
        if against := _too_little(asked.parameters, bloat, index):
            return Refusal("second_source", against)
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
            summary=f"rebuild the index {index.label} of {index.table} in {session.database}",
            reason=f"{bloat.share:.0%} of its {index.bytes} bytes are bloat",
            evidence=bloat.evidence,
            steps=_steps(index, _wait(asked.parameters)),
            prediction=Prediction(
                duration_seconds=5.0 + index.bytes / BYTES_PER_SECOND,
                disk_bytes=index.bytes,
                risk="Reads the whole table and writes as much WAL as the index is large; DDL and VACUUM of "
                "the table wait behind it.",
            ),
            verification=Verification(
                within_seconds=900.0, on_inconclusive=Inconclusive.KEEP, text=INFO.verification
            ),
            warnings=fitness.warnings(session),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it is the same index, still bloated, and nobody stands in the way."""
        known = plan.steps[0].arguments
        try:
            index = await indexes.same(session, known["oid"], known["schema"], known["index"])
        except NotDone as error:
            return (fitness.verdict("identity", str(error), ""),)
        bloat = await index_bloat.bloat(session, index)
        little = _too_little(plan.parameters, bloat, index)
        against = await _against(plan.parameters, session, index)
        return (
            fitness.verdict("identity", "", "it is the index of the plan", oid=index.oid),
            fitness.verdict("second_source", little, f"{bloat.share:.0%} are bloat", **bloat.evidence),
            fitness.verdict("precondition", against, "nothing stands against it"),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return the index's size, and time and number of statements on its table."""
        known = plan.steps[0].arguments
        index = await indexes.find(session, known["schema"], known["index"])
        size = {"index_bytes": float(index.bytes)} if index else {}
        return {**size, **await latency.statements_on(session, known["table"])}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare sizes, and what a statement takes."""
        del plan
        if not before.get("index_bytes") or "index_bytes" not in after:
            return Verdict.INCONCLUSIVE
        slower = latency.slower(before, after)
        if slower is None:
            return Verdict.INCONCLUSIVE
        if slower:
            return Verdict.WORSE
        shrunk = after["index_bytes"] <= SHRUNK * before["index_bytes"]
        return Verdict.IMPROVED if shrunk else Verdict.NEUTRAL


def _steps(index: Index, wait: float) -> tuple[Step, ...]:
    arguments: dict[str, Json] = {
        "oid": index.oid,
        "schema": index.schema,
        "index": index.name,
        "table": index.table_oid,
        "wait": wait,
    }
    locks = f"ShareUpdateExclusiveLock on {index.table}"
    # Rounded up to quarters of an hour, so that a little growth does not make it another plan.
    guess = _SLOWER_TIMES * index.bytes / BYTES_PER_SECOND + 2 * wait
    deadline = _LEAST_DEADLINE * (1 + guess // _LEAST_DEADLINE)
    return (
        Step(
            name="reindex",
            operation="reindex",
            kind=StepKind.CHECKABLE,
            text=rebuilding.statement(index),
            arguments=arguments,
            deadline_seconds=deadline,
            attempts_max=2,
            on_stop=OnStop.CANCEL,
            locks=locks,
        ),
        Step(
            name="tidy",
            operation="tidy",
            kind=StepKind.IDEMPOTENT,
            text=f"DROP INDEX CONCURRENTLY of invalid {index.quoted}_ccnew and _ccold that were not there",
            arguments=arguments,
            deadline_seconds=_LEAST_DEADLINE,
            attempts_max=3,
            locks=locks,
        ),
    )


async def _against(given: Mapping[str, Json], session: PostgresActing, index: Index) -> str:
    role = await fitness.role_of(session)
    return fitness.first(
        [
            _unsupported(index),
            await indexes.blind(session, role),
            indexes.may_not(session, index, role),
            await _in_the_way(session, index, _wait(given)),
        ]
    )


def _unsupported(index: Index) -> str:
    against = {
        f"the index {index.label} is invalid: postgresql.drop_invalid_index is for it": not index.valid,
        f"{index.label} is a partitioned index: name those of its partitions": index.kind == "I",
        f"the index {index.label} enforces an exclusion constraint: it cannot be rebuilt concurrently": (
            index.exclusion
        ),
        f"the index {index.label} is of a system catalog: it cannot be rebuilt concurrently": index.system,
        f"the index {index.label} is of a temporary table: only its session can rebuild it": (
            index.persistence == "t"
        ),
        f"the index {index.label} is of a TOAST table: its bloat cannot be told": index.table_kind == "t",
        f"the index {index.label} is a {index.method}: only the bloat of B-trees can be told": (
            index.method != "btree"
        ),
        f"pid {index.builder} builds an index of {index.table}: let it end": index.builder is not None,
    }
    return fitness.first([reason for reason, holds in against.items() if holds])


async def _in_the_way(session: PostgresActing, index: Index, wait: float) -> str:
    rows = await session.fetch(_IN_THE_WAY, index.table_oid, wait)
    if not rows:
        return ""
    row = rows[0]
    if row["vacuums"]:
        return f"a VACUUM works on {index.table} (pid {row['pid']}): let it end"
    return (
        f"pid {row['pid']} has had a transaction open for {row['seconds']:.0f} s in {session.address}: the "
        f"rebuild would wait for its end, at the most {wait:g} s"
    )


def _too_little(given: Mapping[str, Json], bloat: index_bloat.Bloat, index: Index) -> str:
    return bloat.against(
        index.label,
        float(given.get("bloat_ratio_min", SHARE_MIN)),
        int(given.get("bloat_bytes_min", BYTES_MIN)),
        one_is_enough=bool(given.get("single_estimate")),
    )


def _wait(given: Mapping[str, Json]) -> float:
    return float(given.get("wait_seconds") or WAIT_SECONDS)


_IN_THE_WAY = """
select a.pid, v.pid is not null as vacuums,
  extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as seconds
from pg_catalog.pg_stat_activity a
left join pg_catalog.pg_stat_progress_vacuum v on v.pid = a.pid and v.relid = $1::int8::oid
where a.pid <> pg_catalog.pg_backend_pid() and a.datname = pg_catalog.current_database() and (
  v.pid is not null or a.backend_xmin is not null and a.backend_type = 'client backend'
    and a.xact_start < pg_catalog.clock_timestamp() - $2::float8 * interval '1 second'
    and not exists (select from pg_catalog.pg_stat_progress_vacuum p where p.pid = a.pid)
)
order by 2 desc, 3 desc limit 1
"""
