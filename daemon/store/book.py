"""One transaction that writes: it locks the end of the chain, appends records, and knows what it appended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import sqlalchemy as sa
from sqlalchemy import Connection

from actions.errors import StoreDamaged
from actions.model import Record
from daemon.store.chain import chained
from daemon.store.masking import masked_text
from daemon.store.rows import body_text
from daemon.store.tables import HEAD_ID, head, journal

_LOCKED = sa.select(head.c.seq, head.c.hash).where(head.c.id == HEAD_ID).with_for_update()
_APPEND = sa.insert(journal)
_FORTH = sa.update(head).where(head.c.id == HEAD_ID)

Now = Callable[[Connection], float]
"""The store's clock: Unix time, seconds, asked inside a transaction."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain; seq 0 when nothing was ever written."""

    seq: int = 0
    hash: str = ""


class Book:
    """What a transaction writes with. Nothing is written when it ends without `append` or `changed`."""

    def __init__(self, connection: Connection, now: Now, known: Head = Head()) -> None:
        """`known` is a record that is known to be on disk: the journal must still have it."""
        self.connection = connection
        self.changed = False
        """Something besides the journal is to be kept."""
        self.first: Head | None = None
        """The first record that was appended: once it is there, all of the transaction is."""
        self.head = Head()
        self.at = 0.0
        self._now = now
        self._known = known

    def lock(self) -> None:
        """Wait for everybody else who writes; from here on nothing changes but by this transaction."""
        row = self.connection.execute(_LOCKED).one()
        self.head = Head(row.seq, row.hash)
        if self.head != self._known:
            self._check_known()
        # Asked only now: whoever waited must not write an earlier time than the record before.
        self.at = self._now(self.connection)

    def now(self) -> float:
        """Return the store's time without waiting for anybody."""
        return self._now(self.connection)

    def append(self, record: Record) -> int:
        """Write a record behind all others and return its seq; the end of the chain is locked."""
        row = {
            "seq": self.head.seq + 1,
            "execution": record.execution,
            "kind": str(record.kind),
            "step": record.step,
            "attempt": record.attempt,
            "epoch": record.epoch,
            "who": masked_text(record.who),
            "at": float(self.at),
            "body": body_text(record.body),
            "prev_hash": self.head.hash,
        }
        row["hash"] = chained(self.head.hash, SimpleNamespace(**row))
        self.connection.execute(_APPEND, row)
        self.head = Head(self.head.seq + 1, str(row["hash"]))
        self.first = self.first or self.head
        return self.head.seq

    def close(self) -> None:
        """Write the new end of the chain."""
        if self.first is not None:
            self.connection.execute(_FORTH, {"seq": self.head.seq, "hash": self.head.hash})

    def _check_known(self) -> None:
        """Raise StoreDamaged when the journal has gone back since: others only ever add to it."""
        seq = self._known.seq
        if seq and _hash_of(self.connection, seq) != self._known.hash:
            raise StoreDamaged(
                f"record {seq} was written and is not there any more, the journal ends with {self.head.seq}: "
                "an older copy was put in its place, or a replica took over that had not received it; "
                "nothing is done until a person has looked"
            )


def landed(connection: Connection, first: Head) -> bool:
    """Tell whether a transaction whose end nobody saw was committed; waits until it is over.

    Its records hold the end of the chain locked as long as it lives.
    """
    connection.execute(_LOCKED).one()
    return _hash_of(connection, first.seq) == first.hash


def _hash_of(connection: Connection, seq: int) -> str:
    found = connection.execute(sa.select(journal.c.hash).where(journal.c.seq == seq)).scalar()
    return str(found or "")
