"""The store: what `actions.ports.Store` promises, over one database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from actions.errors import StoreDamaged
from actions.model import Execution, Record, State
from actions.ports import Approval, ChainReport, Grant, Move, Past, Stop
from daemon.store import checking, executions, flags, leases
from daemon.store.anchor import Anchor, Mark, marks
from daemon.store.book import Book, Head
from daemon.store.rows import record_of
from daemon.store.runner import Runner
from daemon.store.sqlite import FileLock
from daemon.store.tables import journal

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told how many records were looked at, of how many."""
_PIECE = 1000


class SqlStore:
    """Made by `daemon.store.opening.open_store`; `holder` is this object's own name at the lease."""

    def __init__(
        self,
        runner: Runner,
        holder: str,
        *,
        anchor: Anchor | None = None,
        anchored: Path | None = None,
        lock: FileLock | None = None,
        inline: bool = False,
    ) -> None:
        """`anchor` is what this store writes, `anchored` what it compares the journal with."""
        self._runner = runner
        self._holder = holder
        self._anchor = anchor
        self._anchored_by = anchored
        self._inline = inline
        self._lock = lock
        self._closed = False
        self._epoch_floor = 0
        self._epoch_told = 0
        self._marking = asyncio.Lock()

    @property
    def where(self) -> str:
        """Return where it is, for people."""
        return self._runner.where

    @property
    def anchor_trouble(self) -> str:
        """Return why the anchor does not grow; empty when it does, or there is none."""
        return self._anchor.trouble if self._anchor else ""

    async def begin(self) -> None:
        """Look at the journal's end and go on from there; raise StoreDamaged."""
        anchored = self._anchor.begin() if self._anchor else Mark(Head())
        self._epoch_floor = anchored.epoch
        where = self.where
        self._runner.head = await self._runner.read(
            lambda connection: checking.check_end(connection, anchored, where)
        )

    async def close(self) -> None:
        """Write the last line of the anchor and close everything; the lease stays as it is."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._anchor:
                await self._mark(self._anchor)
        finally:
            await self._runner.close()
            if self._lock:
                self._lock.release()

    async def grant(self, owner: str, ttl_seconds: float) -> Grant | None:
        """Take or renew the lease; None while another holds it, also one of the same name."""
        work = leases.granting(owner, self._holder, ttl_seconds, self._epoch_floor)
        grant = await self._write(work)
        if grant is not None and grant.epoch != self._epoch_told:
            self._epoch_floor = max(self._epoch_floor, grant.epoch)
            # Before anybody acts with it: an epoch must not come twice, whatever becomes of the store.
            await self._keep_up()
            # Also when the answer to the one that took it was lost: its owner has not heard of it yet.
            grant = Grant(
                owner=grant.owner,
                epoch=grant.epoch,
                expires_at=grant.expires_at,
                fresh=True,
                previous=grant.previous,
            )
            # Last, and then nothing is waited for: whoever gave up in between is told again.
            self._epoch_told = grant.epoch
        return grant

    async def release(self, grant: Grant) -> None:
        """Give the lease back at once; nothing happens if it is another's by now."""
        await self._write(leases.releasing(grant, self._holder))

    async def propose(self, execution: Execution, record: Record) -> tuple[Execution, bool]:
        """Write a new execution; if one with its dedup_key exists, return that one and False."""
        return await self._write(executions.proposing(execution, record))

    async def move(self, move: Move) -> bool:
        """Do a transition; False: it stands elsewhere, or is another's. Nothing was written then."""
        return await self._write(executions.moving(move))

    async def write(self, record: Record, *, lease_epoch: int | None = None) -> bool:
        """Append a record that moves nothing; False when `lease_epoch` is not the lease's any more."""
        return await self._write(executions.writing(record, lease_epoch))

    async def execution(self, key: str) -> Execution | None:
        """Return one execution."""
        return await self._runner.read(lambda connection: executions.one(connection, key))

    async def executions(
        self, states: Collection[State] = (), *, limit: int = 1000, before: float | None = None
    ) -> Sequence[Execution]:
        """Return executions in these states (all when empty), newest first, made before a Unix time."""
        return await self._runner.read(
            lambda connection: executions.several(connection, states, limit, before)
        )

    async def records(self, execution: str) -> Sequence[Record]:
        """Return the journal of one execution, oldest first; with an empty id, what belongs to none."""
        wanted = sa.select(journal).where(journal.c.execution == execution).order_by(journal.c.seq)
        rows = await self._runner.read(lambda connection: connection.execute(wanted).all())
        return [record_of(row) for row in rows]

    async def journal(self, after: int = 0, *, limit: int = 1000, since: float = 0.0) -> Sequence[Record]:
        """Return records of all executions behind a seq, oldest first, written at a Unix time or later."""
        wanted = (
            sa.select(journal)
            .where(journal.c.seq > after, journal.c.at >= since)
            .order_by(journal.c.seq)
            .limit(limit)
        )
        rows = await self._runner.read(lambda connection: connection.execute(wanted).all())
        return [record_of(row) for row in rows]

    async def approve(self, approval: Approval, record: Record) -> bool:
        """Keep an approval; False when this person has approved this execution, or there is none such."""
        return await self._write(flags.approving(approval, record))

    async def approvals(self, execution: str) -> Sequence[Approval]:
        """Return its approvals, oldest first."""
        return await self._runner.read(lambda connection: flags.approvals(connection, execution))

    async def stop(self, stop: Stop, record: Record) -> None:
        """Set a flag; setting it again changes nothing but writes the record."""
        await self._write(flags.stopping(stop, record))

    async def resume(self, stop: Stop, record: Record) -> bool:
        """Take a flag back; False when it was not set."""
        return await self._write(flags.resuming(stop, record))

    async def stops(self) -> Sequence[Stop]:
        """Return all flags that are set."""
        return await self._runner.read(flags.stops)

    async def past(self, since: float) -> Sequence[Past]:
        """Return executions that were ever claimed and are LIVE or ended after a Unix time."""
        return await self._runner.read(lambda connection: executions.past(connection, since))

    async def verify(self, since_seq: int = 0, progress: Progress | None = None) -> ChainReport:
        """Read the journal and recompute its hashes, piece by piece: others go on writing meanwhile."""
        anchored, unreadable = self._anchored()
        walk = checking.Walk(
            await self._runner.read(lambda connection: checking.start_of(connection, since_seq)),
            {seq: mark.head.hash for seq, mark in anchored.items()},
        )
        due = await self._runner.read(checking.ends)
        if await self._walk(walk, due.head.seq, progress):
            last = max(anchored.values(), key=lambda mark: mark.head.seq, default=Mark(Head()))
            checking.close(walk, due, last)
        if walk.first_bad is None and unreadable:
            walk.problem = unreadable
        return walk.report()

    def _anchored(self) -> tuple[dict[int, Mark], str]:
        found: dict[int, Mark] = {}
        unreadable = ""
        for number, mark in marks(self._anchored_by) if self._anchored_by else ():
            if mark is None:
                unreadable = unreadable or f"line {number} of the anchor cannot be read"
            elif mark.head.seq:
                found[mark.head.seq] = mark
        return found, unreadable

    async def _walk(self, walk: checking.Walk, due: int, progress: Progress | None) -> bool:
        """Follow the chain up to a seq; False when it broke before."""
        size = _PIECE
        while walk.head.seq < due:
            after, limit = walk.head.seq, min(size, due - walk.head.seq)
            try:
                rows = await self._runner.read(partial(checking.piece, after=after, limit=limit))
            except StoreDamaged as error:
                if limit == 1:
                    return walk.broken(after + 1, f"record {after + 1} cannot be read: {error}")
                # One by one: the record that cannot be read is to be named.
                size = 1
                continue
            if not walk.go(rows):
                return False
            if not rows:
                break
            if progress is not None:
                progress(walk.head.seq, due)
        return True

    async def _write(self, work: Callable[[Book], T]) -> T:
        result = await self._runner.write(work)
        await self._keep_up()
        return result

    async def _keep_up(self) -> None:
        if self._anchor and self._anchor.due(self._now_at):
            await self._mark(self._anchor)

    @property
    def _now_at(self) -> Mark:
        return Mark(self._runner.head, self._epoch_floor)

    async def _mark(self, anchor: Anchor) -> None:
        if self._inline:
            anchor.write(self._now_at)
            return
        async with self._marking:
            await asyncio.to_thread(anchor.write, self._now_at)
