"""Who blocks whom: how many sessions wait for locks, and the heads of the queues they stand in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.model import Frame, Kind, LabelValues, MetricDef, Number, ProbeInfo, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session

WAITING_MAX = 200
"""Sessions asked for their blockers: each question holds up the lock manager for a moment."""
HEADS_MAX = 20
DISTRESS_SESSIONS = 10
PREPARED = 0
"""The pid that `pg_blocking_pids` gives for a prepared transaction."""

_HEAD_LABELS = ("datname", "usename", "application_name", "state")


def _gauge(name: str, text: str, unit: str = "", labels: tuple[str, ...] = ()) -> MetricDef:
    return MetricDef(name=f"pg_{name}", kind=Kind.GAUGE, help=text, unit=unit, labels=labels)


TOTALS = (
    _gauge("blocked_sessions", "Sessions that wait for a lock."),
    _gauge("blocking_heads", "Sessions and prepared transactions that block others and wait for nobody."),
    _gauge("blocking_depth", "Longest chain of sessions that wait for each other; 0 when nobody waits."),
    _gauge("blocking_longest_wait_seconds", "How long the session that waits longest has waited.", "seconds"),
    _gauge(
        "blocking_exclusive_queue_sessions",
        "Sessions that wait for a relation for which somebody else waits to have it alone.",
    ),
)
HEADS = (
    _gauge(
        "blocking_head_blocked_sessions",
        "Sessions held up by this head, directly and indirectly.",
        labels=_HEAD_LABELS,
    ),
    _gauge(
        "blocking_head_longest_wait_seconds",
        "Longest wait of a session held up by this head.",
        "seconds",
        _HEAD_LABELS,
    ),
    _gauge("blocking_head_transaction_seconds", "Age of the head's transaction.", "seconds", _HEAD_LABELS),
)

_WAITING = f"""
with waiting as materialized (
  select a.pid from pg_catalog.pg_stat_get_activity(null) a
  where a.wait_event_type = 'Lock' and a.pid <> pg_catalog.pg_backend_pid()
)
select w.pid, case when row_number() over (order by w.pid) <= {WAITING_MAX}
  then pg_catalog.pg_blocking_pids(w.pid) end as blockers
from waiting w
"""  # noqa: S608 - a number of ours; as a parameter it would have the statement planned each time
_QUEUES = """
select l.pid,
  coalesce(extract(epoch from pg_catalog.clock_timestamp() - l.waitstart), 0)::float8 as waited_seconds,
  l.locktype = 'relation' and exists (
    select from pg_catalog.pg_locks other
    where not other.granted and other.mode = 'AccessExclusiveLock' and other.locktype = 'relation'
      and other.database = l.database and other.relation = l.relation and other.pid <> l.pid
  ) as behind_exclusive
from pg_catalog.pg_locks l where not l.granted and l.pid = any($1::text[]::int4[])
"""
_HEADS = """
select a.pid, coalesce(a.datname, '')::text as datname, coalesce(a.usename, '')::text as usename,
  coalesce(a.application_name, '') as application_name, coalesce(a.state, a.backend_type, '') as state,
  extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as transaction_seconds
from pg_catalog.pg_stat_activity a where a.pid = any($1::text[]::int4[])
"""


@dataclass(frozen=True, slots=True)
class Forest:
    """The waiting sessions as trees."""

    heads: Mapping[int, frozenset[int]]
    """Head -> everybody it holds up, directly and indirectly."""
    depth: int


def forest(blockers: Mapping[int, Collection[int]]) -> Forest:
    """Return the trees of waiting pid -> those it waits for; sessions in a deadlock have no head."""
    held_up: dict[int, set[int]] = defaultdict(set)
    for pid, before in blockers.items():
        for one in before:
            held_up[one].add(pid)
    heads, depth = {}, 0
    for head in held_up.keys() - blockers.keys():
        seen: set[int] = set()
        layer, levels = {head}, 0
        while layer := {pid for one in layer for pid in held_up.get(one, ())} - seen:
            seen |= layer
            levels += 1
        heads[head] = frozenset(seen)
        depth = max(depth, levels)
    in_circles = blockers.keys() - frozenset().union(*heads.values())
    return Forest(heads, depth or int(bool(in_circles)))


class Blocking:
    """The probe `blocking` of one target."""

    def __init__(self, target: Target) -> None:
        del target  # nothing is remembered

    async def run(self, session: Session) -> Result:
        """One cheap query while nobody waits; two more when somebody does."""
        waiting = await session.fetch(_WAITING)
        if not waiting:
            return Result([frame_of(TOTALS, [((), (0, 0, 0, 0, 0))]), frame_of(HEADS, [])])
        trees = forest({row["pid"]: row["blockers"] for row in waiting if row["blockers"]})
        pids = [str(row["pid"]) for row in waiting]
        queues = await session.fetch(_QUEUES, pids)
        waited: dict[int, float] = {}
        for row in queues:
            waited[row["pid"]] = max(waited.get(row["pid"], 0.0), row["waited_seconds"])
        behind = len({row["pid"] for row in queues if row["behind_exclusive"]})
        values = (len(waiting), len(trees.heads), trees.depth, max(waited.values(), default=0.0), behind)
        known = await session.fetch(_HEADS, [str(pid) for pid in trees.heads if pid != PREPARED])
        heads = _head_frame(trees, known, waited)
        return Result(
            [frame_of(TOTALS, [((), values)]), heads],
            dropped=max(0, len(waiting) - WAITING_MAX),
            distress="lock_waits" if len(waiting) >= DISTRESS_SESSIONS else "",
        )


def _head_frame(trees: Forest, known: Sequence[Any], waited: Mapping[int, float]) -> Frame:
    """Sum up heads with the same labels: a pid would be a new series for every pile-up."""
    about = {row["pid"]: row for row in known}
    groups: dict[LabelValues, tuple[set[int], float | None]] = {}
    for head, blocked in trees.heads.items():
        row = about.get(head)
        if row is None:
            key = ("", "", "", "prepared transaction" if head == PREPARED else "gone")
        else:
            key = (row["datname"], row["usename"], row["application_name"], row["state"])
        held, age = groups.get(key, (set(), None))
        mine = row["transaction_seconds"] if row is not None else None
        ages = [one for one in (age, mine) if one is not None]
        groups[key] = (held | blocked, max(ages, default=None))
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1][0]), group[0]))
    rows: list[tuple[LabelValues, Sequence[Number | None]]] = [
        (key, (len(held), max((waited.get(pid, 0.0) for pid in held), default=0.0), age))
        for key, (held, age) in ranked[:HEADS_MAX]
    ]
    return frame_of(HEADS, rows)


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="blocking", every_seconds=0, within_seconds=2, metrics=(*TOTALS, *HEADS), rows_max=HEADS_MAX
        ),
        help="Sessions that wait for locks, by the head of the queue they stand in.",
        make=Blocking,
        needs=("role:pg_read_all_stats",),
    ),
)
