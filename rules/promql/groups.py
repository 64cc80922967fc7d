"""Which rows are aggregated together: worked out once for the rows, then index arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import Labels
from rules.promql.tree import Aggregate
from rules.promql.values import SINGLE, Bools, Floats, Ints, Key, Rows, Vector

Places = NDArray[np.intp]


@dataclass(slots=True, eq=False)
class _Level:
    """One round of adding neighbours up: every group is half as long after it."""

    left: Places
    """The places that stay."""
    paired: Places
    """Which of those that stay have something to their right to take in."""


class Groups:
    """The groups of some rows, in the order in which their first members stand."""

    __slots__ = ("_levels", "of", "order", "rows", "starts")

    def __init__(self, rows: Rows, of: Places) -> None:
        self.rows = rows
        """The labels of each group."""
        self.of = of
        """By row of the vector: its group."""
        self.order: Places = np.argsort(of, kind="stable")
        """The rows, group by group."""
        self.starts: Places = np.searchsorted(of[self.order], np.arange(len(rows)))
        """Where each group begins in `order`."""
        self._levels: tuple[_Level, ...] | None = None

    def counts(self, present: Bools) -> Ints:
        """Return how many elements of each group are there."""
        return np.bincount(self.of[present], minlength=len(self.rows)).astype(np.int64)

    def members(self, group: int, present: Bools) -> Places:
        """Return the rows of a group that are there."""
        end = self.starts[group + 1] if group + 1 < len(self.starts) else len(self.order)
        rows = self.order[self.starts[group] : end]
        found: Places = rows[present[rows]]
        return found

    def reduced(self, function: np.ufunc, vector: Vector, missing: float) -> Floats:
        """Return what `np.fmin` or so makes of each group, `missing` standing in for what is not there."""
        cells = np.where(vector.present, vector.values, missing)[self.order]
        found: Floats = function.reduceat(cells, self.starts)
        return found

    def sums(self, values: Floats, present: Bools) -> Floats:
        """Return the sums, exact to the last digit; infinite or NaN where adding one by one gets there."""
        cells = np.where(present, values, 0.0)
        with np.errstate(all="ignore"):
            rough = np.bincount(self.of, weights=cells, minlength=len(self.rows))
            exact = self._exact(cells[self.order])
        return np.where(np.isfinite(rough) & np.isfinite(exact), exact, rough)

    def _exact(self, high: Floats) -> Floats:
        """Add neighbours until one is left of each group, carrying along what rounding lost."""
        if self._levels is None:
            self._levels = _levels(self.of[self.order])
        low = np.zeros(len(high))
        for level in self._levels:
            right = high[level.left[level.paired] + 1]
            right_low = low[level.left[level.paired] + 1]
            high, low = high[level.left], low[level.left]
            left = high[level.paired]
            total = left + right
            left_part = total - right
            lost = (left - left_part) + (right - (total - left_part))
            high[level.paired] = total
            low[level.paired] += lost + right_low
        return high + low


def groups_of(node: Aggregate, rows: Rows) -> Groups:
    """Return the groups that the aggregation makes of the rows."""
    return grouped(rows, node.grouping, keep=not node.without)


def grouped(rows: Rows, names: frozenset[str], *, keep: bool) -> Groups:
    """Return the groups of rows that are equal in these labels, or in all but these."""
    return rows.kept((Groups, names, keep), lambda: _grouped(rows, names, keep=keep))


def _grouped(rows: Rows, names: frozenset[str], *, keep: bool) -> Groups:
    if keep and not names:
        return Groups(SINGLE if len(rows) else Rows(()), np.zeros(len(rows), dtype=np.intp))
    places: dict[Key, int] = {}
    keys = rows.keys(names, keep=keep)
    of = np.fromiter((places.setdefault(key, len(places)) for key in keys), dtype=np.intp, count=len(keys))
    return Groups(Rows([Labels(name, form, values) for form, values, name in places]), of)


def _levels(of: Places) -> tuple[_Level, ...]:
    """Plan the additions for groups that stand one after the other."""
    levels = []
    while len(of) > 1 and (of[1:] == of[:-1]).any():
        fresh = np.concatenate([[True], of[1:] != of[:-1]])
        within = np.arange(len(of)) - np.maximum.accumulate(np.where(fresh, np.arange(len(of)), 0))
        left = np.flatnonzero(within % 2 == 0)
        after = np.minimum(left + 1, len(of) - 1)
        paired = np.flatnonzero((after > left) & (of[after] == of[left]))
        levels.append(_Level(left, paired))
        of = of[left]
    return tuple(levels)
