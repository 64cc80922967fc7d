"""The files that one question is about, open while it is answered."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import numpy as np
import structlog

from daemon.history import batch, database, fresh
from daemon.history.chunk import Damaged
from daemon.history.errors import FileDamaged, FileFailed
from daemon.history.planes import Ints
from daemon.history.rollup import Column, rolled
from daemon.history.sealed import SealedFile, chunks_of, layouts_with, names_in, sealed_files, values_of
from daemon.history.sheets import Samples, Sheet, ordered, stacked, unpacked_series
from daemon.history.wanted import Wanted
from rules.labels import Labels
from rules.promql.values import ABSENT_BITS, Floats

log = structlog.get_logger()
_Pieces: TypeAlias = dict[Labels, list[tuple[Ints, Floats]]]


class OnDamage(Protocol):
    """Is told the file, what is wrong, and whether all of the file is meant or one part of it."""

    def __call__(self, path: Path, reason: str, *, whole: bool) -> None:
        """Take note."""


def warn(path: Path, reason: str, *, whole: bool) -> None:
    """Log what is left out."""
    log.warning("history.damaged", file=str(path), reason=reason, left_out="the file" if whole else "a part")


class Session:
    """Answers one question.

    What waits in memory is taken first, then the newest file, then the packed ones: samples only ever
    move that way, so none is missed while it moves, and one seen twice is the same twice.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        range_ms: tuple[int, int],
        unsaved: Sequence[Sheet],
        on_damage: OnDamage,
    ) -> None:
        self._folder = folder
        self._wanted = wanted
        self._start, self._end = range_ms
        self._unsaved = unsaved
        self._on_damage = on_damage
        self._exit = contextlib.ExitStack()
        self._named: dict[str, list[tuple[Sheet, int]]] = {}
        """What is not packed yet: by metric name, columns of sheets; none but what is wanted."""
        self._files: list[tuple[SealedFile, sqlite3.Connection]] = []

    def __enter__(self) -> Self:
        lately = stacked(self._meant([*self._from_fresh(), *self._unsaved]))
        for sheet in lately:
            for place, labels in enumerate(sheet.series):
                self._named.setdefault(labels.name, []).append((sheet, place))
        for file in sealed_files(self._folder):
            if file.end_ms >= self._start and file.start_ms < self._end:
                with contextlib.suppress(database.NotThere), self._watched(file.path):
                    self._files.append((file, self._exit.enter_context(database.opened_to_read(file.path))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def names(self) -> list[str]:
        """Return the metric names to ask for, sorted."""
        if self._wanted.names is not None:
            return sorted(self._wanted.names)
        found = set(self._named)
        for file, connection in self._files:
            with self._watched(file.path):
                found |= names_in(connection)
        return sorted(name for name in found if self._wanted.about(name))

    def series(self, name: str) -> Iterator[Labels]:
        """Give the series of one metric; some may come twice."""
        for sheet, place in self._named.get(name, ()):
            if self._touches(sheet.times).any():
                yield sheet.series[place]
        for file, connection in self._files:
            with self._watched(file.path):
                for layout, series in layouts_with(connection, name):
                    places = self._wanted.places(series, name)
                    if places and any(chunks_of(connection, layout, Column.LAST, self._start, self._end)):
                        yield from (series[place] for place in places)

    def raw(self, name: str, column: Column) -> Iterator[Samples]:
        """Give the samples of one metric; where none are kept as they came, a column of their minutes."""
        found: _Pieces = {}
        there = {file.start_ms for file, _ in self._files if file.kind == "raw"}
        for file, connection in self._files:
            if file.kind == "minutes" and not self._covered(file, there):
                self._packed(found, file, connection, name, column, besides=there)
        for file, connection in self._files:
            if file.kind == "raw":
                self._packed(found, file, connection, name, Column.LAST)
        self._add_lately(found, name)
        yield from self._joined(found)

    def minutes(self, name: str, column: Column) -> Iterator[Samples]:
        """Give the minutes of one metric."""
        found: _Pieces = {}
        for file, connection in self._files:
            if file.kind == "minutes":
                self._packed(found, file, connection, name, column)
        lately: _Pieces = {}
        self._add_lately(lately, name)
        for labels, pieces in lately.items():
            rollup = rolled(*_one(pieces))
            found.setdefault(labels, []).append((rollup.times, rollup.column(column)))
        yield from self._joined(found)

    def _packed(
        self,
        found: _Pieces,
        file: SealedFile,
        connection: sqlite3.Connection,
        name: str,
        column: Column,
        besides: Collection[int] = (),
    ) -> None:
        with self._watched(file.path):
            for layout, series in layouts_with(connection, name):
                places = self._wanted.places(series, name)
                if not places:
                    continue
                for blobs in chunks_of(connection, layout, column, self._start, self._end):
                    with self._watched(file.path):
                        times, values = values_of(blobs, places)
                        if besides:
                            rows = ~np.isin((times - 1) // fresh.SLOT_MS * fresh.SLOT_MS, list(besides))
                            times, values = times[rows], values[rows]
                        _add(found, series, places, times, values)

    def _covered(self, file: SealedFile, there: Collection[int]) -> bool:
        """Tell whether samples are kept as they came for all that a file of minutes could add."""
        first = (max(self._start, file.start_ms + 1) - 1) // fresh.SLOT_MS
        last = (min(self._end, file.end_ms, max(there, default=0) + fresh.SLOT_MS) - 1) // fresh.SLOT_MS
        return all(slot * fresh.SLOT_MS in there for slot in range(first, last + 1)) if there else False

    def _add_lately(self, found: _Pieces, name: str) -> None:
        for sheet, place in self._named.get(name, ()):
            _add(found, sheet.series, [place], sheet.times, sheet.values[:, place : place + 1])

    def _meant(self, sheets: Sequence[Sheet]) -> Iterator[Sheet]:
        """Give of each sheet the series that are wanted; of one object, one object."""
        kept: dict[int, tuple[list[int], list[Labels]]] = {}
        for sheet in sheets:
            if id(sheet.series) not in kept:
                places = self._wanted.places(sheet.series)
                kept[id(sheet.series)] = (places, [sheet.series[place] for place in places])
            places, series = kept[id(sheet.series)]
            if places:
                yield Sheet(series, sheet.times, sheet.values[:, places])

    def _joined(self, found: _Pieces) -> Iterator[Samples]:
        for labels in sorted(found):
            times, values = _one(found[labels])
            rows = self._touches(times) & (values[:, 0].view(np.uint64) != ABSENT_BITS)
            if rows.any():
                yield Samples(labels, times[rows], values[rows, 0])

    def _touches(self, times: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return (times >= self._start) & (times <= self._end)

    def _from_fresh(self) -> Iterator[Sheet]:
        path = self._folder / fresh.FILE
        slots = ((self._start - 1) // fresh.SLOT_MS, (self._end - 1) // fresh.SLOT_MS)
        with (
            contextlib.suppress(database.NotThere),
            self._watched(path),
            database.opened_to_read(path) as connection,
        ):
            layouts: dict[int, Sequence[Labels]] = {}
            shards = set()
            for layout, shard, data in connection.execute("SELECT id, shard, series FROM layout"):
                series = unpacked_series(data)
                if self._wanted.places(series):
                    layouts[layout] = series
                    shards.add(shard)
            for shard, data in connection.execute(
                "SELECT shard, data FROM batch WHERE slot BETWEEN ? AND ? ORDER BY seq", slots
            ):
                if shard in shards:
                    with self._watched(path):
                        yield from batch.sheets_of(data, layouts.get)

    @contextlib.contextmanager
    def _watched(self, path: Path) -> Iterator[None]:
        try:
            with database.translated(path):
                yield
        except Damaged as error:
            self._on_damage(path, str(error), whole=False)
        except FileDamaged as error:
            self._on_damage(path, error.reason, whole=True)
        except FileFailed as error:
            log.warning("history.unreadable", file=str(path), reason=error.reason)


def _add(
    found: _Pieces, series: Sequence[Labels], places: Sequence[int], times: Ints, values: Floats
) -> None:
    for column, place in enumerate(places):
        found.setdefault(series[place], []).append((times, values[:, column : column + 1]))


def _one(pieces: Sequence[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """Join the pieces of one series; where two have the same time, the later piece wins."""
    times = np.concatenate([times for times, _ in pieces])
    return ordered(times, np.concatenate([values for _, values in pieces]))
