"""The file of what came lately: batches as they were made durable, until their span of time is packed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from daemon.history import batch, database
from daemon.history.chunk import Damaged
from daemon.history.errors import FileDamaged
from daemon.history.layouts import Layout, Layouts
from daemon.history.sheets import Sheet, packed_series, split, unpacked_series
from rules.labels import Labels

FILE = "fresh.db"
SLOT_MS = 7_200_000
"""The span of time that is packed together once it is over; its right edge belongs to it."""
_SCHEMA = """
CREATE TABLE epoch (id TEXT NOT NULL);
CREATE TABLE layout (
    id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, slot INTEGER NOT NULL, series BLOB NOT NULL
);
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, slot INTEGER NOT NULL, shard INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX batch_by_slot ON batch (slot, shard)
"""


class Due(NamedTuple):
    """What one shard has of one slot."""

    slot: int
    shard: int
    upto: int
    """Number of its newest batch."""


class Fresh:
    """The file, open for writing. Every method raises FileFailed or FileDamaged; open it anew after that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Batches that could not be read."""
        self._layouts = Layouts()
        self._connection = database.open_to_write(path, _SCHEMA)
        try:
            database.check(self._connection, path)
            self.epoch = self._read_epoch()
            self._load()
        except BaseException:
            self._connection.close()
            raise

    def write(self, sheets: Sequence[Sheet]) -> int:
        """Make sheets durable, all or none; return the bytes written."""
        written = 0
        with database.transaction(self._connection, self.path):
            for (slot, shard), by_layout in self._by_place(sheets).items():
                data = batch.packed(by_layout)
                written += len(data)
                self._connection.execute(
                    "INSERT INTO batch (slot, shard, data) VALUES (?, ?, ?)", (slot, shard, data)
                )
        return written

    def due(self) -> list[Due]:
        """Return what is held, the oldest slot first."""
        with database.translated(self.path):
            found = self._connection.execute(
                "SELECT slot, shard, max(seq) FROM batch GROUP BY slot, shard ORDER BY slot, shard"
            ).fetchall()
        if not all(isinstance(number, int) for row in found for number in row):
            raise FileDamaged(self.path, "what a batch is about is no number")
        return [Due(*row) for row in found]

    def read(self, due: Due, after: int) -> Iterator[Sheet]:
        """Give the sheets of a slot and shard, from batch `after` on, in the order they came."""
        with database.translated(self.path):
            rows = self._connection.execute(
                "SELECT data FROM batch WHERE slot = ? AND shard = ? AND seq > ? AND seq <= ? ORDER BY seq",
                (due.slot, due.shard, after, due.upto),
            )
            for (data,) in rows:
                try:
                    yield from batch.sheets_of(data, self._series)
                except Damaged:
                    self.damaged += 1

    def drop(self, due: Due) -> None:
        """Forget what has been packed elsewhere, and the series that nothing here tells of any more."""
        with database.transaction(self._connection, self.path):
            self._connection.execute(
                "DELETE FROM batch WHERE slot = ? AND shard = ? AND seq <= ?", (due.slot, due.shard, due.upto)
            )
            left = self._connection.execute("SELECT min(slot) FROM batch").fetchone()[0]
            oldest = due.slot + 1 if left is None else int(left)
            self._connection.execute("DELETE FROM layout WHERE slot < ?", (oldest,))
        if any(layout.slot < oldest for layout in self._layouts.by_id.values()):
            self._layouts = self._layouts.without_before(oldest)

    def drop_oldest(self) -> int:
        """Forget the oldest slot, for want of room; return how many batches it had."""
        with database.transaction(self._connection, self.path):
            dropped = self._connection.execute(
                "DELETE FROM batch WHERE slot = (SELECT min(slot) FROM batch)"
            ).rowcount
        with database.translated(self.path):
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return dropped

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _by_place(self, sheets: Sequence[Sheet]) -> dict[tuple[int, int], dict[int, list[Sheet]]]:
        found: dict[tuple[int, int], dict[int, list[Sheet]]] = {}
        for sheet in sheets:
            for slot, part in split(sheet, SLOT_MS):
                layout = self._layouts.find(sheet.series) or self._new_layout(sheet.series, slot)
                if layout.slot < slot:
                    layout.slot = slot
                    self._connection.execute("UPDATE layout SET slot = ? WHERE id = ?", (slot, layout.id))
                found.setdefault((slot, layout.shard), {}).setdefault(layout.id, []).append(part)
        return found

    def _new_layout(self, series: Sequence[Labels], slot: int) -> Layout:
        shard = self._layouts.shard_for(series)
        made = self._connection.execute(
            "INSERT INTO layout (shard, slot, series) VALUES (?, ?, ?)", (shard, slot, packed_series(series))
        )
        layout = Layout(made.lastrowid or 0, shard, tuple(series), slot, series)
        self._layouts.learn(layout)
        return layout

    def _series(self, layout: int) -> Sequence[Labels] | None:
        found = self._layouts.by_id.get(layout)
        return found.series if found else None

    def _read_epoch(self) -> str:
        with database.transaction(self._connection, self.path):
            row = self._connection.execute("SELECT id FROM epoch").fetchone()
            if row is None:
                row = (secrets.token_hex(8),)
                self._connection.execute("INSERT INTO epoch VALUES (?)", row)
        return str(row[0])

    def _load(self) -> None:
        with database.translated(self.path):
            rows = self._connection.execute("SELECT id, shard, slot, series FROM layout ORDER BY id")
            for number, shard, slot, data in rows:
                try:
                    series = unpacked_series(data)
                except Damaged as error:
                    raise FileDamaged(self.path, f"the series of layout {number}: {error}") from error
                self._layouts.learn(Layout(number, shard, series, slot, series))
