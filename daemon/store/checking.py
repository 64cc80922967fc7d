"""Looks whether the journal is as it was written: quickly at its end, or all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from actions.errors import StoreDamaged
from actions.ports import ChainReport
from daemon.store.anchor import Mark
from daemon.store.book import Head
from daemon.store.chain import chained
from daemon.store.tables import head, journal

TAIL = 100
"""How many of the last records are looked at when the store is opened."""
_LINES = sa.select(journal).order_by(journal.c.seq)


class Walk:
    """Follows the chain record by record and remembers where it broke."""

    def __init__(self, start: Head, anchored: Mapping[int, str] | None = None) -> None:
        self.head = start
        """The last record that was as it should be."""
        self.records = 0
        self.first_bad: int | None = None
        self.problem = ""
        self._anchored = anchored or {}

    def go(self, rows: Sequence[Row[Any]]) -> bool:
        """Follow the chain over these records; False as soon as it is broken."""
        return all(self._step(row) for row in rows)

    def broken(self, seq: int, problem: str) -> bool:
        """Note the first record that is not as it was written."""
        self.first_bad, self.problem = seq, problem
        return False

    def report(self) -> ChainReport:
        """Return what was found."""
        return ChainReport(
            records=self.records, head=self.head.hash, first_bad=self.first_bad, problem=self.problem
        )

    def _step(self, row: Row[Any]) -> bool:
        due = self.head.seq + 1
        if row.seq != due:
            return self.broken(due, _gap(due, row.seq))
        try:
            digest = chained(self.head.hash, row)
        except (TypeError, ValueError):
            digest = ""
        if row.prev_hash != self.head.hash or row.hash != digest:
            return self.broken(due, f"record {due} is not as it was written: its hash does not fit")
        if self._anchored.get(due, digest) != digest:
            return self.broken(due, f"record {due} was written anew: the anchor remembers another")
        self.head = Head(due, digest)
        self.records += 1
        return True


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the journal says that it ends, and where it does."""

    head: Head
    last: int


def ends(connection: Connection) -> Ends:
    """Return both ends, as of one moment."""
    last = sa.select(sa.func.max(journal.c.seq)).scalar_subquery()
    row = connection.execute(sa.select(head.c.seq, head.c.hash, last.label("last"))).one()
    return Ends(Head(row.seq, row.hash), row.last or 0)


def piece(connection: Connection, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return the next records."""
    return connection.execute(_LINES.where(journal.c.seq > after).limit(limit)).all()


def start_of(connection: Connection, since_seq: int) -> Head:
    """Return the record from which on the chain is followed; it is taken as it is."""
    if since_seq <= 0:
        return Head()
    found = connection.execute(sa.select(journal.c.hash).where(journal.c.seq == since_seq)).scalar()
    return Head(since_seq, str(found or ""))


def check_end(connection: Connection, anchored: Mark, where: str) -> Head:
    """Look at the last records and return the end of the chain; raise StoreDamaged."""
    found = ends(connection)
    walk = Walk(start_of(connection, found.head.seq - TAIL))
    # Not further: another daemon may have gone on meanwhile.
    walk.go(piece(connection, walk.head.seq, max(0, found.head.seq - walk.head.seq)))
    if walk.first_bad is None:
        close(walk, found, anchored)
    if walk.first_bad is None and start_of(connection, anchored.head.seq).hash != anchored.head.hash:
        walk.broken(anchored.head.seq, f"record {anchored.head.seq} is not the one that the anchor remembers")
    if walk.first_bad is not None:
        raise StoreDamaged(
            f"{where}: {walk.problem}; nothing is done until a person has looked: "
            "`dbarchitect audit verify` reads all of it"
        )
    return found.head


def close(walk: Walk, found: Ends, anchored: Mark) -> None:
    """Compare where the walk came to with where it should have ended."""
    came, due = walk.head.seq, found.head.seq
    if came < due:
        walk.broken(came + 1, f"records {came + 1} to {due} are gone")
    elif came == due and walk.head.hash != found.head.hash:
        walk.broken(due, f"record {due} is not the one that the journal says it ends with")
    elif found.last > due:
        walk.broken(due + 1, f"record {due + 1} came in by another way than the daemon's")
    elif came < anchored.head.seq:
        walk.broken(
            came + 1,
            f"the journal ends with record {came}, and the anchor remembers {anchored.head.seq}: "
            "its end was cut off, or an older copy was put in its place",
        )


def _gap(due: int, found: int) -> str:
    if found < due:
        return f"record {found} is there twice"
    gone = f"record {due} is" if found == due + 1 else f"records {due} to {found - 1} are"
    return f"{gone} gone"
