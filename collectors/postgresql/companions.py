"""Extensions beside pg_stat_statements: pg_stat_kcache, pg_wait_sampling, pg_qualstats, pg_stat_monitor."""

# ruff: noqa: E501 - a table of columns reads better on long lines
from __future__ import annotations

from dataclasses import replace

from collectors.keep import Keeper
from collectors.model import Cost, Kind, LabelValues, MetricDef, ProbeInfo, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session
from collectors.postgresql.statement_columns import Column, Source, counter, source
from collectors.postgresql.statements import TopFrames

MOST = 50
EVENTS_MAX = 100


def _kcache(suffix: str, text: str, names: str, unit: str = "", dimension: str = "") -> Column:
    column = counter(suffix, text, names, unit, dimension)
    # Its times are seconds already.
    return replace(column, metric=replace(column.metric, name=f"pg_stat_kcache_{suffix}"), scale=1)


KCACHE = (
    _kcache("user_seconds_total", "CPU in user mode, executing.", "exec_user_time user_time", "seconds", "user"),
    _kcache("system_seconds_total", "CPU in the kernel, executing.", "exec_system_time system_time", "seconds", "system"),
    _kcache("read_bytes_total", "Bytes read from disk, executing.", "exec_reads reads", "bytes", "reads"),
    _kcache("written_bytes_total", "Bytes written to disk, executing.", "exec_writes writes", "bytes", "writes"),
    _kcache("plan_user_seconds_total", "CPU in user mode, planning.", "plan_user_time", "seconds", "user"),
    _kcache("plan_system_seconds_total", "CPU in the kernel, planning.", "plan_system_time", "seconds", "system"),
    _kcache("minor_faults_total", "Page faults served from memory.", "exec_minflts minflts"),
    _kcache("major_faults_total", "Page faults served from disk.", "exec_majflts majflts"),
    _kcache("voluntary_switches_total", "Context switches to wait for something.", "exec_nvcsws nvcsws"),
    _kcache("involuntary_switches_total", "Context switches because a time slice was over.", "exec_nivcsws nivcsws"),
)  # fmt: skip


class Kcache:
    """The probe `kcache` of one target."""

    def __init__(self, target: Target) -> None:
        del target
        self._top = TopFrames(MOST)
        self._source: tuple[object, Source] | None = None

    async def run(self, session: Session) -> Result:
        """Read all counters; the row queryid="other" adds up those that have no series."""
        facts = session.facts
        if self._source is None or self._source[0] is not facts:
            names = {"extension": "pg_stat_kcache", "function": "pg_stat_kcache"}
            self._source = (facts, source(facts, KCACHE, call="", **names))
        frame, choice, _ = await self._top.frame(session, self._source[1])
        return Result([frame], choice.dropped)


WAITS = MetricDef(
    name="pg_wait_sampling_profile_samples_total",
    kind=Kind.COUNTER,
    help="Samples in which a process waited for this event; without event: it waited for nothing.",
    labels=("event_type", "event"),
)
WAIT_PERIOD = MetricDef(
    name="pg_wait_sampling_profile_period_seconds",
    kind=Kind.GAUGE,
    help="Time between two samples of the profile.",
    unit="seconds",
)
_WAITS = """
select coalesce(p.event_type, ''), coalesce(p.event, ''), pg_catalog.sum(p.count)::int8
from {schema}.pg_wait_sampling_profile p group by 1, 2 order by 3 desc limit {limit}
"""
_WAIT_PERIOD = "select current_setting('pg_wait_sampling.profile_period', true)::float8 / 1000"


class WaitSampling:
    """The probe `wait_sampling` of one target."""

    def __init__(self, target: Target) -> None:
        del target
        self._keeper: Keeper[LabelValues] = Keeper(EVENTS_MAX)

    async def run(self, session: Session) -> Result:
        """Sum the profile up by event: processes and statements in it are many and short-lived."""
        schema = session.facts.schema_of("pg_wait_sampling")
        rows = await session.fetch(_WAITS.format(schema=schema, limit=4 * EVENTS_MAX))
        keys = [(event_type, event) for event_type, event, _ in rows]
        kept = self._keeper.choose(keys, [count for _, _, count in rows])
        waits = [((kind, event), (count,)) for kind, event, count in rows if (kind, event) in kept]
        period = (await session.fetch(_WAIT_PERIOD))[0][0]
        return Result(
            [frame_of((WAITS,), waits), frame_of((WAIT_PERIOD,), [((), (period,))])], len(rows) - len(waits)
        )


