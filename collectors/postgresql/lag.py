"""Replication lag as a replica knows it: an idle primary is no lag, a lost primary is not zero."""

from __future__ import annotations

from typing import Any

from collectors.model import Frame, Kind, MetricDef, ProbeInfo, Target, frame_of
from collectors.postgresql.lag_state import STATES, LagMemory, Sight
from collectors.postgresql.probe import CodeProbe, Result, Session


def _gauge(name: str, text: str, unit: str = "", labels: tuple[str, ...] = ()) -> MetricDef:
    return MetricDef(name=f"pg_replication_{name}", kind=Kind.GAUGE, help=text, unit=unit, labels=labels)


METRICS = (
    _gauge("is_replica", "1 when the server is in recovery, 0 otherwise."),
    _gauge(
        "lag_seconds",
        "How far replay is behind the server that this one streams from: 0 when level and on a primary, "
        "growing since the last moment known to be level while disconnected, absent when unknown.",
        "seconds",
    ),
    _gauge(
        "last_replay_seconds",
        "Age of the last transaction replayed; grows while the primary is idle. Absent on a primary.",
        "seconds",
    ),
    _gauge(
        "lag_bytes",
        "WAL that the upstream has and this replica has not replayed; absent while disconnected.",
        "bytes",
    ),
    _gauge("replay_queue_bytes", "WAL received and not yet replayed.", "bytes"),
    _gauge(
        "receiver_up",
        "1 while WAL is streamed and the upstream was heard of lately; absent without streaming.",
    ),
    _gauge("last_message_age_seconds", "Time since the upstream's last message.", "seconds"),
    _gauge("replay_paused", "1 when replay is paused or about to be."),
    _gauge(
        "apply_delay_seconds",
        "recovery_min_apply_delay: replay is held back on purpose this long.",
        "seconds",
    ),
)
STATE = _gauge(
    "state",
    "1 for the state the replica is in: ok, idle, lagging, disconnected, paused, delayed, unknown.",
    labels=("state",),
)

# In a primary's place all these functions give NULL, but the one that is asked behind `case`.
_SQL = """
select pg_catalog.pg_is_in_recovery() as in_recovery,
  extract(epoch from pg_catalog.clock_timestamp())::float8 as at,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0')::int8 as receive_lsn,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::int8 as replay_lsn,
  extract(epoch from pg_catalog.pg_last_xact_replay_timestamp())::float8 as replayed_at,
  case when pg_catalog.pg_is_in_recovery()
    then pg_catalog.pg_get_wal_replay_pause_state() <> 'not paused' end as paused,
  extract(epoch from pg_catalog.current_setting('recovery_min_apply_delay')::interval)::float8
    as delay_seconds,
  extract(epoch from pg_catalog.current_setting('wal_receiver_timeout')::interval)::float8 as timeout_seconds,
  w.pid is not null as has_receiver, w.status,
  pg_catalog.pg_wal_lsn_diff(w.latest_end_lsn, '0/0')::int8 as end_lsn,
  extract(epoch from w.last_msg_receipt_time)::float8 as message_at,
  {streaming} as should_stream
from (select) one left join pg_catalog.pg_stat_wal_receiver w on true
"""
# The setting holds a password and is not brought here: only whether it is set.
_SHOULD_STREAM = "pg_catalog.current_setting('primary_conninfo', true) <> ''"


class ReplicationLag:
    """The probe `replication_lag` of one target."""

    def __init__(self, target: Target) -> None:
        del target
        self._identity = ""
        self._memory = LagMemory()

    async def run(self, session: Session) -> Result:
        """Look at the replica; on a primary only say that it is one."""
        facts = session.facts
        may_read = facts.has("role:pg_read_all_settings")
        row = (await session.fetch(_SQL.format(streaming=_SHOULD_STREAM if may_read else "null::bool")))[0]
        identity = f"{facts.identity}/{row['in_recovery']}"
        if identity != self._identity:
            self._identity, self._memory = identity, LagMemory()
        if not row["in_recovery"]:
            return Result([frame_of(METRICS, [((), (0, 0, *[None] * 7))]), frame_of((STATE,), [])])
        return Result(self._replica(row, may_see=facts.has("role:pg_read_all_stats")))

    def _replica(self, row: Any, *, may_see: bool) -> list[Frame]:  # noqa: ANN401 - a row
        sight = Sight(
            at=row["at"],
            streams=row["status"] == "streaming",
            told=may_see and row["should_stream"] is not False,
            end_lsn=row["end_lsn"],
            message_at=row["message_at"],
            receive_lsn=row["receive_lsn"],
            replay_lsn=row["replay_lsn"],
            replayed_at=row["replayed_at"],
            paused=row["paused"],
            delay_seconds=row["delay_seconds"],
            receiver_timeout_seconds=row["timeout_seconds"],
        )
        lag = self._memory.judge(sight)
        age = None if sight.replayed_at is None else max(0.0, sight.at - sight.replayed_at)
        queue = None
        if sight.receive_lsn is not None and sight.replay_lsn is not None:
            queue = max(0, sight.receive_lsn - sight.replay_lsn)
        values = (
            1, lag.seconds, age, lag.bytes, queue,
            None if lag.receiver_up is None else int(lag.receiver_up),
            lag.message_age_seconds, int(sight.paused), sight.delay_seconds,
        )  # fmt: skip
        states = [((state,), (int(state == lag.state),)) for state in STATES]
        return [frame_of(METRICS, [((), values)]), frame_of((STATE,), states)]


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="replication_lag", every_seconds=0, within_seconds=2, metrics=(*METRICS, STATE), rows_max=10
        ),
        help="How far this server is behind the one it replicates from, and what state that is.",
        make=ReplicationLag,
    ),
)
