"""Functions that turn each element of a vector into another number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, scalar_at, vector_at
from rules.promql.functions.logarithms import binary, decimal, natural
from rules.promql.tree import Call
from rules.promql.values import Floats, Value, Vector

Formula: TypeAlias = Callable[[Floats], Floats]


def mapped(vector: Vector, formula: Formula) -> Vector:
    """Return the vector with other numbers, without metric names."""
    with np.errstate(all="ignore"):
        values = formula(vector.values)
    return Vector(vector.rows, values, vector.present).unnamed()


def _plain(formula: Formula) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        return mapped(vector_at(0, call, context, evaluate), formula)

    return function


def _round(call: Call, context: Context, evaluate: Evaluator) -> Value:
    """Round to a multiple; what lies in the middle goes up."""
    vector = vector_at(0, call, context, evaluate)
    multiple = scalar_at(1, call, context, evaluate) if len(call.args) > 1 else 1.0
    with np.errstate(all="ignore"):
        inverse = 1.0 / np.float64(multiple)
    return mapped(vector, lambda values: np.floor(values * inverse + 0.5) / inverse)


def _clamp(call: Call, context: Context, evaluate: Evaluator) -> Value:
    vector = vector_at(0, call, context, evaluate)
    return _between(vector, scalar_at(1, call, context, evaluate), scalar_at(2, call, context, evaluate))


def _clamp_min(call: Call, context: Context, evaluate: Evaluator) -> Value:
    vector = vector_at(0, call, context, evaluate)
    return _between(vector, scalar_at(1, call, context, evaluate), math.inf)


def _clamp_max(call: Call, context: Context, evaluate: Evaluator) -> Value:
    vector = vector_at(0, call, context, evaluate)
    return _between(vector, -math.inf, scalar_at(1, call, context, evaluate))


def _between(vector: Vector, least: float, most: float) -> Vector:
    if most < least:
        nothing = Vector(vector.rows, vector.values, np.zeros(len(vector.rows), dtype=np.bool_))
        return nothing.unnamed()

    def formula(values: Floats) -> Floats:
        capped = np.where(np.isneginf(values) | (most == -math.inf), -math.inf, np.minimum(most, values))
        return np.where((capped == math.inf) | (least == math.inf), math.inf, np.maximum(least, capped))

    return mapped(vector, formula)


def _abs(values: Floats) -> Floats:
    found: Floats = np.abs(values) + 0.0  # the addition keeps a NaN from becoming a marker of ours
    return found


def _sign(values: Floats) -> Floats:
    return np.where(values < 0, -1.0, np.where(values > 0, 1.0, values))


def _degrees(values: Floats) -> Floats:
    return values * 180 / math.pi


def _radians(values: Floats) -> Floats:
    return values * math.pi / 180


ELEMENTWISE: Mapping[str, Function] = {
    "abs": _plain(_abs),
    "ceil": _plain(np.ceil),
    "floor": _plain(np.floor),
    "exp": _plain(np.exp),
    "sqrt": _plain(np.sqrt),
    "ln": _plain(natural),
    "log2": _plain(binary),
    "log10": _plain(decimal),
    "sin": _plain(np.sin),
    "cos": _plain(np.cos),
    "tan": _plain(np.tan),
    "asin": _plain(np.arcsin),
    "acos": _plain(np.arccos),
    "atan": _plain(np.arctan),
    "sinh": _plain(np.sinh),
    "cosh": _plain(np.cosh),
    "tanh": _plain(np.tanh),
    "asinh": _plain(np.arcsinh),
    "acosh": _plain(np.arccosh),
    "atanh": _plain(np.arctanh),
    "deg": _plain(_degrees),
    "rad": _plain(_radians),
    "sgn": _plain(_sign),
    "round": _round,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
}
