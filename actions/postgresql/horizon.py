"""Who holds the xmin horizon: as long as they do, VACUUM removes and freezes nothing that is newer.

Only what holds back tables of this database counts: sessions and prepared transactions of other databases and
the catalogs' horizon of logical slots do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actions.postgresql.client import PostgresActing


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One holder of the horizon."""

    kind: str
    """session, idle_in_transaction, prepared, slot or standby_feedback."""
    name: str
    pid: int | None
    age: int
    """In transactions."""
    seconds: float | None
    """For how long; None: it does not tell."""

    @property
    def sentence(self) -> str:
        """Say who it is, how old, and what ends it."""
        name = " ".join(self.name.split())
        since = f" for {self.seconds:.0f} s" if self.seconds is not None else ""
        what, remedy = _WORDS[self.kind]
        who = what.format(name=name, pid=self.pid)
        return f"{who} has held the xmin horizon{since} ({self.age} transactions): {remedy}"


async def blockers(session: PostgresActing) -> Sequence[Blocker]:
    """Return all holders, the oldest first. Needs pg_read_all_stats to see others' sessions."""
    return [Blocker(**dict(row)) for row in await session.fetch(_SQL)]


_WORDS = {
    "session": (
        "the session {pid} ({name})",
        "let its statement end, or cancel it (postgresql.cancel_query)",
    ),
    "idle_in_transaction": (
        "the session {pid} ({name}), idle in a transaction,",
        "have it commit, or end it (postgresql.terminate_session)",
    ),
    "prepared": (
        "the prepared transaction {name}",
        "decide on it with COMMIT PREPARED or ROLLBACK PREPARED in its database",
    ),
    "slot": (
        "the replication slot {name}",
        "have its consumer go on, or drop it (postgresql.drop_inactive_slot)",
    ),
    "standby_feedback": (
        "the standby {name}, by hot_standby_feedback,",
        "end the long query there, or bound it with max_standby_streaming_delay and no feedback",
    ),
}

# VACUUM of others holds nothing back, nor does our own session. A physical slot in use has its xmin from the
# standby that uses it.
_SQL = """
select h.kind, h.name, h.pid, h.age::int4 as age, h.seconds from (
  select case when a.state like 'idle in transaction%' then 'idle_in_transaction' else 'session' end as kind,
    pg_catalog.concat_ws(', ', coalesce('user ' || a.usename, a.backend_type),
      nullif(a.application_name, '')) as name, a.pid,
    greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) as age,
    extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as seconds
  from pg_catalog.pg_stat_activity a
  where (a.backend_xmin is not null or a.backend_xid is not null) and a.backend_type <> 'walsender'
    and a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()
    and not exists (select from pg_catalog.pg_stat_progress_vacuum v where v.pid = a.pid)
  union all
  select 'prepared', p.gid, null, pg_catalog.age(p.transaction),
    extract(epoch from pg_catalog.clock_timestamp() - p.prepared)::float8
  from pg_catalog.pg_prepared_xacts p where p.database = pg_catalog.current_database()
  union all
  select 'standby_feedback', coalesce(nullif(r.application_name, ''), r.pid::text), r.pid,
    pg_catalog.age(r.backend_xmin), null
  from pg_catalog.pg_stat_replication r where r.backend_xmin is not null
  union all
  select case when s.slot_type = 'physical' and s.active then 'standby_feedback' else 'slot' end,
    s.slot_name::text, s.active_pid, pg_catalog.age(s.xmin), null
  from pg_catalog.pg_replication_slots s where s.xmin is not null
) h order by h.age desc, h.seconds desc nulls last
"""
