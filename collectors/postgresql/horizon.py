"""What holds the xmin horizon, so that VACUUM cannot remove dead rows: the kind, the age, and the one holder.

A logical slot's `catalog_xmin` holds back the catalogs only; everything else holds back all tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.model import Frame, Kind, LabelValues, MetricDef, Number, ProbeInfo, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session

KINDS = (
    "session",
    "idle_in_transaction",
    "prepared",
    "slot_xmin",
    "slot_catalog_xmin",
    "standby_feedback",
)
_CATALOGS_ONLY = "slot_catalog_xmin"
_NAMED_AFTER_SECONDS = 60.0
"""A prepared transaction is named only when it is that old: with two-phase commit each has a new name."""

AGE = MetricDef(
    name="pg_xmin_horizon_age_transactions",
    kind=Kind.GAUGE,
    help="Age of the oldest transaction that something of this kind holds back; 0 when there is nothing.",
    labels=("kind",),
    unit="transactions",
)
_HOLDER_LABELS = ("holds", "kind", "name", "datname")
HOLDER = (
    MetricDef(
        name="pg_xmin_horizon_holder_age_transactions",
        kind=Kind.GAUGE,
        help="The one that holds the horizon of tables or of catalogs, and how old it keeps it.",
        labels=_HOLDER_LABELS,
        unit="transactions",
    ),
    MetricDef(
        name="pg_xmin_horizon_holder_seconds",
        kind=Kind.GAUGE,
        help="How long it has held it: since its transaction began, or since its xmin was first seen.",
        labels=_HOLDER_LABELS,
        unit="seconds",
    ),
    MetricDef(
        name="pg_xmin_horizon_holder_blocks_transactions",
        kind=Kind.GAUGE,
        help="How far the horizon would move if this holder were gone: the distance to the next one.",
        labels=_HOLDER_LABELS,
        unit="transactions",
    ),
)

# A row for each holder of any kind. A session's running transaction holds the horizon as its snapshot does.
# A physical slot in use has its xmin from the standby that uses it.
_SQL = """
with holder as (
  select case when a.state like 'idle in transaction%' then 'idle_in_transaction' else 'session' end as kind,
    case when a.backend_type = 'client backend' then a.application_name else a.backend_type end as name,
    a.datname::text as datname, a.backend_xmin as xmin, a.backend_xid as xid,
    extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as seconds
  from pg_catalog.pg_stat_activity a
  where (a.backend_xmin is not null or a.backend_xid is not null) and a.backend_type <> 'walsender'
    and a.pid <> pg_catalog.pg_backend_pid()
  union all
  select 'standby_feedback', r.application_name, null, r.backend_xmin, null, null
  from pg_catalog.pg_stat_replication r where r.backend_xmin is not null
  union all
  select 'prepared', p.gid, p.database::text, p.transaction, null,
    extract(epoch from pg_catalog.clock_timestamp() - p.prepared)::float8
  from pg_catalog.pg_prepared_xacts p
  union all
  select case when s.slot_type = 'physical' and s.active then 'standby_feedback' else 'slot_xmin' end,
    coalesce((select r.application_name from pg_catalog.pg_stat_replication r
      where r.pid = s.active_pid and s.slot_type = 'physical'), s.slot_name::text),
    s.database::text, s.xmin, null, null
  from pg_catalog.pg_replication_slots s where s.xmin is not null
  union all
  select 'slot_catalog_xmin', s.slot_name::text, s.database::text, s.catalog_xmin, null, null
  from pg_catalog.pg_replication_slots s where s.catalog_xmin is not null
), aged as (
  select h.kind, coalesce(h.name, '') as name, coalesce(h.datname, '') as datname, h.seconds,
    coalesce(h.xmin, h.xid)::text as held,
    greatest(pg_catalog.age(h.xmin), pg_catalog.age(h.xid))::int8 as age
  from holder h
)
select * from (
  select a.*, pg_catalog.row_number() over (
    partition by a.kind order by a.age desc, a.seconds desc nulls last
  ) as place
  from aged a
) ranked where ranked.place <= 2
"""


@dataclass(frozen=True, slots=True)
class _Holder:
    kind: str
    name: str
    datname: str
    age: int
    seconds: float | None


class Horizon:
    """The probe `xmin_horizon` of one target."""

    def __init__(self, target: Target, now: Callable[[], float] = time.monotonic) -> None:
        del target
        self._now = now
        self._identity = ""
        self._first_seen: dict[tuple[str, str, str], float] = {}
        """(kind, name, xmin) -> when: slots do not tell how long they have held."""

    async def run(self, session: Session) -> Result:
        """Ask for the oldest two of each kind."""
        if session.facts.identity != self._identity:
            self._first_seen, self._identity = {}, session.facts.identity
        holders = self._holders(await session.fetch(_SQL))
        ages = [max((one.age for one in holders if one.kind == kind), default=0) for kind in KINDS]
        by_kind = Frame((AGE,), [(kind,) for kind in KINDS], [ages])
        rows = _named("tables", [one for one in holders if one.kind != _CATALOGS_ONLY])
        rows += _named("catalogs", holders)
        return Result([by_kind, frame_of(HOLDER, rows)])

    def _holders(self, rows: Sequence[Any]) -> list[_Holder]:
        now = self._now()
        seen = {(row["kind"], row["name"], row["held"]): now for row in rows if row["seconds"] is None}
        self._first_seen = {key: min(at, self._first_seen.get(key, at)) for key, at in seen.items()}
        holders = []
        for row in rows:
            seconds, name = row["seconds"], row["name"]
            if seconds is None:
                seconds = now - self._first_seen[row["kind"], name, row["held"]]
            elif row["kind"] == "prepared" and seconds < _NAMED_AFTER_SECONDS:
                name = ""
            holders.append(_Holder(row["kind"], name, row["datname"], row["age"], seconds))
        return sorted(holders, key=lambda one: -one.age)


def _named(holds: str, holders: Sequence[_Holder]) -> list[tuple[LabelValues, Sequence[Number | None]]]:
    if not holders:
        return []
    oldest = holders[0]
    following = holders[1].age if len(holders) > 1 else 0
    key = (holds, oldest.kind, oldest.name, oldest.datname)
    return [(key, (oldest.age, oldest.seconds, oldest.age - following))]


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="xmin_horizon", every_seconds=30, within_seconds=2, metrics=(AGE, *HOLDER), rows_max=10
        ),
        help="What keeps VACUUM from removing dead rows: the oldest snapshot, transaction or slot.",
        make=Horizon,
        needs=("role:pg_read_all_stats",),
    ),
)
