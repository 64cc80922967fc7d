"""Functions of a range that look at how much a series went up or down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, matrix_at
from rules.promql.functions.ranges import Judge, judged
from rules.promql.tree import Call
from rules.promql.values import Floats, Ints, Matrix, Value

NEAR = 1.1
"""A range's edge is near when it is less than this many average intervals away."""


def _extrapolated(*, counter: bool, per_second: bool) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        matrix = matrix_at(0, call, context, evaluate)

        def judge(times: Ints, values: Floats) -> Floats:
            found = _gained(values) if counter else values[-1] - values[0]
            factor = _stretch(matrix, times, values[0], found, counter=counter)
            return found * (factor / ((matrix.end_ms - matrix.start_ms) / 1000) if per_second else factor)

        return judged(matrix, judge, least=2).unnamed()

    return function


def _gained(values: Floats) -> Floats:
    """Return how much a counter gained, where each fall means that it started again from zero."""
    found: Floats = values[-1] - values[0]
    fell = values[1:] < values[:-1]
    columns = np.flatnonzero(fell.any(axis=0))
    if len(columns):
        lost = np.where(fell[:, columns], values[:-1, columns], 0.0)
        for row in lost:  # one after the other: the order of additions shows in the last digit
            found[columns] += row
    return found


def _stretch(matrix: Matrix, times: Ints, first: Floats, gained: Floats, *, counter: bool) -> Floats:
    """Return by what to multiply to get from the samples' span to the whole range.

    To an edge that is near all the way, to another half an interval, and never to before a counter was 0.
    """
    sampled = (times[-1] - times[0]) / 1000
    interval = sampled / (len(times) - 1)
    to_start = _reached((times[0] - matrix.start_ms) / 1000, interval)
    to_end = _reached((matrix.end_ms - times[-1]) / 1000, interval)
    if counter:
        to_zero = sampled * (first / gained)
        to_start = np.where((gained > 0) & (first >= 0) & (to_zero < to_start), to_zero, to_start)
    stretch: Floats = (sampled + to_start + to_end) / sampled
    return stretch


def _reached(distance: Floats, interval: Floats) -> Floats:
    return np.where(distance >= interval * NEAR, interval / 2, distance)


def _rate_now(times: Ints, values: Floats) -> Floats:
    fell = values[-1] < values[-2]
    gained = np.where(fell, values[-1], values[-1] - values[-2])
    found: Floats = gained / ((times[-1] - times[-2]) / 1000)
    return found


def _delta_now(_times: Ints, values: Floats) -> Floats:
    found: Floats = values[-1] - values[-2]
    return found


def _changes(_times: Ints, values: Floats) -> Floats:
    now, before = values[1:], values[:-1]
    changed = (now != before) & ~(np.isnan(now) & np.isnan(before))
    found: Floats = np.sum(changed, axis=0, dtype=np.float64)
    return found


def _resets(_times: Ints, values: Floats) -> Floats:
    found: Floats = np.sum(values[1:] < values[:-1], axis=0, dtype=np.float64)
    return found


def _plain(judge: Judge, *, least: int) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        return judged(matrix_at(0, call, context, evaluate), judge, least=least).unnamed()

    return function


COUNTERS: Mapping[str, Function] = {
    "rate": _extrapolated(counter=True, per_second=True),
    "increase": _extrapolated(counter=True, per_second=False),
    "delta": _extrapolated(counter=False, per_second=False),
    "irate": _plain(_rate_now, least=2),
    "idelta": _plain(_delta_now, least=2),
    "changes": _plain(_changes, least=1),
    "resets": _plain(_resets, least=1),
}
