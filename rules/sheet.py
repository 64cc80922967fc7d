"""Series that are written together: one column of times, one of values for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rules.labels import Labels
from rules.promql.values import ABSENT, ABSENT_BITS, STALE, Floats, Ints, is_sample

_FIRST = 8
_GROW = 1.3


class Sheet:
    """The samples of one metric from one place; times ascend."""

    __slots__ = (
        "_begin",
        "_columns",
        "_end",
        "_given",
        "_live",
        "_times",
        "_values",
        "name",
        "series",
        "version",
        "which",
    )

    def __init__(self, name: str) -> None:
        self.name = name
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
        row[:] = np.where(self._live, STALE, ABSENT)
        row[self._columns] = values
        row[self._live & ~is_sample(row)] = STALE
        self._live = is_sample(row)
        self._times[self._end] = at_ms
        self._end += 1
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

    def cut(self, after_ms: int) -> None:
        """Forget rows later than this time."""
        kept = int(np.searchsorted(self.times, after_ms, side="right"))
        if self._begin + kept < self._end:
            self._end = self._begin + kept
            self._live = is_sample(self._values[self._end - 1]) if kept else np.zeros_like(self._live)

    def part_with(self, series: Sequence[Labels]) -> tuple[Ints, Floats]:
        """Give the samples of some series away; they are no longer here."""
        columns = [self.which[labels] for labels in series]
        times, values = self.times.copy(), self.values[:, columns]
        self._free(columns)
        return times, values

    def trim(self, before_ms: int) -> None:
        """Forget rows up to this time, and series that have no sample left."""
        self._begin += int(np.searchsorted(self.times, before_ms, side="right"))
        quiet = np.flatnonzero(~self._live) if self._begin < self._end else np.arange(len(self.series))
        gone = quiet[~is_sample(self.values[:, quiet]).any(axis=0)]
        self._free(gone)

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
        return column

    def _make_room(self) -> None:
        kept = self._end - self._begin
        size = max(_FIRST, int(kept * _GROW) + 1)
        times, values = np.empty(size, dtype=np.int64), np.empty((size, self._values.shape[1]))
        times[:kept], values[:kept] = self.times, self.values
        self._times, self._values = times, values
        self._begin, self._end = 0, kept
