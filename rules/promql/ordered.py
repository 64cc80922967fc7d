"""Aggregations that put the members of a group in order: `topk`, `bottomk`, `quantile`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rules.errors import EvalError
from rules.promql.context import Memo
from rules.promql.floats import plain
from rules.promql.groups import Groups, Places
from rules.promql.tree import Aggregate
from rules.promql.values import NO_ROWS, Floats, Rows, Vector

_INT64 = 2.0**63


def outermost(node: Aggregate, wanted: float, vector: Vector, groups: Groups, memo: Memo) -> Vector:
    """Return the `wanted` largest or smallest of each group, NaN last, with all their labels, in order."""
    count = _count(wanted)
    values = vector.values if node.op == "bottomk" else -vector.values
    order = np.flatnonzero(vector.present)
    if not count or not len(order):
        return Vector(NO_ROWS, np.empty(0), np.empty(0, dtype=np.bool_))
    if len(groups.rows) == 1 and count < len(order):
        order = _candidates(values, order, count)
    values, of = values[order], groups.of[order]
    sequence = np.lexsort((values, np.isnan(values), of))
    order, of = order[sequence], of[sequence]
    chosen = order[_places_within(of) < count]
    held = memo.of((node, "chosen"), (vector.rows,), _Chosen)
    return Vector(
        held.rows_of(chosen, vector.rows), vector.values[chosen], np.ones(len(chosen), dtype=np.bool_)
    )


def quantiles(phi: float, vector: Vector, groups: Groups) -> Floats:
    """Return the quantile of each group, between two elements if need be; -Inf below 0, +Inf above 1."""
    size = len(groups.rows)
    if math.isnan(phi) or not 0 <= phi <= 1:
        return np.full(size, math.nan if math.isnan(phi) else math.copysign(math.inf, phi))
    there = np.flatnonzero(vector.present)
    values, of = vector.values[there], groups.of[there]
    values = values[np.lexsort((values, ~np.isnan(values), of))]  # NaN is less than everything
    counts = groups.counts(vector.present)
    starts = np.cumsum(counts) - counts
    last = np.maximum(counts - 1, 0)
    rank = phi * last
    lower = np.floor(rank)
    weight = rank - lower
    at = lower.astype(np.int64)
    values = np.append(values, math.nan)  # what groups without members point at
    low, high = values[starts + at], values[starts + np.minimum(last, at + 1)]
    found: Floats = low * (1 - weight) + high * weight
    return found


@dataclass(slots=True)
class _Chosen:
    """The labels of those that were chosen last: often they are chosen again."""

    places: Places | None = None
    rows: Rows = NO_ROWS

    def rows_of(self, places: Places, rows: Rows) -> Rows:
        if self.places is None or not np.array_equal(self.places, places):
            self.places, self.rows = places, Rows([rows[place] for place in places.tolist()])
        return self.rows


def _count(wanted: float) -> int:
    if math.isnan(wanted):
        raise EvalError("Parameter value is NaN")
    if not -_INT64 < wanted < _INT64:
        written = plain(wanted) if math.isinf(wanted) else repr(wanted)
        raise EvalError(f"Scalar value {written} {'over' if wanted > 0 else 'under'}flows int64")
    return max(0, int(wanted))


def _candidates(values: Floats, there: Places, count: int) -> Places:
    """Return those that can be among the first `count`: sorting all would take long."""
    limit = np.partition(values[there], count - 1)[count - 1]
    return there if math.isnan(limit) else there[values[there] <= limit]


def _places_within(of: Places) -> Places:
    """Return each element's place in its group; groups stand one after the other."""
    places = np.arange(len(of))
    fresh = np.concatenate([[True], of[1:] != of[:-1]])
    found: Places = places - np.maximum.accumulate(np.where(fresh, places, 0))
    return found
