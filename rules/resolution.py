"""What a selector selects: columns of sheets, and the rows that they are in an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import NAME, Labels
from rules.newest import NEVER, Newest, newest_of
from rules.promql.matchers import Matcher
from rules.promql.values import (
    ABSENT,
    Bools,
    Floats,
    Ints,
    Key,
    Matrix,
    Rows,
    Segment,
    Vector,
    is_sample,
    segments_of,
)
from rules.sheet import Sheet

Places = NDArray[np.intp]
NOWHERE: Places = np.empty(0, dtype=np.intp)


@dataclass(slots=True)
class _Part:
    """Columns of one sheet."""

    sheet: Sheet
    version: int
    columns: Places | slice
    rows: Places


class Resolution:
    """The answer to a selector, good until a series comes or goes in one of its sheets.

    The sheets are those of metrics whose name matches already.
    """

    def __init__(
        self, sheets: Mapping[Sheet, Sequence[str]], matchers: tuple[Matcher, ...], newest: Newest
    ) -> None:
        """Take sheets with those of their metrics whose name matches."""
        self._newest = newest
        self._parts: list[_Part] = []
        self._twice: set[int] = set()
        """Rows that more than one sheet has samples of: a series that moved from one to the other."""
        self._labels: list[Labels] = []
        places: dict[Key, int] = {}
        tests = [each for each in matchers if each.name != NAME]
        for sheet, names in sheets.items():
            self._add(sheet, names, tests, places)
        self.rows = Rows(self._labels)
        self._slots = None if self._twice else self._joined()
        """By row: where its newest sample is kept. None: that may be in more than one place."""

    @property
    def good(self) -> bool:
        """Tell whether it still holds."""
        return all(part.version == part.sheet.version for part in self._parts)

    def instants(self, at_ms: int, lookback_ms: int) -> Vector:
        """Return the newest sample of each series after `at_ms - lookback_ms` up to `at_ms`."""
        if self._slots is not None:
            times = self._newest.times[self._slots]
            if not len(times) or times.max() <= at_ms:
                values = self._newest.values[self._slots]
                old = times <= at_ms - lookback_ms
                values[old], times[old] = ABSENT, NEVER
                return Vector(self.rows, values, is_sample(values), times)
        values = np.full(len(self.rows), ABSENT)
        times = np.full(len(self.rows), NEVER, dtype=np.int64)
        for part in self._parts:
            first, last = _span(part.sheet, at_ms - lookback_ms, at_ms)
            if first == last:
                continue
            cells = part.sheet.values[first:last, part.columns]
            found, at = newest_of(cells, part.sheet.times[first:last])
            newer = _newer(found, at, times[part.rows]) if self._twice else slice(None)
            values[part.rows[newer]] = found[newer]
            times[part.rows[newer]] = at[newer]
        return Vector(self.rows, values, is_sample(values), times)

    def ranges(self, start_ms: int, end_ms: int) -> Matrix:
        """Return the samples after `start_ms` up to `end_ms`."""
        segments: list[Segment] = []
        loose: dict[int, list[tuple[Ints, Floats]]] = {}
        for part in self._parts:
            first, last = _span(part.sheet, start_ms, end_ms)
            if first == last:
                continue
            times, cells = part.sheet.times[first:last], part.sheet.values[first:last, part.columns]
            for segment in segments_of(part.rows, times, cells):
                self._sort_out(segment, segments, loose)
        segments.extend(_merged(row, pieces) for row, pieces in loose.items())
        return Matrix(self.rows, segments, start_ms, end_ms)

    def _joined(self) -> Places:
        slots = np.empty(len(self.rows), dtype=np.intp)
        for part in self._parts:
            columns = np.arange(len(part.rows)) if isinstance(part.columns, slice) else part.columns
            slots[part.rows] = part.sheet.first + columns
        return slots

    def _add(
        self, sheet: Sheet, names: Sequence[str], tests: Sequence[Matcher], places: dict[Key, int]
    ) -> None:
        columns: list[int] = []
        rows: list[int] = []
        for column in (column for name in names for column in sheet.columns_of(name)):
            labels = sheet.series[column]
            if labels is None or (tests and not all(test.matches(labels.get(test.name)) for test in tests)):
                continue
            before = len(places)
            row = places.setdefault((labels.schema, labels.values, labels.name), before)
            if row < before:
                self._twice.add(row)
            else:
                self._labels.append(labels)
            columns.append(column)
            rows.append(row)
        whole = columns == list(range(len(sheet.series)))
        chosen = slice(None) if whole else np.array(columns, dtype=np.intp)
        self._parts.append(_Part(sheet, sheet.version, chosen, np.array(rows, dtype=np.intp)))

    def _sort_out(
        self, segment: Segment, segments: list[Segment], loose: dict[int, list[tuple[Ints, Floats]]]
    ) -> None:
        shared = np.flatnonzero(np.isin(segment.places, list(self._twice))) if self._twice else NOWHERE
        if not len(shared):
            segments.append(segment)
            return
        for column in shared.tolist():
            row = int(segment.places[column])
            loose.setdefault(row, []).append((segment.times, segment.values[:, column]))
        alone = np.setdiff1d(np.arange(len(segment.places)), shared)
        if len(alone):
            segments.append(Segment(segment.places[alone], segment.times, segment.values[:, alone]))


def _newer(found: Floats, at: Ints, times: Ints) -> Bools:
    """Tell what to take over; a series that moved may have its marker and its next sample at one time."""
    newer: Bools = (at > times) | ((at == times) & is_sample(found))
    return newer


def _span(sheet: Sheet, after_ms: int, up_to_ms: int) -> tuple[int, int]:
    times = sheet.times
    return int(times.searchsorted(after_ms, side="right")), int(times.searchsorted(up_to_ms, side="right"))


def _merged(row: int, pieces: Sequence[tuple[Ints, Floats]]) -> Segment:
    times = np.concatenate([each for each, _ in pieces])
    values = np.concatenate([each for _, each in pieces])
    _, first = np.unique(times, return_index=True)
    return Segment(np.array([row]), times[first], values[first].reshape(-1, 1))
