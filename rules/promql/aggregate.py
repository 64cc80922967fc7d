"""Aggregations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from rules.errors import EvalError
from rules.promql.context import Context
from rules.promql.counted import counted
from rules.promql.functions import Evaluator
from rules.promql.groups import Groups, groups_of
from rules.promql.means import deviations, means, variances
from rules.promql.ordered import outermost, quantiles
from rules.promql.tree import Aggregate
from rules.promql.values import Floats, Value, Vector

Plain: TypeAlias = Callable[[Groups, Vector], Floats]


def aggregate(node: Aggregate, context: Context, evaluate: Evaluator) -> Value:
    """Return the vector of groups; one whose members are all missing is missing too."""
    param = None if node.param is None else evaluate(node.param, context)
    vector = evaluate(node.expr, context)
    if not isinstance(vector, Vector):
        raise EvalError(f"expected type instant vector in aggregation expression, got {node.expr.kind}")
    if node.op == "count_values":
        return counted(node, _text(param), vector, context.memo)
    rows = vector.rows
    groups = context.memo.of((node, "groups"), (rows,), lambda: groups_of(node, rows))
    if node.op in ("topk", "bottomk"):
        return outermost(node, _number(param), vector, groups, context.memo)
    with np.errstate(all="ignore"):
        if node.op == "quantile":
            values = quantiles(_number(param), vector, groups)
        else:
            values = _PLAIN[node.op](groups, vector)
    return Vector(groups.rows, values, groups.counts(vector.present) > 0)


def _sums(groups: Groups, vector: Vector) -> Floats:
    return groups.sums(vector.values, vector.present)


def _minima(groups: Groups, vector: Vector) -> Floats:
    # NaN only where a group has nothing else.
    return groups.reduced(np.fmin, vector, np.nan)


def _maxima(groups: Groups, vector: Vector) -> Floats:
    return groups.reduced(np.fmax, vector, np.nan)


def _counts(groups: Groups, vector: Vector) -> Floats:
    return groups.counts(vector.present).astype(np.float64)


def _ones(groups: Groups, _vector: Vector) -> Floats:
    return np.ones(len(groups.rows))


_PLAIN: Mapping[str, Plain] = {
    "sum": _sums,
    "avg": means,
    "min": _minima,
    "max": _maxima,
    "count": _counts,
    "group": _ones,
    "stddev": deviations,
    "stdvar": variances,
}


def _number(param: Value | None) -> float:
    if not isinstance(param, float):
        raise EvalError("expected type scalar in aggregation parameter")
    return param


def _text(param: Value | None) -> str:
    if not isinstance(param, str):
        raise EvalError("expected type string in aggregation parameter")
    return param
