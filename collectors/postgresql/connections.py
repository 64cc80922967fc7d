"""Connections in use against what an ordinary user can get."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from collectors.model import Kind, LabelValues, MetricDef, Number, ProbeInfo, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session

DISTRESS_RATIO = 0.9
LIMITS_SECONDS = 60.0


def _gauge(name: str, text: str, unit: str = "", labels: tuple[str, ...] = ()) -> MetricDef:
    return MetricDef(name=f"pg_{name}", kind=Kind.GAUGE, help=text, unit=unit, labels=labels)


SERVER = (
    _gauge("connections_used", "Connections of clients, our own included."),
    _gauge(
        "connections_usable",
        "Connections that ordinary users can have: max_connections less what is reserved for others.",
    ),
    _gauge("connections_max", "max_connections."),
    _gauge(
        "connections_used_ratio",
        "Share of the usable connections in use; above 1 when reserved ones are in use too.",
        "ratio",
    ),
)
DATABASE = (
    _gauge(
        "database_connections_used_ratio",
        "Share of a database's own connection limit in use; only where there is a limit.",
        "ratio",
        ("datname",),
    ),
)
ROLE = (
    _gauge(
        "role_connections_used_ratio",
        "Share of a role's own connection limit in use; only where there is a limit.",
        "ratio",
        ("rolname",),
    ),
)

# Without the right to see them, other users' sessions have no backend_type: whoever is in a database as a
# user is counted then, which takes in the few workers that run as one. The function and not the view, which
# adds names.
_COUNTS = """
select a.datid::int8 as datid, a.usesysid::int8 as usesysid, count(*)::int8 as sessions
from pg_catalog.pg_stat_get_activity(null) a
where a.backend_type = 'client backend'
  or (a.backend_type is null and a.usesysid is not null and a.datid is not null)
group by 1, 2
"""
_LIMITS = """
select 'server' as scope, '' as name, 0::int8 as oid, current_setting('max_connections')::int8 as most,
  (current_setting('superuser_reserved_connections')::int8
    + coalesce(current_setting('reserved_connections', true)::int8, 0)) as reserved
union all
select 'database', d.datname::text, d.oid::int8, d.datconnlimit::int8, 0::int8
from pg_catalog.pg_database d where d.datconnlimit > 0
union all
select 'role', r.rolname::text, r.oid::int8, r.rolconnlimit::int8, 0::int8
from pg_catalog.pg_roles r where r.rolconnlimit > 0 and r.rolcanlogin
"""


class Connections:
    """The probe `connections` of one target."""

    def __init__(self, target: Target) -> None:
        del target
        self._limits: Sequence[Any] = ()
        self._known: tuple[object, float] = (None, 0.0)
        """The facts that the limits belong to, and when they were read (monotonic seconds)."""

    async def run(self, session: Session) -> Result:
        """Count sessions and compare with the limits; distress from 90 % on."""
        counts = await session.fetch(_COUNTS)
        limits = await self._read_limits(session)
        server = next(row for row in limits if row["scope"] == "server")
        used = sum(row["sessions"] for row in counts)
        usable = server["most"] - server["reserved"]
        ratio = used / usable if usable > 0 else None
        databases = _ratios("database", "datid", counts, limits)
        roles = _ratios("role", "usesysid", counts, limits)
        return Result(
            [
                frame_of(SERVER, [((), (used, usable, server["most"], ratio))]),
                frame_of(DATABASE, databases),
                frame_of(ROLE, roles),
            ],
            distress="connections" if ratio is not None and ratio >= DISTRESS_RATIO else "",
        )

    async def _read_limits(self, session: Session) -> Sequence[Any]:
        """Return the limits; they change by a restart or by somebody's hand, and are read once a minute."""
        now = time.monotonic()
        facts, at = self._known
        if facts is not session.facts or now - at > LIMITS_SECONDS:
            self._limits = await session.fetch(_LIMITS)
            self._known = (session.facts, now)
        return self._limits


def _ratios(
    scope: str, column: str, counts: Sequence[Any], limits: Sequence[Any]
) -> list[tuple[LabelValues, Sequence[Number | None]]]:
    used: dict[int, int] = {}
    for row in counts:
        used[row[column]] = used.get(row[column], 0) + row["sessions"]
    return [
        ((row["name"],), (used.get(row["oid"], 0) / row["most"],)) for row in limits if row["scope"] == scope
    ]


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="connections", every_seconds=0, within_seconds=2, metrics=(*SERVER, *DATABASE, *ROLE)
        ),
        help="Connections against what ordinary users can get, and against limits of databases and roles.",
        make=Connections,
    ),
)
