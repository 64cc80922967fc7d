"""Binary operators."""

from __future__ import annotations

import numpy as np

from rules.errors import EvalError
from rules.promql.context import Context
from rules.promql.operators import SETS, calculated, compared, is_filter
from rules.promql.pairs import paired
from rules.promql.sets import combined
from rules.promql.tree import Binary
from rules.promql.values import Value, Vector


def binary(node: Binary, lhs: Value, rhs: Value, context: Context) -> Value:
    """Return what the operator makes of both sides; raise EvalError where Prometheus does."""
    match lhs, rhs:
        case Vector(), Vector():
            if node.op in SETS:
                return combined(node, lhs, rhs, context.memo)
            return paired(node, lhs, rhs, context.memo)
        case Vector(), float():
            return _with_scalar(node, lhs, rhs, swapped=False)
        case float(), Vector():
            return _with_scalar(node, rhs, lhs, swapped=True)
        case float(), float():
            return float(calculated(node.op, np.float64(lhs), np.float64(rhs)))
        case _:
            raise EvalError("binary expression must contain only scalar and instant vector types")


def _with_scalar(node: Binary, vector: Vector, scalar: float, *, swapped: bool) -> Vector:
    number = np.float64(scalar)
    lhs, rhs = (number, vector.values) if swapped else (vector.values, number)
    if is_filter(node):
        holds = compared(node.op, lhs, rhs)
        return Vector(vector.rows, vector.values, vector.present & holds)
    return Vector(vector.rows, calculated(node.op, lhs, rhs), vector.present).unnamed()
