"""Files of packed samples: `raw-` with those that came in two hours, `minutes-` with the rollups of a day."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from daemon.history import database
from daemon.history.chunk import pack, unpack
from daemon.history.fresh import SLOT_MS, Due
from daemon.history.options import DAY_MS
from daemon.history.planes import Ints
from daemon.history.rollup import Column, Rollup, mean
from daemon.history.sheets import packed_series, unpacked_series
from rules.labels import Labels
from rules.promql.values import ABSENT, ABSENT_BITS, Floats

CHUNK_SERIES = 64
CHUNK_ROWS = 4096
_OTHERS = ("min", "max", "sum", "count")
_NAME = re.compile(r"(?P<kind>raw|minutes)-(?P<start>\d{8}T\d{4})\.db")
_SCHEMA = """
CREATE TABLE layout (id INTEGER PRIMARY KEY, series BLOB NOT NULL UNIQUE);
CREATE TABLE posting (name TEXT NOT NULL, layout INTEGER NOT NULL, PRIMARY KEY (name, layout)) WITHOUT ROWID;
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, layout INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    last BLOB NOT NULL, min BLOB, max BLOB, sum BLOB, count BLOB
);
CREATE INDEX chunk_by_layout ON chunk (layout, first_ms);
CREATE TABLE packed (
    epoch TEXT NOT NULL, slot INTEGER NOT NULL, shard INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (epoch, slot, shard)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, order=True)
class SealedFile:
    """One file by what its name says."""

    start_ms: int
    kind: str
    path: Path

    @property
    def span_ms(self) -> int:
        """How long a time it is about."""
        return SLOT_MS if self.kind == "raw" else DAY_MS

    @property
    def end_ms(self) -> int:
        """The last time that belongs to it; `start_ms` does not."""
        return self.start_ms + self.span_ms


@dataclass(frozen=True, slots=True)
class Table:
    """Some series at the same times: the values as they came, or rollups of them."""

    series: Sequence[Labels]
    times: Ints
    last: Floats
    others: tuple[Floats, ...] = ()
    """Of rollups: the smallest, the largest, the sum, the count."""

    @classmethod
    def of_rollup(cls, series: Sequence[Labels], rollup: Rollup) -> Table:
        """Make a table of minutes."""
        # Many columns are all the same as the last values: those of slow probes, the maxima of counters.
        others = [_unlike(given, rollup.last) for given in (rollup.min, rollup.max, rollup.sum)]
        return cls(series, rollup.times, rollup.last, (*others, rollup.counts))


def sealed_files(folder: Path) -> list[SealedFile]:
    """Return the files of a history, the oldest first."""
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            start = datetime.strptime(match["start"], "%Y%m%dT%H%M").replace(tzinfo=UTC)
            found.append(SealedFile(round(start.timestamp()) * 1000, match["kind"], path))
    return sorted(found)


def sealed_file(folder: Path, kind: str, at_ms: int) -> SealedFile:
    """Return the file that a time belongs to, whether it is there or not."""
    span = SLOT_MS if kind == "raw" else DAY_MS
    start = (at_ms - 1) // span * span
    name = f"{kind}-{datetime.fromtimestamp(start / 1000, UTC):%Y%m%dT%H%M}.db"
    return SealedFile(start, kind, folder / name)


