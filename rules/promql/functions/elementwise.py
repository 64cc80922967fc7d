"""Functions that turn each element of a vector into another number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, scalar_at, vector_at
from rules.promql.tree import Call
from rules.promql.values import Floats, Value, Vector

Formula: TypeAlias = Callable[[Floats], Floats]

BITS = 1.4426950408889634073599246810019
"""The binary logarithm of e; divided as floats, it would be another number."""
DIGITS = 0.30102999566398119521373889472449
"""The decimal logarithm of 2."""


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


def _log2(values: Floats) -> Floats:
    """Powers of two are exact, all else through the natural logarithm, as in Go."""
    part, power = np.frexp(values)
    found = np.log(part) * BITS + power
    found = np.where(part == 0.5, power - 1.0, found)  # noqa: PLR2004 - how frexp writes a power of two
    return np.where((values > 0) & (values < math.inf), found, np.log2(values))


def _log10(values: Floats) -> Floats:
    """By way of the binary logarithm, as in Go: of 1000 it is a little less than 3."""
    return _log2(values) * DIGITS


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
    "ln": _plain(np.log),
    "log2": _plain(_log2),
    "log10": _plain(_log10),
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
