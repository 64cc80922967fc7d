"""What people say: approvals, and flags that stop everything or a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import sqlalchemy as sa
from sqlalchemy import Connection

from actions.model import Record
from actions.ports import Approval, Stop
from daemon.store.book import Book
from daemon.store.masking import masked_text
from daemon.store.tables import approval, execution, stop


def approving(given: Approval, record: Record) -> Callable[[Book], bool]:
    """Keep an approval; False when this person has given one, or there is no such execution."""
    theirs = (approval.c.execution == given.execution, approval.c.who == given.who)
    free = sa.and_(
        sa.exists(sa.select(execution.c.id).where(execution.c.id == given.execution)),
        sa.not_(sa.exists(sa.select(approval.c.who).where(*theirs))),
    )

    def work(book: Book) -> bool:
        book.lock()
        if not book.connection.execute(sa.select(free)).scalar():
            return False
        seq = book.append(replace(record, execution=given.execution))
        row = asdict(given) | {"note": masked_text(given.note), "seq": seq}
        book.connection.execute(sa.insert(approval), row)
        return True

    return work


def approvals(connection: Connection, key: str) -> Sequence[Approval]:
    """Return an execution's approvals, oldest first."""
    rows = connection.execute(sa.select(approval).where(approval.c.execution == key).order_by(approval.c.seq))
    return [
        Approval(
            execution=row.execution,
            plan_hash=row.plan_hash,
            who=row.who,
            at=row.at,
            expires_at=row.expires_at,
            note=row.note,
        )
        for row in rows
    ]


def stopping(wanted: Stop, record: Record) -> Callable[[Book], None]:
    """Set a flag, if it is not set, and write the record."""

    def work(book: Book) -> None:
        book.lock()
        if not book.connection.execute(sa.select(stop.c.at).where(*_flag(wanted))).first():
            row = asdict(wanted) | {"why": masked_text(wanted.why), "at": wanted.at or book.at}
            book.connection.execute(sa.insert(stop), row)
        book.append(record)

    return work


def resuming(wanted: Stop, record: Record) -> Callable[[Book], bool]:
    """Take a flag back; False, and nothing written, when it was not set."""

    def work(book: Book) -> bool:
        book.lock()
        if not book.connection.execute(sa.delete(stop).where(*_flag(wanted))).rowcount:
            return False
        book.append(record)
        return True

    return work


def stops(connection: Connection) -> Sequence[Stop]:
    """Return all flags that are set, oldest first."""
    rows = connection.execute(sa.select(stop).order_by(stop.c.at, stop.c.target, stop.c.action))
    return [Stop(target=row.target, action=row.action, by=row.by, why=row.why, at=row.at) for row in rows]


def _flag(wanted: Stop) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return stop.c.target == wanted.target, stop.c.action == wanted.action