class Packer:
    """A sealed file, open for adding to it. Raises FileFailed or FileDamaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = database.open_to_write(path, _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def packed_upto(self, epoch: str, due: Due) -> int:
        """Return the newest batch of a slot and shard that this file has already."""
        with database.translated(self.path):
            row = self._connection.execute(
                "SELECT seq FROM packed WHERE epoch = ? AND slot = ? AND shard = ?",
                (epoch, due.slot, due.shard),
            ).fetchone()
        return int(row[0]) if row else 0

    def add(self, epoch: str, due: Due, tables: Iterable[Table]) -> int:
        """Add tables, and remember of which batches they are; all or nothing. Return the bytes written."""
        written = 0
        with database.transaction(self._connection, self.path):
            for table in tables:
                for part in _parts(table):
                    written += self._add(part)
            self._connection.execute(
                "INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?)", (epoch, due.slot, due.shard, due.upto)
            )
        return written

    def _add(self, table: Table) -> int:
        blobs = [pack(table.times, values) for values in (table.last, *table.others)]
        self._connection.execute(
            "INSERT INTO chunk (layout, first_ms, last_ms, last, min, max, sum, count)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._layout(table.series),
                int(table.times[0]),
                int(table.times[-1]),
                *blobs,
                *[None] * (1 + len(_OTHERS) - len(blobs)),
            ),
        )
        return sum(map(len, blobs))

    def _layout(self, series: Sequence[Labels]) -> int:
        data = packed_series(series)
        row = self._connection.execute("SELECT id FROM layout WHERE series = ?", (data,)).fetchone()
        if row:
            return int(row[0])
        layout = self._connection.execute("INSERT INTO layout (series) VALUES (?)", (data,)).lastrowid or 0
        names = {labels.name for labels in series}
        self._connection.executemany("INSERT INTO posting VALUES (?, ?)", [(name, layout) for name in names])
        return layout


def names_in(connection: sqlite3.Connection) -> set[str]:
    """Return the metric names of a sealed file."""
    found = {name for (name,) in connection.execute("SELECT DISTINCT name FROM posting")}
    return {name for name in found if isinstance(name, str)}  # a damaged page may give anything


def layouts_with(connection: sqlite3.Connection, name: str) -> Iterator[tuple[int, tuple[Labels, ...]]]:
    """Give the layouts of a sealed file that have series of this name; raise Damaged."""
    rows = connection.execute(
        "SELECT id, series FROM layout JOIN posting ON layout = id WHERE name = ?", (name,)
    )
    for layout, data in rows:
        yield layout, unpacked_series(data)


def chunks_of(
    connection: sqlite3.Connection, layout: int, column: Column, start_ms: int, end_ms: int
) -> Iterator[tuple[bytes, ...]]:
    """Give the chunks of a layout that touch a range, both ends in it, in the order they were written.

    `values_of` makes values of them.
    """
    wanted = {Column.LAST: "last", Column.MEAN: "last, sum, count"}.get(column, f"last, {column.value}")
    yield from connection.execute(
        f"SELECT {wanted} FROM chunk WHERE layout = ? AND first_ms <= ? AND last_ms >= ? ORDER BY id",  # noqa: S608
        (layout, end_ms, start_ms),
    )


def values_of(blobs: Sequence[bytes], places: Sequence[int]) -> tuple[Ints, Floats]:
    """Return times[T], and the values of the series at these places; raise Damaged."""
    times, last = unpack(blobs[0], places)
    if len(blobs) == 1:
        return times, last
    given = unpack(blobs[1], places)[1]
    same = given.view(np.uint64) == ABSENT_BITS
    if len(blobs) == 2:  # noqa: PLR2004 - the last values, and others
        return times, np.where(same, last, given)
    counts = unpack(blobs[2], places)[1]
    return times, np.where(same, last, mean(given, counts))


def _unlike(given: Floats, last: Floats) -> Floats:
    """Take out the columns that are the same as the last values."""
    same = (given.view(np.uint64) == last.view(np.uint64)).all(axis=0)
    return np.where(same, ABSENT, given)


def _parts(table: Table) -> Iterator[Table]:
    for row in range(0, len(table.times), CHUNK_ROWS):
        for column in range(0, len(table.series), CHUNK_SERIES):
            rows, places = slice(row, row + CHUNK_ROWS), slice(column, column + CHUNK_SERIES)
            yield Table(
                table.series[places],
                table.times[rows],
                table.last[rows, places],
                tuple(values[rows, places] for values in table.others),
            )
