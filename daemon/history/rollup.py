"""One-minute rollups: the smallest, the largest, the mean and the last value of each minute."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daemon.history.planes import Ints
from rules.promql.values import ABSENT, ABSENT_BITS, STALE, STALE_BITS, Floats

MINUTE_MS = 60_000


class Column(enum.StrEnum):
    """What a rollup says of a minute."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


class Rollup(NamedTuple):
    """Values of whole minutes; a minute's time is its end, which belongs to it."""

    times: Ints
    columns: dict[Column, Floats]


def rolled(times: Ints, values: Floats) -> Rollup:
    """Roll up values[T, N] at ascending times.

    NaN counts only where a minute has nothing else. A minute that ends with a staleness marker has it as
    its last value, and in every column when there was no sample before it.
    """
    ends = -(-times // MINUTE_MS) * MINUTE_MS
    starts = np.flatnonzero(np.diff(ends, prepend=ends[0] - 1))
    bits = values.view(np.uint64)
    stale, absent = bits == STALE_BITS, bits == ABSENT_BITS
    number = ~np.isnan(values)
    counts = np.add.reduceat(number, starts, axis=0, dtype=np.int64)
    nothing = np.where(
        np.logical_and.reduceat(absent, starts, axis=0),
        ABSENT,
        np.where(np.logical_and.reduceat(stale | absent, starts, axis=0), STALE, np.nan),
    )
    given = {
        Column.MIN: np.minimum.reduceat(np.where(number, values, np.inf), starts, axis=0),
        Column.MAX: np.maximum.reduceat(np.where(number, values, -np.inf), starts, axis=0),
        Column.MEAN: _means(np.where(number, values, 0.0), starts, counts),
    }
    columns = {column: np.where(counts > 0, found, nothing) for column, found in given.items()}
    columns[Column.LAST] = _lasts(values, absent, starts)
    return Rollup(ends[starts], columns)


def _means(values: Floats, starts: NDArray[np.intp], counts: Ints) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(values, starts, axis=0)
        means: Floats = sums / np.maximum(counts, 1)
    # Values that are all alike have themselves as their mean, whatever the sum lost.
    firsts = values[starts]
    lows, highs = np.minimum.reduceat(values, starts, axis=0), np.maximum.reduceat(values, starts, axis=0)
    return np.where(lows == highs, firsts, means)


def _lasts(values: Floats, absent: NDArray[np.bool_], starts: NDArray[np.intp]) -> Floats:
    rows = np.where(absent, -1, np.arange(len(values))[:, None])
    newest = np.maximum.reduceat(rows, starts, axis=0)
    lasts = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    found: Floats = np.where(newest < starts[:, None], ABSENT, lasts)
    return found
