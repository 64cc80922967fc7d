"""The lease: who may act, for how long, under which epoch."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from actions.ports import Grant
from daemon.store.book import Book
from daemon.store.tables import LEASE_NAME, lease

_ROW = sa.select(lease).where(lease.c.name == LEASE_NAME)
_CHANGE = sa.update(lease).where(lease.c.name == LEASE_NAME)
_BELIEVABLE = 2.0
"""A lease that runs for longer than so many times its length was granted before the clock was set back."""


def granting(owner: str, holder: str, ttl_seconds: float, epoch_floor: int) -> Callable[[Book], Grant | None]:
    """Take or renew the lease. `holder` is one store object's own; no epoch is `epoch_floor` or below."""

    def work(book: Book) -> Grant | None:
        now = book.now()
        renewed = book.connection.execute(
            _CHANGE.where(lease.c.holder == holder, lease.c.owner == owner, lease.c.expires_at > now).values(
                expires_at=now + ttl_seconds, ttl=ttl_seconds
            )
        )
        if renewed.rowcount:
            book.changed = True
            row = book.connection.execute(_ROW).one()
            return _grant(row, fresh=False)
        # Before the row's own lock, as everybody takes them: no deadlock, and no move in between.
        book.lock()
        row = book.connection.execute(_ROW.with_for_update()).one()
        if row.holder and book.at < row.expires_at < book.at + _BELIEVABLE * row.ttl:
            return None
        book.connection.execute(
            _CHANGE.values(
                owner=owner,
                holder=holder,
                previous=row.owner if row.holder else "",
                epoch=max(row.epoch, epoch_floor) + 1,
                expires_at=book.at + ttl_seconds,
                ttl=ttl_seconds,
            )
        )
        book.changed = True
        return _grant(book.connection.execute(_ROW).one(), fresh=True)

    return work


def releasing(grant: Grant, holder: str) -> Callable[[Book], None]:
    """Give the lease back, if it is still this one."""

    def work(book: Book) -> None:
        book.lock()
        gone = book.connection.execute(
            _CHANGE.where(lease.c.holder == holder, lease.c.epoch == grant.epoch).values(
                holder="", expires_at=0.0
            )
        )
        book.changed = gone.rowcount > 0

    return work


def leased(epoch: int) -> ColumnElement[bool]:
    """Return the condition that the lease is held, and at this epoch."""
    return sa.exists(
        sa.select(lease.c.name).where(
            lease.c.name == LEASE_NAME, lease.c.epoch == epoch, lease.c.holder != ""
        )
    )


def _grant(row: sa.Row[tuple[object, ...]], *, fresh: bool) -> Grant:
    return Grant(
        owner=row.owner, epoch=row.epoch, expires_at=row.expires_at, fresh=fresh, previous=row.previous
    )
