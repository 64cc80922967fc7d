"""Functions that make vectors of numbers and numbers of vectors, or put a vector in order."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.absence import absence
from rules.promql.functions.arguments import Evaluator, Function, scalar_at, vector_at
from rules.promql.tree import Call
from rules.promql.values import SINGLE, Rows, Value, Vector


def _pi(_call: Call, _context: Context, _evaluate: Evaluator) -> Value:
    return math.pi


def _vector(call: Call, context: Context, evaluate: Evaluator) -> Value:
    return Vector(SINGLE, np.array([scalar_at(0, call, context, evaluate)]), np.array([True]))


def _scalar(call: Call, context: Context, evaluate: Evaluator) -> Value:
    """Give the one element's value; NaN when there is not just one."""
    vector = vector_at(0, call, context, evaluate)
    there = np.flatnonzero(vector.present)
    return float(vector.values[there[0]]) if len(there) == 1 else math.nan


def _absent(call: Call, context: Context, evaluate: Evaluator) -> Value:
    vector = vector_at(0, call, context, evaluate)
    return absence(call, context, missing=not vector.present.any())


def _sorted(*, falling: bool) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        vector = vector_at(0, call, context, evaluate)
        there = np.flatnonzero(vector.present)
        values = vector.values[there]
        order = there[np.argsort(-values if falling else values, kind="stable")]  # NaN goes last in both
        rows = Rows([vector.rows[int(row)] for row in order])
        return Vector(rows, vector.values[order], np.ones(len(order), dtype=np.bool_))

    return function


VECTORS: Mapping[str, Function] = {
    "pi": _pi,
    "vector": _vector,
    "scalar": _scalar,
    "absent": _absent,
    "sort": _sorted(falling=False),
    "sort_desc": _sorted(falling=True),
}
