"""Which session is the cause of a symptom, and who is never one.

A victim is known by pid, start of its backend, of its transaction and of its statement, and the statement
that signals it looks at all of them once more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Literal

from actions.action import Parameter
from actions.errors import NotDone
from actions.model import Json
from actions.postgresql.client import PostgresActing
from collectors.postgresql.blocking import WAITING_MAX, forest

Symptom = Literal["long_query", "idle_in_transaction", "lock_head"]
Signal = Literal["pg_cancel_backend", "pg_terminate_backend"]
PER_MINUTE = 3
"""Signals to sessions of one target, at the most."""
SECONDS = 300.0
_MINUTE = 60.0
NEVER = (
    "pg_dump*, pg_restore*, pg_basebackup*, pg_receivewal*, pgbackrest*, barman*, wal-g*, repmgr*, patroni*, "
    "pg_auto*, pg_repack*, gpbackup*"
)
"""Backups and cluster managers: ending their sessions breaks more than it heals."""


def _names(name: str, of: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter(name=f"{name}_allowed", type="text", help=f"Only sessions of these {of}: patterns with *."),
        Parameter(
            name=f"{name}_denied",
            type="text",
            default=NEVER if name == "applications" else None,
            help=f"Never sessions of these {of}: patterns with *, separated by commas.",
        ),
    )


def parameters(symptoms: tuple[Symptom, ...]) -> tuple[Parameter, ...]:
    """Return the parameters of an action that ends something a session does."""
    return (
        Parameter(
            name="symptom",
            type="choice",
            choices=symptoms,
            default=symptoms[0],
            help="What the session does: a statement runs long, a transaction idles, or others wait for it.",
        ),
        Parameter(
            name="least_seconds",
            type="duration",
            least=1,
            help="For how long it has done so, 5m unless given; of lock_head how long somebody has waited "
            "for it, 1m unless given.",
        ),
        Parameter(
            name="database", type="identifier", label="datname", help="Only a session in this database."
        ),
        Parameter(name="user", type="identifier", label="usename", help="Only a session of this role."),
        Parameter(
            name="application", type="text", label="application_name", help="Only one of this application."
        ),
        Parameter(name="pid", type="integer", least=1, help="Only this backend."),
        *_names("users", "roles"),
        *_names("databases", "databases"),
        *_names("applications", "applications"),
        Parameter(
            name="superusers",
            type="boolean",
            default=False,
            help="Whether superusers' sessions may be ended.",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """One session, as it was when it was chosen. Times are as the server writes them."""

    pid: int
    backend_start: str
    xact_start: str | None
    query_start: str | None
    state_change: str | None
    query_id: str | None
    state: str
    user: str
    database: str
    application: str
    seconds: float
    superuser: bool
    signalable: bool
    """Whether our role may."""

    @property
    def label(self) -> str:
        """Return who it is, in one line."""
        text = f"{self.pid} ({self.user} in {self.database}, {self.application or 'no application_name'})"
        return " ".join(text.split())


def arguments(victim: Victim, symptom: str) -> dict[str, Json]:
    """Return what a step must know of its victim: nothing that moves by itself."""
    known = {name: value for name, value in asdict(victim).items() if name in _IDENTITY}
    return {"symptom": symptom, **known, **dict.fromkeys(_MOVING[symptom])}


async def choose(
    session: PostgresActing, parameters_of: Mapping[str, Json], symptom: Symptom, seconds: float
) -> Victim | str:
    """Return the session that has done it for longest, or why there is none."""
    heads = await _heads(session, seconds) if symptom == "lock_head" else {}
    rows = await session.fetch(_CANDIDATES, symptom, [str(pid) for pid in heads], seconds)
    found, spared = [], []
    for row in rows:
        victim = Victim(**{**dict(row), "seconds": heads.get(row["pid"], row["seconds"])})
        why = _spared(victim, parameters_of)
        if why is None:
            found.append(victim)
        elif why:
            spared.append(f"{victim.label}: {why}")
    if found:
        return max(found, key=lambda one: one.seconds)
    what = _WORDS[symptom].format(seconds=f"{seconds:g}")
    sentence = f"no session at {session.address} {what}"
    return f"{sentence} and may be ended; spared: {'; '.join(spared[:5])}" if spared else sentence


async def still(session: PostgresActing, known: Mapping[str, Json]) -> bool:
    """Tell whether the very same session still does the very same thing."""
    return bool(await session.fetch(_STILL, *_values(known)))


async def there(session: PostgresActing, known: Mapping[str, Json]) -> bool:
    """Tell whether the very same backend is still there, whatever it does."""
    return bool(await session.fetch(_THERE, known["pid"], known["backend_start"]))


async def signal(session: PostgresActing, known: Mapping[str, Json], how: Signal) -> None:
    """Signal it in the statement that looks once more whether it is the same; raise NotDone if it is not."""
    where = session.address.rpartition("/")[0]
    _rates.admit(where)
    sql = _CANCEL if how == "pg_cancel_backend" else _TERMINATE
    ran = await session.run(sql, *_values(known), within=5.0)
    if not ran.rows:
        raise NotDone(
            f"{session.address}: the session {known['pid']} has gone on by itself, or ended: nothing was done"
        )
    _rates.count(where)
    if not ran.rows[0]["signalled"]:
        raise NotDone(
            f"{session.address}: the server could not signal {known['pid']}; it may just have ended"
        )


def missing_right(session: PostgresActing, victim: Victim, role: str) -> str:
    """Return which right is missing, with the SQL that gives it."""
    if session.read_only or victim.signalable:
        return ""
    if victim.superuser:
        return (
            f"the session {victim.label} is a superuser's: only a superuser may signal it, and {role} is none"
        )
    return (
        f"the role {role} may not signal the session {victim.label} at {session.address}: "
        f"GRANT pg_signal_backend TO {role};"
    )


async def blind(session: PostgresActing, role: str) -> str:
    """Return why others' sessions cannot be seen, with the SQL that changes it."""
    row = (await session.fetch(_SEES))[0]
    if row["sees"]:
        return ""
    return f"the role {role} does not see others' sessions: GRANT pg_read_all_stats TO {role};"


