"""Samples on their way: sheets as they came, and tables of many series made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daemon.history.chunk import seal, unseal
from daemon.history.planes import Ints
from rules.labels import Labels, labels_of
from rules.promql.values import ABSENT, ABSENT_BITS, Floats


class Sheet(NamedTuple):
    """Samples of some series at the same times: `values[t, s]` is of series s at `times[t]`."""

    series: Sequence[Labels]
    times: Ints
    """Unix milliseconds."""
    values: Floats


class Samples(NamedTuple):
    """The samples of one series, times ascending; staleness markers are among them."""

    labels: Labels
    times: Ints
    values: Floats


def split(sheet: Sheet, span_ms: int) -> Iterator[tuple[int, Sheet]]:
    """Give the parts of a sheet by the span of time they lie in; its right edge belongs to a span."""
    spans = (sheet.times - 1) // span_ms
    first = int(spans[0])
    if (spans == first).all():
        yield first, sheet
        return
    for span in np.unique(spans):
        rows = spans == span
        yield int(span), Sheet(sheet.series, sheet.times[rows], sheet.values[rows])


def ordered(times: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Sort rows by time; of rows at one time, a later one wins wherever it has something."""
    if (np.diff(times) > 0).all():
        return times, values
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    starts = np.flatnonzero(np.diff(times, prepend=times[0] - 1))
    if len(starts) == len(times):
        return times, values
    there = values.view(np.uint64) != ABSENT_BITS
    rows = np.where(there, np.arange(len(times))[:, None], -1)
    newest = np.maximum(np.maximum.reduceat(rows, starts, axis=0), 0)
    found = np.take_along_axis(values, newest, axis=0)
    # Where no row of that time has a sample, row 0 was taken in its place.
    found[~np.logical_or.reduceat(there, starts, axis=0)] = ABSENT
    return times[starts], found


def assembled(sheets: Iterable[Sheet]) -> list[Sheet]:
    """Join sheets into as few as possible: series that came together, or at the same times.

    Of two samples of one series at one time, that of the later sheet wins.
    """
    merged = [_merged(group) for group in _sharing(stacked(sheets))]
    by_times: dict[bytes, list[Sheet]] = {}
    for sheet in merged:
        by_times.setdefault(sheet.times.tobytes(), []).append(sheet)
    return [_beside(group) for group in by_times.values()]


def stacked(sheets: Iterable[Sheet]) -> list[Sheet]:
    """Put sheets with the same `series` object into one, times ascending."""
    by_object: dict[int, list[Sheet]] = {}
    for sheet in sheets:
        by_object.setdefault(id(sheet.series), []).append(sheet)
    return [
        Sheet(
            parts[0].series,
            *ordered(
                np.concatenate([part.times for part in parts]),
                np.concatenate([part.values for part in parts]),
            ),
        )
        for parts in by_object.values()
    ]


def packed_series(series: Sequence[Labels]) -> bytes:
    """Write label sets in few bytes."""
    return seal(json.dumps([list(labels.items()) for labels in series], ensure_ascii=False).encode())


@lru_cache(maxsize=1024)
def unpacked_series(data: bytes) -> tuple[Labels, ...]:
    """Return the label sets; raise Damaged."""
    return tuple(labels_of((name, value) for name, value in pairs) for pairs in json.loads(unseal(data)))


def _sharing(sheets: Sequence[Sheet]) -> list[list[Sheet]]:
    """Group sheets that have a series in common, directly or through others; they keep their order."""
    leads = list(range(len(sheets)))

    def lead(place: int) -> int:
        while leads[place] != place:
            leads[place] = leads[leads[place]]
            place = leads[place]
        return place

    seen: dict[Labels, int] = {}
    for place, sheet in enumerate(sheets):
        for labels in sheet.series:
            leads[lead(seen.setdefault(labels, place))] = lead(place)
    groups: dict[int, list[Sheet]] = {}
    for place, sheet in enumerate(sheets):
        groups.setdefault(lead(place), []).append(sheet)
    return list(groups.values())


def _merged(group: Sequence[Sheet]) -> Sheet:
    if len(group) == 1:
        return group[0]
    columns: dict[Labels, int] = {}
    for sheet in group:
        for labels in sheet.series:
            columns.setdefault(labels, len(columns))
    times = np.concatenate([sheet.times for sheet in group])
    values = np.full((len(times), len(columns)), ABSENT)
    row = 0
    for sheet in group:
        places = [columns[labels] for labels in sheet.series]
        values[row : row + len(sheet.times), places] = sheet.values
        row += len(sheet.times)
    return Sheet(tuple(columns), *ordered(times, values))


def _beside(group: Sequence[Sheet]) -> Sheet:
    """Put sheets with the same times side by side, series in order of their names."""
    series = [labels for sheet in group for labels in sheet.series]
    values = np.concatenate([sheet.values for sheet in group], axis=1)
    order = sorted(range(len(series)), key=lambda place: (series[place].name, series[place].values))
    return Sheet(tuple(series[place] for place in order), group[0].times, values[:, order])
