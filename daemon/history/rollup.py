"""One-minute rollups: the smallest, the largest, the mean and the last value of each minute."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daemon.history.planes import Ints
from rules.promql.values import ABSENT, ABSENT_BITS, STALE, STALE_BITS, Floats

MINUTE_MS = 60_000


_DIGITS = 15


class Column(enum.StrEnum):
    """What a rollup says of a minute."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


class Rollup(NamedTuple):
    """Values of whole minutes; a minute's time is its end, which belongs to it.

    NaN counts only where a minute has nothing else. A minute that ends with a staleness marker has it as
    its last value, and in the other columns when there was no sample before it.
    """

    times: Ints
    last: Floats
    min: Floats
    max: Floats
    sum: Floats
    """To fifteen digits."""
    counts: Floats
    """Of the samples that are summed up; at least 1."""

    def column(self, column: Column) -> Floats:
        """Return one value a minute."""
        if column is Column.MEAN:
            return mean(self.sum, self.counts)
        return {Column.LAST: self.last, Column.MIN: self.min, Column.MAX: self.max}[column]


def mean(sums: Floats, counts: Floats) -> Floats:
    """Return means; what is no number stays the same."""
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(np.isnan(sums) | (counts == 1), sums, sums / counts)
    return found


def rolled(times: Ints, values: Floats) -> Rollup:
    """Roll up values[T, N] at ascending times."""
    ends = -(-times // MINUTE_MS) * MINUTE_MS
    starts = np.flatnonzero(np.diff(ends, prepend=ends[0] - 1))
    bits = values.view(np.uint64)
    absent = bits == ABSENT_BITS
    marked = absent | (bits == STALE_BITS)
    number = ~np.isnan(values)
    counts = np.add.reduceat(number, starts, axis=0, dtype=np.int64)
    no_sample = np.where(np.logical_and.reduceat(absent, starts, axis=0), ABSENT, STALE)
    nothing = np.where(np.logical_and.reduceat(marked, starts, axis=0), no_sample, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(np.where(number, values, 0.0), starts, axis=0)
    return Rollup(
        times=ends[starts],
        last=_lasts(values, absent, starts),
        min=np.where(
            counts > 0, np.minimum.reduceat(np.where(number, values, np.inf), starts, axis=0), nothing
        ),
        max=np.where(
            counts > 0, np.maximum.reduceat(np.where(number, values, -np.inf), starts, axis=0), nothing
        ),
        sum=np.where(counts > 0, _rounded(sums), nothing),
        counts=np.maximum(counts, 1).astype(np.float64),
    )


def _rounded(values: Floats) -> Floats:
    """Round to fifteen digits: sums of numbers with few decimals have few decimals again."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = _DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.where((places >= 0) & (places <= 22), places, 0.0)  # noqa: PLR2004 - exact powers
        rounded = np.rint(values * scale) / scale
    found: Floats = np.where((places >= 0) & (places <= 22), rounded, values)  # noqa: PLR2004
    return found


def _lasts(values: Floats, absent: NDArray[np.bool_], starts: NDArray[np.intp]) -> Floats:
    rows = np.where(absent, -1, np.arange(len(values))[:, None])
    newest = np.maximum.reduceat(rows, starts, axis=0)
    lasts = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    found: Floats = np.where(newest < starts[:, None], ABSENT, lasts)
    return found
