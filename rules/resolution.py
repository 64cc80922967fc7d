"""What a selector selects: columns of sheets, and the rows that they are in an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import NAME, Labels
from rules.promql.matchers import Matcher
from rules.promql.values import (
    ABSENT,
    STALE_BITS,
    Bools,
    Floats,
    Ints,
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

    def __init__(self, sheets: Sequence[Sheet], matchers: tuple[Matcher, ...]) -> None:
        self._parts: list[_Part] = []
        self._twice: set[int] = set()
        """Rows that more than one sheet has samples of: a series that moved from one to the other."""
        places: dict[Labels, int] = {}
        tests = [each for each in matchers if each.name != NAME]
        for sheet in sheets:
            self._add(sheet, tests, places)
        self.rows = Rows(tuple(places))

    @property
    def good(self) -> bool:
        """Tell whether it still holds."""
        return all(part.version == part.sheet.version for part in self._parts)

    def instants(self, at_ms: int, lookback_ms: int) -> Vector:
        """Return the newest sample of each series after `at_ms - lookback_ms` up to `at_ms`."""
        values = np.full(len(self.rows), ABSENT)
        times = np.zeros(len(self.rows), dtype=np.int64)
        for part in self._parts:
            first, last = _span(part.sheet, at_ms - lookback_ms, at_ms)
            if first == last:
                continue
            cells = part.sheet.values[first:last, part.columns]
            found, at = _newest(cells, part.sheet.times[first:last])
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

    def _add(self, sheet: Sheet, tests: Sequence[Matcher], places: dict[Labels, int]) -> None:
        columns: list[int] = []
        rows: list[int] = []
        for column, labels in enumerate(sheet.series):
            if labels is None or not all(test.matches(labels.get(test.name)) for test in tests):
                continue
            before = len(places)
            row = places.setdefault(labels, before)
            if row < before:
                self._twice.add(row)
            columns.append(column)
            rows.append(row)
        whole = len(columns) == len(sheet.series)
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
    first, last = np.searchsorted(sheet.times, (after_ms, up_to_ms), side="right")
    return int(first), int(last)


def _newest(cells: Floats, times: Ints) -> tuple[Floats, Ints]:
    """Return each column's newest sample or staleness marker, and its time; 0 when there is none."""
    found = cells[-1].copy()
    at = np.full(len(found), times[-1])
    missing: Bools = _is_absent(found)
    row = len(times) - 2
    while row >= 0 and missing.any():
        found[missing] = cells[row, missing]
        at[missing] = times[row]
        missing = _is_absent(found)
        row -= 1
    at[missing] = 0
    return found, at


def _is_absent(values: Floats) -> Bools:
    absent: Bools = ~is_sample(values) & (values.view(np.uint64) != STALE_BITS)
    return absent


def _merged(row: int, pieces: Sequence[tuple[Ints, Floats]]) -> Segment:
    times = np.concatenate([each for each, _ in pieces])
    values = np.concatenate([each for _, each in pieces])
    _, first = np.unique(times, return_index=True)
    return Segment(np.array([row]), times[first], values[first].reshape(-1, 1))