def _spared(victim: Victim, given: Mapping[str, Json]) -> str | None:
    """Return why not this one: None when it may be, an empty string when it was not even meant."""
    meant = (("database", victim.database), ("user", victim.user), ("application", victim.application))
    if any(given.get(name) not in {None, "", value} for name, value in meant):
        return ""
    if given.get("pid") not in {None, victim.pid}:
        return ""
    if victim.superuser and not given.get("superusers"):
        return "a superuser's"
    for name, value in (
        ("databases", victim.database),
        ("users", victim.user),
        ("applications", victim.application),
    ):
        allowed = given.get(f"{name}_allowed")
        if allowed and not _listed(value, allowed):
            return f"{value!r} is not among {name}_allowed"
        denied = given.get(f"{name}_denied", NEVER if name == "applications" else "")
        if denied and _listed(value, denied):
            return f"{value!r} is among {name}_denied"
    return None


def _listed(value: str, patterns: Json) -> bool:
    """Tell whether a name is in a list; upper and lower case are alike, to spare rather one too many."""
    wanted = [one.strip().lower() for one in str(patterns).split(",")]
    return any(one and fnmatchcase(value.lower(), one.replace("[", "[[]")) for one in wanted)


async def _heads(session: PostgresActing, seconds: float) -> dict[int, float]:
    """Return head -> longest wait behind it, of those that are waited for so long."""
    rows = await session.fetch(_WAITING)
    waited = {row["pid"]: row["seconds"] for row in rows}
    trees = forest({row["pid"]: row["blockers"] for row in rows if row["blockers"]})
    longest = {
        head: max(waited.get(pid, 0.0) for pid in behind) for head, behind in trees.heads.items() if behind
    }
    return {head: wait for head, wait in longest.items() if wait >= seconds and head != 0}


class _Rates:
    """Counts signals by server: more than a few in a minute is no remedy."""

    def __init__(self) -> None:
        self._sent: dict[str, deque[float]] = {}

    def admit(self, where: str) -> None:
        """Raise NotDone when there were enough."""
        sent, now = self._sent.get(where, deque()), time.monotonic()
        if sum(now - at < _MINUTE for at in sent) >= PER_MINUTE:
            raise NotDone(f"{where}: {PER_MINUTE} sessions were signalled within a minute: no more now")

    def count(self, where: str) -> None:
        """Remember a signal that was sent."""
        self._sent.setdefault(where, deque(maxlen=PER_MINUTE)).append(time.monotonic())


_rates = _Rates()


def _values(known: Mapping[str, Json]) -> Iterable[Json]:
    return [known[name] for name in ("symptom", *_IDENTITY)]


_IDENTITY = (
    "pid",
    "backend_start",
    "xact_start",
    "query_start",
    "state_change",
    "query_id",
    "user",
    "database",
    "application",
    "superuser",
)
_MOVING: Mapping[str, Sequence[str]] = {
    "long_query": ("state_change",),
    "idle_in_transaction": ("query_start", "query_id"),
    "lock_head": ("query_start", "query_id", "state_change"),
}
_WORDS: Mapping[str, str] = {
    "long_query": "has run one statement for {seconds} s without waiting for a lock",
    "idle_in_transaction": "has idled in a transaction for {seconds} s",
    "lock_head": "has been waited for by others for {seconds} s at the head of a lock queue",
}
# What autovacuum, replication and the server itself do is no client backend. Ours are spared whoever they
# belong to. VACUUM and builds of indexes take their time: they are work, not a symptom.
_MINE = """a.backend_type = 'client backend' and a.pid <> pg_catalog.pg_backend_pid()
  and a.application_name not like 'dbarchitect%' and a.application_name <> 'database-architect'
  and not coalesce(r.rolreplication and not r.rolsuper, false)"""
