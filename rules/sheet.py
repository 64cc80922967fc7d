"""Series that are written together: one column of times, one of values for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rules.labels import Labels
from rules.newest import NEVER, Newest, newest_of
from rules.promql.values import ABSENT, ABSENT_BITS, STALE, Floats, Ints, is_sample

_FIRST = 8
_GROW = 1.3
_SMALL = 16
"""Up to so many columns a sheet takes just as many places for its newest samples; then some to spare."""


class Sheet:
    """The samples of some metrics from one place; times ascend."""

    __slots__ = (
        "_begin",
        "_columns",
        "_end",
        "_given",
        "_live",
        "_named",
        "_newest",
        "_places",
        "_times",
        "_values",
        "_whole",
        "first",
        "names",
        "series",
        "version",
        "which",
    )

    def __init__(self, newest: Newest) -> None:
        self.names: set[str] = set()
        """The metrics that it has or had."""
        self.first = 0
        """Where the columns' newest samples are kept."""
        self._places = 0
        self._newest = newest
        self._named: tuple[int, dict[str, list[int]]] = (-1, {})
        self._whole = False
        """Whether the series of the newest row are all columns, in order."""
        self.series: list[Labels | None] = []
        """By column; None for a column that is free."""
        self.which: dict[Labels, int] = {}
        self.version = 0
        """Counts up when a series comes or goes."""
        self._times: Ints = np.empty(_FIRST, dtype=np.int64)
        self._values: Floats = np.empty((_FIRST, 0))
        self._begin = 0
        self._end = 0
        self._given: Sequence[Labels] = ()
        self._columns: np.ndarray[tuple[int], np.dtype[np.intp]] = np.empty(0, dtype=np.intp)
        self._live = np.empty(0, dtype=np.bool_)
        """Which columns had a sample in the newest row."""

    @property
    def times(self) -> Ints:
        """Return the times of the rows, Unix milliseconds, ascending."""
        return self._times[self._begin : self._end]

    @property
    def values(self) -> Floats:
        """Return the cells, one row a time, one column a series."""
        return self._values[self._begin : self._end]

    @property
    def given(self) -> Sequence[Labels]:
        """Return the series of the newest row, as they were given."""
        return self._given

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left."""
        return self._begin == self._end or not self.which

    @property
    def bytes(self) -> int:
        """Return the memory of times and values."""
        return int(self._times.nbytes + self._values.nbytes)

    def columns_of(self, name: str) -> list[int]:
        """Return the columns with series of one metric."""
        if self._named[0] != self.version:
            found: dict[str, list[int]] = {}
            for column, labels in enumerate(self.series):
                if labels is not None:
                    found.setdefault(labels.name, []).append(column)
            self._named = (self.version, found)
        return self._named[1].get(name, [])

    def write(self, series: Sequence[Labels], at_ms: int, values: Floats) -> bool:
        """Add a row; series that had a sample in the last one and have none now get a staleness marker."""
        if self._end > self._begin and at_ms <= self._times[self._end - 1]:
            return False
        if series is not self._given:
            self._take(series)
        elif not series and not self._live.any():
            return False
        if self._end == len(self._times):
            self._make_room()
        row = self._values[self._end]
        if self._whole:
            row[:] = values
        else:
            row[:] = np.where(self._live, STALE, ABSENT)
            row[self._columns] = values
        there = is_sample(row)
        if not there.all():
            row[self._live & ~there] = STALE
        self._live = there
        self._times[self._end] = at_ms
        self._end += 1
        self._note(row, at_ms)
        return True

    def adopt(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        """Take older samples of some series: `values[t, s]` at `times[t]`; what is here already stays."""
        live, given = self._live, self._given
        self._take(series)
        columns = self._columns
        both = np.union1d(self.times, times)
        cells = np.full((len(both), self._values.shape[1]), ABSENT)
        old = np.searchsorted(both, times)
        cells[np.ix_(old, columns)] = values
        rows = np.searchsorted(both, self.times)
        own = self.values
        there = own.view(np.uint64) != ABSENT_BITS
        cells[rows] = np.where(there, own, cells[rows])
        self._times, self._values = both, cells
        self._begin, self._end = 0, len(both)
        self._live = np.zeros(cells.shape[1], dtype=np.bool_)
        self._live[: len(live)] = live
        self._given = given
        self._columns = np.array([self.which[labels] for labels in given], dtype=np.intp)
        self._whole = False
        self._renew()

    def cut(self, after_ms: int) -> None:
        """Forget rows later than this time."""
        kept = int(np.searchsorted(self.times, after_ms, side="right"))
        if self._begin + kept < self._end:
            self._end = self._begin + kept
            self._live = is_sample(self._values[self._end - 1]) if kept else np.zeros_like(self._live)
            self._renew()

    def part_with(self, series: Sequence[Labels]) -> tuple[Ints, Floats]:
        """Give the samples of some series away; they are no longer here."""
        columns = [self.which[labels] for labels in series]
        times, values = self.times.copy(), self.values[:, columns]
        self._free(columns)
        return times, values

    def trim(self, before_ms: int) -> None:
        """Forget rows up to this time, and series that have no sample left."""
        self._begin += int(self.times.searchsorted(before_ms, side="right"))
        if self._begin < self._end and self._live.all():
            return
        quiet = np.flatnonzero(~self._live) if self._begin < self._end else np.arange(len(self.series))
        gone = quiet[~is_sample(self.values[:, quiet]).any(axis=0)]
        self._free(gone)

    def leave(self) -> None:
        """Give the places of the newest samples back: nothing may be written any more."""
        self._newest.give_back(self.first, self._places)
        self._places = 0

    def _renew(self) -> None:
        """Look up the newest samples after rows came or went."""
        here = slice(self.first, self.first + self._values.shape[1])
        if self._begin < self._end:
            self._newest.values[here], self._newest.times[here] = newest_of(self.values, self.times)
        else:
            self._newest.values[here], self._newest.times[here] = ABSENT, NEVER

    def _note(self, row: Floats, at_ms: int) -> None:
        """Keep a row's samples and staleness markers as the newest."""
        here = slice(self.first, self.first + len(row))
        if self._whole:
            self._newest.values[here], self._newest.times[here] = row, at_ms
            return
        there = row.view(np.uint64) != ABSENT_BITS
        self._newest.values[here][there] = row[there]
        self._newest.times[here][there] = at_ms

    def _free(self, columns: Iterable[int]) -> None:
        for column in columns:
            labels = self.series[column]
            if labels is not None:
                self.series[column] = None
                del self.which[labels]
                self._live[column] = False
                self.version += 1
                self._given = ()
                self._columns = np.empty(0, dtype=np.intp)
                self._whole = False
                self._newest.values[self.first + column] = ABSENT
                self._newest.times[self.first + column] = NEVER

    def _take(self, series: Sequence[Labels]) -> None:
        """Find or make the column of each series."""
        free = [column for column, labels in enumerate(self.series) if labels is None]
        columns = np.empty(len(series), dtype=np.intp)
        for place, labels in enumerate(series):
            column = self.which.get(labels)
            if column is None:
                column = self._place(labels, free)
            columns[place] = column
        self._given, self._columns = series, columns
        more = len(self.series) - self._values.shape[1]
        if more:
            self._values = np.concatenate([self._values, np.full((len(self._values), more), ABSENT)], axis=1)
            self._live = np.concatenate([self._live, np.zeros(more, dtype=np.bool_)])
            self._move(len(self.series))
        self._whole = len(columns) == len(self.series) and bool((columns == np.arange(len(columns))).all())

    def _move(self, size: int) -> None:
        """Get enough places for the newest samples."""
        if size <= self._places:
            return
        places = size if size <= _SMALL else 1 << (size - 1).bit_length()
        first = self._newest.take(places)
        old, new = (slice(at, at + self._places) for at in (self.first, first))
        self._newest.values[new] = self._newest.values[old]
        self._newest.times[new] = self._newest.times[old]
        self._newest.give_back(self.first, self._places)
        self.first, self._places = first, places

    def _place(self, labels: Labels, free: list[int]) -> int:
        self.version += 1
        if free:
            column = free.pop()
            self.series[column] = labels
            self._values[:, column] = ABSENT
            self._live[column] = False
        else:
            column = len(self.series)
            self.series.append(labels)
        self.which[labels] = column
        self.names.add(labels.name)
        return column

    def _make_room(self) -> None:
        kept = self._end - self._begin
        size = max(_FIRST, int(kept * _GROW) + 1)
        times, values = np.empty(size, dtype=np.int64), np.empty((size, self._values.shape[1]))
        times[:kept], values[:kept] = self.times, self.values
        self._times, self._values = times, values
        self._begin, self._end = 0, kept
