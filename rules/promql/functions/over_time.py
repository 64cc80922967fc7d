"""Functions that sum up the samples of a range: `*_over_time`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.absence import absence
from rules.promql.functions.arguments import Evaluator, Function, matrix_at, scalar_at
from rules.promql.functions.compensated import averaged, summed, variance
from rules.promql.functions.ranges import Judge, judged
from rules.promql.tree import Call
from rules.promql.values import Floats, Ints, Value


def _named(judge: Judge) -> Function:
    """Make a function whose result keeps the metric's name."""

    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        return judged(matrix_at(0, call, context, evaluate), judge)

    return function


def _plain(judge: Judge) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        return judged(matrix_at(0, call, context, evaluate), judge).unnamed()

    return function


def _average(_times: Ints, values: Floats) -> Floats:
    return averaged(values)


def _sum(_times: Ints, values: Floats) -> Floats:
    return summed(values)


def _deviation(_times: Ints, values: Floats) -> Floats:
    return np.sqrt(variance(values))


def _variance(_times: Ints, values: Floats) -> Floats:
    return variance(values)


def _least(_times: Ints, values: Floats) -> Floats:
    """NaN only when all samples are."""
    found: Floats = np.fmin.reduce(values, axis=0)
    return found


def _greatest(_times: Ints, values: Floats) -> Floats:
    found: Floats = np.fmax.reduce(values, axis=0)
    return found


def _count(_times: Ints, values: Floats) -> Floats:
    return np.full(values.shape[1], float(len(values)))


def _last(_times: Ints, values: Floats) -> Floats:
    found: Floats = values[-1]
    return found


def _one(_times: Ints, values: Floats) -> Floats:
    return np.ones(values.shape[1])


def _quantile_over_time(call: Call, context: Context, evaluate: Evaluator) -> Value:
    share = scalar_at(0, call, context, evaluate)

    def judge(_times: Ints, values: Floats) -> Floats:
        return quantiles(share, values)

    return judged(matrix_at(1, call, context, evaluate), judge).unnamed()


def quantiles(share: float, values: Floats) -> Floats:
    """Return the quantile of each column; NaN counts as less than any number."""
    if not 0 <= share <= 1:
        outside = math.nan if math.isnan(share) else math.copysign(math.inf, share)
        return np.full(values.shape[1], outside)
    ordered = np.sort(values, axis=0)
    rank = share * (len(values) - 1)
    lower = math.floor(rank)
    upper = min(len(values) - 1, lower + 1)
    weight = rank - lower
    unknown = np.count_nonzero(np.isnan(values), axis=0)  # numpy has them last, Prometheus first
    columns = np.arange(values.shape[1])
    low = ordered[(lower - unknown) % len(values), columns]
    high = ordered[(upper - unknown) % len(values), columns]
    found: Floats = low * (1 - weight) + high * weight
    return found


def _absent_over_time(call: Call, context: Context, evaluate: Evaluator) -> Value:
    matrix = matrix_at(0, call, context, evaluate)
    return absence(call, context, missing=not any(len(each.places) for each in matrix.segments))


OVER_TIME: Mapping[str, Function] = {
    "avg_over_time": _plain(_average),
    "min_over_time": _plain(_least),
    "max_over_time": _plain(_greatest),
    "sum_over_time": _plain(_sum),
    "count_over_time": _plain(_count),
    "quantile_over_time": _quantile_over_time,
    "stddev_over_time": _plain(_deviation),
    "stdvar_over_time": _plain(_variance),
    "last_over_time": _named(_last),
    "present_over_time": _plain(_one),
    "absent_over_time": _absent_over_time,
}