_DOING = """case $1::text
  when 'long_query' then a.state = 'active' and a.wait_event_type is distinct from 'Lock'
    and not exists (select from pg_catalog.pg_stat_progress_vacuum p where p.pid = a.pid)
    and not exists (select from pg_catalog.pg_stat_progress_create_index p where p.pid = a.pid)
    and not exists (select from pg_catalog.pg_stat_progress_cluster p where p.pid = a.pid)
  when 'idle_in_transaction' then a.state like 'idle in transaction%'
  else a.pid::text = any($2::text[])
end"""
_CANDIDATES = f"""
select a.pid, a.backend_start::text as backend_start, a.xact_start::text as xact_start,
  a.query_start::text as query_start, a.state_change::text as state_change, a.query_id::text as query_id,
  a.state, a.usename::text as user, coalesce(a.datname, '')::text as database,
  coalesce(a.application_name, '') as application, coalesce(r.rolsuper, false) as superuser,
  case when r.rolsuper then pg_catalog.current_setting('is_superuser') = 'on'
    else pg_catalog.pg_has_role(a.usesysid, 'USAGE') or pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')
  end as signalable,
  extract(epoch from pg_catalog.clock_timestamp() - case when $1::text = 'long_query' then a.query_start
    else a.state_change end)::float8 as seconds
from pg_catalog.pg_stat_activity a left join pg_catalog.pg_roles r on r.oid = a.usesysid
where {_MINE} and {_DOING}
  and ($1::text = 'lock_head' or extract(epoch from pg_catalog.clock_timestamp()
    - case when $1::text = 'long_query' then a.query_start else a.state_change end) >= $3::float8)
order by seconds desc limit 200
"""  # noqa: S608 - parts of ours
# The statement that signals asks all of it again: nobody with the same pid is ever taken for another.
_SAME = f"""
from pg_catalog.pg_stat_activity a left join pg_catalog.pg_roles r on r.oid = a.usesysid
where a.pid = $2::int4 and a.backend_start = $3::text::timestamptz
  and a.xact_start is not distinct from $4::text::timestamptz
  and ($1::text <> 'long_query' or a.query_start is not distinct from $5::text::timestamptz
    and a.query_id::text is not distinct from $7::text)
  and ($1::text <> 'idle_in_transaction' or a.state_change is not distinct from $6::text::timestamptz)
  and a.usename = $8::text and coalesce(a.datname, '') = $9::text
  and coalesce(a.application_name, '') = $10::text and coalesce(r.rolsuper, false) = $11::bool
  and {_MINE} and case $1::text
    when 'long_query' then a.state = 'active'
    when 'idle_in_transaction' then a.state like 'idle in transaction%'
    else exists (select from pg_catalog.pg_stat_activity w where w.wait_event_type = 'Lock'
      and a.pid = any(pg_catalog.pg_blocking_pids(w.pid)))
  end"""
_STILL = f"select a.pid {_SAME}"
# Materialized: the signal is sent to nobody who was not found to be the one.
_CANCEL = f"""
with victim as materialized (select a.pid {_SAME})
select pg_catalog.pg_cancel_backend(v.pid) as signalled from victim v
"""  # noqa: S608
_TERMINATE = f"""
with victim as materialized (select a.pid {_SAME})
select pg_catalog.pg_terminate_backend(v.pid) as signalled from victim v
"""  # noqa: S608
_THERE = """
select a.pid from pg_catalog.pg_stat_activity a
where a.pid = $1::int4 and a.backend_start = $2::text::timestamptz
"""
_SEES = """
select pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') as sees
"""
_WAITING = f"""
select a.pid, pg_catalog.pg_blocking_pids(a.pid) as blockers,
  coalesce((select extract(epoch from pg_catalog.clock_timestamp() - min(l.waitstart))
    from pg_catalog.pg_locks l where l.pid = a.pid and not l.granted), 0)::float8 as seconds
from pg_catalog.pg_stat_activity a
where a.wait_event_type = 'Lock' and a.pid <> pg_catalog.pg_backend_pid() order by a.pid limit {WAITING_MAX}
"""  # noqa: S608
SECONDS_OF: Mapping[str, float] = {"lock_head": 60.0}
"""Where it is not SECONDS."""
SYMPTOMS: Sequence[Symptom] = ("long_query", "idle_in_transaction", "lock_head")
