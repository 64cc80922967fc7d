"""Functions that lay a straight line through the samples of a range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, matrix_at, scalar_at
from rules.promql.functions.compensated import summed
from rules.promql.functions.ranges import judged
from rules.promql.tree import Call
from rules.promql.values import Floats, Ints, Value


def _deriv(call: Call, context: Context, evaluate: Evaluator) -> Value:
    def judge(times: Ints, values: Floats) -> Floats:
        return _line(times, values, times[0])[0]

    return judged(matrix_at(0, call, context, evaluate), judge, least=2).unnamed()


def _predict_linear(call: Call, context: Context, evaluate: Evaluator) -> Value:
    matrix = matrix_at(0, call, context, evaluate)
    ahead = scalar_at(1, call, context, evaluate)

    def judge(times: Ints, values: Floats) -> Floats:
        slope, now = _line(times, values, np.int64(context.at_ms))
        return slope * ahead + now

    return judged(matrix, judge, least=2).unnamed()


def _line(times: Ints, values: Floats, origin: Ints | np.int64) -> tuple[Floats, Floats]:
    """Return the slope per second of the least squares, and where the line is at the origin."""
    count = float(len(times))
    x = (times - origin) / 1000
    sum_x, sum_y = summed(x), summed(values)
    sum_xy, sum_xx = summed(x * values), summed(x * x)
    slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count)
    now = sum_y / count - slope * sum_x / count
    level = (values[1:] == values[0]).all(axis=0)
    if level.any():
        endless = np.isinf(values[0])
        slope = np.where(level, np.where(endless, np.nan, 0.0), slope)
        now = np.where(level, np.where(endless, np.nan, values[0]), now)
    return slope, now


REGRESSION: Mapping[str, Function] = {
    "deriv": _deriv,
    "predict_linear": _predict_linear,
}
