"""Executions: proposed once, moved only from where they stand by who owns them, and found again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from actions.model import LIVE, Execution, Record, State
from actions.ports import Move, Past
from daemon.store.book import Book
from daemon.store.leases import leased
from daemon.store.masking import masked_text
from daemon.store.rows import execution_of, past_of, row_of
from daemon.store.tables import execution

_LIVE = sorted(LIVE)
_COLUMNS = execution.c
_FOR_PAST = sa.select(
    *(_COLUMNS[name] for name in ("id", "action", "family", "target", "cluster", "incident_key")),
    _COLUMNS.state,
    _COLUMNS.claimed,
    _COLUMNS.since,
).where(_COLUMNS.claimed.is_not(None))
_OURS = sa.alias(execution, "ours")
_COLLIDING = (
    sa.select(_COLUMNS.id)
    .select_from(sa.join(_OURS, execution, _COLUMNS.cluster == _OURS.c.cluster))
    .where(
        _OURS.c.id == sa.bindparam("key"),
        _COLUMNS.id != sa.bindparam("key"),
        _COLUMNS.state.in_(_LIVE),
        sa.or_(_COLUMNS.part == "", _OURS.c.part == "", _COLUMNS.part == _OURS.c.part),
    )
    .limit(1)
)
_OPTIONAL = ("step", "attempt", "epoch", "deadline")


def proposing(wanted: Execution, record: Record) -> Callable[[Book], tuple[Execution, bool]]:
    """Write a new execution, unless its dedup_key is known."""

    def work(book: Book) -> tuple[Execution, bool]:
        book.lock()
        known = book.connection.execute(
            sa.select(execution).where(_COLUMNS.dedup_key == wanted.dedup_key)
        ).one_or_none()
        if known is not None:
            return execution_of(known), False
        book.connection.execute(sa.insert(execution), row_of(wanted, book.at))
        book.append(replace(record, execution=wanted.id))
        row = book.connection.execute(sa.select(execution).where(_COLUMNS.id == wanted.id)).one()
        return execution_of(row), True

    return work


def moving(move: Move) -> Callable[[Book], bool]:
    """Do a transition; False, and nothing written, when one of its conditions does not hold."""

    def work(book: Book) -> bool:
        book.lock()
        # What holds no scope yet must find it free.
        if move.to in LIVE and not LIVE.issuperset(move.expected) and _taken(book.connection, move.execution):
            return False
        changed = book.connection.execute(
            sa.update(execution).where(*_conditions(move)).values(_values(move, book.at))
        )
        if not changed.rowcount:
            return False
        for record in (*move.also, move.record):
            book.append(replace(record, execution=move.execution))
        return True

    return work


def writing(record: Record, lease_epoch: int | None) -> Callable[[Book], bool]:
    """Append a record that moves nothing, if its conditions hold."""
    conditions: list[ColumnElement[bool]] = []
    if lease_epoch is not None:
        conditions.append(leased(lease_epoch))
    if record.execution and record.epoch:
        conditions.append(
            sa.exists(
                sa.select(_COLUMNS.id).where(_COLUMNS.id == record.execution, _COLUMNS.epoch == record.epoch)
            )
        )

    def work(book: Book) -> bool:
        book.lock()
        if conditions and not book.connection.execute(sa.select(sa.and_(*conditions))).scalar():
            return False
        book.append(record)
        return True

    return work


def one(connection: Connection, key: str) -> Execution | None:
    """Return an execution."""
    row = connection.execute(sa.select(execution).where(_COLUMNS.id == key)).one_or_none()
    return None if row is None else execution_of(row)


def several(
    connection: Connection, states: Collection[State], limit: int, before: float | None
) -> Sequence[Execution]:
    """Return executions, newest first."""
    # The index alone says which ones: plans are read only of those.
    ids = sa.select(_COLUMNS.id).order_by(_COLUMNS.created.desc(), _COLUMNS.id.desc()).limit(limit)
    if states:
        ids = ids.where(_COLUMNS.state.in_(sorted(states)))
    if before is not None:
        ids = ids.where(_COLUMNS.created < before)
    found = sa.select(execution).where(_COLUMNS.id.in_(ids))
    rows = connection.execute(found.order_by(_COLUMNS.created.desc(), _COLUMNS.id.desc()))
    return [execution_of(row) for row in rows]


def past(connection: Connection, since: float) -> Sequence[Past]:
    """Return executions that were ever claimed and are LIVE, or came to their end after a Unix time."""
    live = _COLUMNS.state.in_(_LIVE)
    # Two questions, each with an index of its own.
    rows = [
        *connection.execute(_FOR_PAST.where(live)),
        *connection.execute(_FOR_PAST.where(sa.not_(live), _COLUMNS.since > since)),
    ]
    return sorted((past_of(row) for row in rows), key=lambda each: (each.started, each.id))


def _taken(connection: Connection, key: str) -> bool:
    """Tell whether work that is under way collides: in a cluster of ours, its whole or the same part."""
    return connection.execute(_COLLIDING, {"key": key}).first() is not None


def _conditions(move: Move) -> list[ColumnElement[bool]]:
    conditions = [
        _COLUMNS.id == move.execution,
        _COLUMNS.state.in_(sorted(move.expected)),
        _COLUMNS.epoch == move.expected_epoch,
    ]
    if move.lease_epoch is not None:
        conditions.append(leased(move.lease_epoch))
    return conditions


def _values(move: Move, at: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": str(move.to),
        "updated": at,
        "since": sa.case((_COLUMNS.state == str(move.to), _COLUMNS.since), else_=at),
    }
    values |= {name: given for name in _OPTIONAL if (given := getattr(move, name)) is not None}
    if move.reason is not None:
        values["reason"] = masked_text(move.reason)
    if move.to is State.CLAIMED:
        values["claimed"] = sa.func.coalesce(_COLUMNS.claimed, at)
    return values
