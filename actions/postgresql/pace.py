"""How hard VACUUM may work: from what the server is doing at the moment it begins, and what it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actions.postgresql.client import PostgresActing
from actions.postgresql.tables import Table

WORKERS_MAX = 4
QUIET_SESSIONS = 1
"""Up to so many sessions at work VACUUM need not hold itself back."""
BUSY_SESSIONS = 8
BYTES_PER_SECOND = 20 * 1024 * 1024
"""What durations are guessed with. With pauses of 2 ms it is 40 MB/s at the most: 10 changed pages each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Parallel workers for indexes, and the pauses between pages."""

    workers: int
    delay_milliseconds: int
    sessions: int
    """At work when it was decided."""

    @property
    def settings(self) -> Mapping[str, str]:
        """Return what to set in the session."""
        return {"vacuum_cost_delay": f"{self.delay_milliseconds}ms", "vacuum_cost_limit": "200"}


async def pace(session: PostgresActing, table: Table) -> Pace:
    """Decide by the load: all there is on a quiet server, one process with pauses on a busy one.

    At 2 ms after each 200 cost units autovacuum works by default; a busy server gets 10 ms.
    """
    row = (await session.fetch(_LOAD))[0]
    sessions = row["active"]
    if sessions <= QUIET_SESSIONS:
        workers = min(row["workers"], WORKERS_MAX, max(table.indexes - 1, 0))
        return Pace(workers=workers, delay_milliseconds=0, sessions=sessions)
    delay = 2 if sessions <= BUSY_SESSIONS else 10
    return Pace(workers=0, delay_milliseconds=delay, sessions=sessions)


_LOAD = """
select (select count(*)::int4 from pg_catalog.pg_stat_activity a where a.state = 'active'
    and a.backend_type = 'client backend' and a.pid <> pg_catalog.pg_backend_pid()) as active,
  (select s.setting::int4 from pg_catalog.pg_settings s
    where s.name = 'max_parallel_maintenance_workers') as workers
"""
