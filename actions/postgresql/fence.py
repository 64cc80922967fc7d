"""The fence at the target: an advisory lock of the acting session, so that no other acts in its scope.

Whoever still holds it with an older epoch is an orphan of ours: it is waited for, then ended. A newer epoch
means that our right to act is older than we think.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actions.errors import Fenced
from actions.ports import Tag

PROGRAM = "dbarchitect"
CLASS_ID = 0x64626172
"""First half of the advisory lock's key ("dbar"); the second is a hash of the scope."""
NAME_BYTES = 63
PATIENCE = 0.5
"""Share of the time given that an orphan has to end by itself."""
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Key:
    """Key of a scope's advisory lock."""

    scope: str

    @property
    def object_id(self) -> int:
        """Return the second half: four bytes of a SHA-256, signed."""
        return int.from_bytes(hashlib.sha256(self.scope.encode()).digest()[:4], "big", signed=True)


class Session(Protocol):
    """What of a session the fence needs."""

    @property
    def address(self) -> str: ...  # noqa: D102

    @property
    def tag(self) -> Tag: ...  # noqa: D102

    @property
    def pid(self) -> int: ...  # noqa: D102

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]: ...  # noqa: ANN401, D102


def application_name(tag: Tag) -> str:
    """Return `dbarchitect/<execution>/<epoch>`; a long execution is cut so that the epoch stays whole."""
    end = f"/{tag.epoch}"
    room = NAME_BYTES - len(PROGRAM) - 1 - len(end)
    cut = tag.execution.encode()[:room].decode(errors="ignore")
    return f"{PROGRAM}/{cut}{end}"


def tag_of(name: str) -> Tag | None:
    """Return whose session has this application_name; None when it is none of ours."""
    program, _, rest = name.partition("/")
    execution, slash, epoch = rest.rpartition("/")
    if program != PROGRAM or not slash or not epoch.isascii() or not epoch.isdigit():
        return None
    return Tag(execution=execution, epoch=int(epoch))


async def take(session: Session, scope: str, within_seconds: float) -> Key:
    """Take the lock of a scope, or raise Fenced."""
    key = Key(scope)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        await _refuse_newer(session)
        got = (await session.fetch(_TRY, CLASS_ID, key.object_id))[0]["got"]
        others = await session.fetch(_HOLDERS, CLASS_ID, key.object_id, session.pid)
        if got and not others:
            return key
        if got:  # advisory locks are of one database; the scope is not
            await session.fetch(_LEAVE, CLASS_ID, key.object_id)
        waited = loop.time() - began
        if waited >= within_seconds:
            raise Fenced(f"{session.address}: {_who(others)} still holds the fence of {scope}")
        if waited >= within_seconds * PATIENCE:
            await _end_orphans(session, others)
        await asyncio.sleep(min(_PAUSE_SECONDS, within_seconds / 4))


async def held(session: Session, key: Key) -> bool:
    """Tell whether this session's own backend holds the lock."""
    return bool((await session.fetch(_HELD, CLASS_ID, key.object_id, session.pid))[0]["held"])


async def _refuse_newer(session: Session) -> None:
    for row in await session.fetch(_OURS, f"{PROGRAM}/%", session.pid):
        tag = tag_of(row["name"])
        if tag and tag.epoch > session.tag.epoch:
            raise Fenced(
                f"{session.address}: a session of ours with epoch {tag.epoch} is at work (pid {row['pid']}), "
                f"ours is {session.tag.epoch}: another daemon has taken over, or the store is an old copy"
            )


async def _end_orphans(session: Session, holders: Sequence[Any]) -> None:
    for row in holders:
        tag = tag_of(row["name"] or "")
        if not row["ours"] or tag is None:
            continue
        # Of our own epoch only what a lost connection of this execution has left behind.
        lost = tag.epoch == session.tag.epoch and row["name"] == application_name(session.tag)
        if tag.epoch < session.tag.epoch or lost:
            await session.fetch(_END, row["pid"], row["backend_start"], row["name"])


def _who(holders: Sequence[Any]) -> str:
    named = [f"pid {row['pid']} ({row['name'] or 'another role'})" for row in holders]
    return ", ".join(named) or "somebody"


_TRY = "select pg_catalog.pg_try_advisory_lock($1::int4, $2::int4) as got"
_LEAVE = "select pg_catalog.pg_advisory_unlock($1::int4, $2::int4)"
# Keys are shown unsigned, as oids.
_LOCKED = """l.locktype = 'advisory' and l.objsubid = 2 and l.granted
  and l.classid::int8 = $1::int8 and l.objid::int8 = ($2::int8 & 4294967295)"""
_HOLDERS = f"""
select l.pid, a.backend_start, a.application_name as name,
  coalesce(a.usename = session_user, false) as ours
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where {_LOCKED} and l.pid <> $3
"""  # noqa: S608 - a constant of ours
_HELD = f"""
select exists (select from pg_catalog.pg_locks l where {_LOCKED} and l.pid = $3)
  and pg_catalog.pg_backend_pid() = $3 as held
"""  # noqa: S608
_OURS = """
select a.pid, a.application_name as name from pg_catalog.pg_stat_activity a
where a.usename = session_user and a.application_name like $1 and a.pid <> $2
"""
_END = """
select pg_catalog.pg_terminate_backend(a.pid) from pg_catalog.pg_stat_activity a
where a.pid = $1 and a.backend_start = $2 and a.application_name = $3 and a.usename = session_user
"""
