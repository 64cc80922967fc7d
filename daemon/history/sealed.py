"""Files of packed samples: `raw-` with those that came in two hours, `minutes-` with the rollups of a day."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon.history import database
from daemon.history.chunk import pack
from daemon.history.fresh import SLOT_MS, Due
from daemon.history.options import DAY_MS
from daemon.history.planes import Ints
from daemon.history.rollup import Column
from daemon.history.sheets import packed_series, unpacked_series
from rules.labels import Labels
from rules.promql.values import Floats

CHUNK_SERIES = 64
CHUNK_ROWS = 4096
_NAME = re.compile(r"(?P<kind>raw|minutes)-(?P<start>\d{8}T\d{4})\.db")
_SCHEMA = """
CREATE TABLE layout (id INTEGER PRIMARY KEY, series BLOB NOT NULL UNIQUE);
CREATE TABLE posting (name TEXT NOT NULL, layout INTEGER NOT NULL, PRIMARY KEY (name, layout)) WITHOUT ROWID;
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, layout INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    last BLOB NOT NULL, min BLOB, max BLOB, mean BLOB
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
    """Some series at the same times, in one column (raw) or in four."""

    series: Sequence[Labels]
    times: Ints
    columns: dict[Column, Floats]


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
        blobs = {column: pack(table.times, values) for column, values in table.columns.items()}
        self._connection.execute(
            "INSERT INTO chunk (layout, first_ms, last_ms, last, min, max, mean)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._layout(table.series),
                int(table.times[0]),
                int(table.times[-1]),
                *(blobs.get(column) for column in Column),
            ),
        )
        return sum(map(len, blobs.values()))

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
    return {name for (name,) in connection.execute("SELECT DISTINCT name FROM posting")}


def layouts_with(connection: sqlite3.Connection, name: str) -> Iterator[tuple[int, tuple[Labels, ...]]]:
    """Give the layouts of a sealed file that have series of this name; raise Damaged."""
    rows = connection.execute(
        "SELECT id, series FROM layout JOIN posting ON layout = id WHERE name = ?", (name,)
    )
    for layout, data in rows:
        yield layout, _series(data)


def chunks_of(
    connection: sqlite3.Connection, layout: int, column: Column, start_ms: int, end_ms: int
) -> Iterator[bytes]:
    """Give the chunks of a layout that touch a range, both ends in it, in the order they were written."""
    for (data,) in connection.execute(
        f"SELECT {column.value} FROM chunk WHERE layout = ? AND first_ms <= ? AND last_ms >= ? ORDER BY id",  # noqa: S608 - one of four words
        (layout, end_ms, start_ms),
    ):
        yield data


@lru_cache(maxsize=1024)
def _series(data: bytes) -> tuple[Labels, ...]:
    return unpacked_series(data)


def _parts(table: Table) -> Iterator[Table]:
    for row in range(0, len(table.times), CHUNK_ROWS):
        for column in range(0, len(table.series), CHUNK_SERIES):
            rows, places = slice(row, row + CHUNK_ROWS), slice(column, column + CHUNK_SERIES)
            yield Table(
                table.series[places],
                table.times[rows],
                {name: values[rows, places] for name, values in table.columns.items()},
            )