QUALS = (
    MetricDef(
        name="pg_qualstats_entries",
        kind=Kind.GAUGE,
        help="Predicates that pg_qualstats holds now; the oldest are lost when it is full.",
    ),
    MetricDef(
        name="pg_qualstats_entries_max",
        kind=Kind.GAUGE,
        help="Predicates that pg_qualstats can hold (pg_qualstats.max).",
    ),
    MetricDef(
        name="pg_qualstats_sample_ratio",
        kind=Kind.GAUGE,
        help="Share of the queries whose predicates are looked at.",
        unit="ratio",
    ),
)
_QUALS = """
select (select count(*)::int8 from {schema}.pg_qualstats()),
  current_setting('pg_qualstats.max', true)::int8,
  current_setting('pg_qualstats.sample_rate', true)::float8
"""


class Qualstats:
    """The probe `qualstats` of one target."""

    def __init__(self, target: Target) -> None:
        del target

    async def run(self, session: Session) -> Result:
        """Count predicates; their constants are somebody's data and stay where they are."""
        row = (await session.fetch(_QUALS.format(schema=session.facts.schema_of("pg_qualstats"))))[0]
        return Result([frame_of(QUALS, [((), tuple(row))])])


def _bucket(suffix: str, text: str, unit: str = "") -> MetricDef:
    name = f"pg_stat_monitor_bucket_{suffix}"
    return MetricDef(name=name, kind=Kind.GAUGE, help=text, unit=unit, labels=("datname",))


BUCKET = (
    _bucket("statements", "Statements in the bucket of pg_stat_monitor that is being filled."),
    _bucket("calls", "Executions in the bucket that is being filled."),
    _bucket("seconds", "Execution time in the bucket that is being filled.", "seconds"),
    _bucket("rows", "Rows returned or changed in the bucket that is being filled."),
)
_BUCKET = """
with entry as materialized (
  select m.dbid, m.bucket_start_time::text as began, m.calls, {seconds} as ms, {rows} as number
  from {schema}.pg_stat_monitor_internal(false) m
)
select coalesce(d.datname, '')::text, count(*)::int8, pg_catalog.sum(e.calls)::int8,
  pg_catalog.sum(e.ms)::float8 / 1000, pg_catalog.sum(e.number)::int8
from entry e left join pg_catalog.pg_database d on d.oid = e.dbid
where e.began = (select max(began) from entry)
group by 1 order by 3 desc limit 200
"""


class StatMonitor:
    """The probe `stat_monitor` of one target."""

    def __init__(self, target: Target) -> None:
        del target

    async def run(self, session: Session) -> Result:
        """Sum up the bucket that is being filled: buckets are thrown away, so nothing in them is a counter."""
        facts = session.facts
        schema = facts.extensions["pg_stat_monitor"].schema

        def column(*names: str) -> str:
            has = (name for name in names if facts.has(f"function:{schema}.pg_stat_monitor_internal.{name}"))
            found = next(has, None)
            return f"m.{found}" if found else "null::int8"

        sql = _BUCKET.format(
            schema=facts.schema_of("pg_stat_monitor"),
            seconds=column("total_exec_time", "total_time"),
            rows=column("rows", "rows_retrieved"),
        )
        rows = await session.fetch(sql)
        return Result([frame_of(BUCKET, [((row[0],), tuple(row)[1:]) for row in rows])])


def _info(name: str, metrics: tuple[MetricDef, ...], rows_max: int) -> ProbeInfo:
    return ProbeInfo(
        name=name, every_seconds=60, within_seconds=5, cost=Cost.MEDIUM, metrics=metrics, rows_max=rows_max
    )


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=_info("kcache", tuple(column.metric for column in KCACHE), MOST + 1),
        help="CPU and disk of the top statements, from pg_stat_kcache.",
        make=Kcache,
        needs=("extension:pg_stat_kcache",),
    ),
    CodeProbe(
        info=_info("wait_sampling", (WAITS, WAIT_PERIOD), EVENTS_MAX),
        help="Sampled wait events, from pg_wait_sampling.",
        make=WaitSampling,
        needs=("extension:pg_wait_sampling",),
    ),
    CodeProbe(
        info=_info("qualstats", QUALS, 1),
        help="How full pg_qualstats is.",
        make=Qualstats,
        needs=("extension:pg_qualstats",),
    ),
    CodeProbe(
        info=_info("stat_monitor", BUCKET, 200),
        help="The bucket of pg_stat_monitor that is being filled, by database.",
        make=StatMonitor,
        needs=("extension:pg_stat_monitor",),
    ),
)
