"""A replication slot as the server tells of it, whatever its version; and what dropping it costs whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actions.model import Json
from actions.postgresql.client import PostgresActing


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot. What a version does not tell is None."""

    name: str
    kind: str
    """physical or logical."""
    plugin: str
    database: str
    temporary: bool
    active: bool
    restart_lsn: str | None
    wal_status: str | None
    retained: int | None
    """Bytes of WAL that are kept for it; None: it has not reserved any, or has lost them."""
    safe_bytes: int | None
    """How much more WAL may be written until it is lost; None: without limit."""
    synced: bool
    """It is a copy of a primary's slot."""
    failover: bool
    two_phase: bool
    standby_waits: bool
    """It is named in `synchronized_standby_slots`."""
    inactive_seconds: float | None
    wal_per_second: float | None
    """Mean rate at which WAL was written since the statistics were reset."""

    @property
    def label(self) -> str:
        """Return its kind and name, and whose it is."""
        whose = f" ({self.plugin}, database {self.database})" if self.kind == "logical" else ""
        return f"{self.kind} slot {self.name}{whose}"

    @property
    def loss(self) -> str:
        """Say what cannot be had back, and what can."""
        if self.kind == "physical":
            return (
                "the slot can be made again under its name, the WAL that it kept cannot: the standby or "
                "archiver that used it goes on only if an archive has that WAL, else it has to be cloned anew"
            )
        return (
            "a slot of its name can be made again and starts from then on: its consumer misses all changes "
            "in between, and has to be synchronized from the beginning"
        )

    @property
    def made_again(self) -> str:
        """Return the statement that makes it again, from then on."""
        name = _quoted(self.name)
        if self.kind == "physical":
            return f"select pg_create_physical_replication_slot({name})"
        more = ", false, true" if self.two_phase else ""
        return f"select pg_create_logical_replication_slot({name}, {_quoted(self.plugin)}{more})"

    @property
    def runway(self) -> str:
        """Say how fast WAL piles up behind it."""
        if not self.wal_per_second:
            return "how fast WAL is written is not known"
        hourly = self.wal_per_second * 3600 / 2**20
        said = f"WAL has been written at {hourly:.0f} MiB an hour"
        if self.safe_bytes is None:
            return f"{said}; nothing but the disk limits what it retains (max_slot_wal_keep_size is -1)"
        left = max(self.safe_bytes, 0) / self.wal_per_second / 3600
        return f"{said}; at that rate the slot is lost in {left:.1f} hours (max_slot_wal_keep_size)"


def arguments(slot: Slot) -> dict[str, Json]:
    """Return what a step must know to drop this slot and no other of its name."""
    return {name: getattr(slot, name) for name in ("name", "kind", "plugin", "database", "restart_lsn")}


async def find(session: PostgresActing, name: str) -> Slot | None:
    """Return the slot of this name."""
    rows = await session.fetch(_SQL, name)
    return Slot(**dict(rows[0])) if rows else None


async def drop(session: PostgresActing, known: Mapping[str, Json], within: float) -> bool:
    """Drop it if it is the same, and nobody uses it; False: it is not, and nothing was done."""
    values = [known[name] for name in ("name", "kind", "plugin", "database", "restart_lsn")]
    return bool((await session.run(_DROP, *values, within=within)).rows)


async def may_drop(session: PostgresActing) -> bool:
    """Tell whether our role may."""
    return bool((await session.fetch(_MAY))[0]["may"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# Columns that came with 16, 17 and 18 are looked up by name in the row, so that one statement does for all.
_SQL = """
select s.slot_name::text as name, s.slot_type as kind, coalesce(s.plugin, '')::text as plugin,
  coalesce(s.database, '')::text as database, s.temporary, s.active, s.restart_lsn::text as restart_lsn,
  s.wal_status, s.safe_wal_size as safe_bytes, s.two_phase,
  pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery()
    then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end, s.restart_lsn
  )::int8 as retained,
  coalesce((pg_catalog.to_jsonb(s) ->> 'synced')::bool, false) as synced,
  coalesce((pg_catalog.to_jsonb(s) ->> 'failover')::bool, false) as failover,
  extract(epoch from pg_catalog.clock_timestamp()
    - (pg_catalog.to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8 as inactive_seconds,
  exists (select from pg_catalog.pg_settings g where g.name = 'synchronized_standby_slots'
    and s.slot_name::text = any(pg_catalog.regexp_split_to_array(g.setting, '[,"[:space:]]+')))
    as standby_waits,
  (select (w.wal_bytes / nullif(extract(epoch from pg_catalog.clock_timestamp() - w.stats_reset), 0))::float8
    from pg_catalog.pg_stat_wal w) as wal_per_second
from pg_catalog.pg_replication_slots s where s.slot_name = $1::text
"""
# An unused slot's restart_lsn stands still: another one there means another slot, or that it was used.
_DROP = """
with victim as materialized (
  select s.slot_name from pg_catalog.pg_replication_slots s
  where s.slot_name = $1::text and s.slot_type = $2::text and coalesce(s.plugin, '') = $3::text
    and coalesce(s.database, '') = $4::text
    and s.restart_lsn is not distinct from $5::text::pg_catalog.pg_lsn
    and not s.active and not s.temporary
    and not coalesce((pg_catalog.to_jsonb(s) ->> 'synced')::bool, false)
)
select v.slot_name::text, pg_catalog.pg_drop_replication_slot(v.slot_name) from victim v
"""
_MAY = """
select r.rolsuper or r.rolreplication as may from pg_catalog.pg_roles r where r.rolname = current_user
"""
