"""What the binary operators do to numbers, with Go's floats: nothing raises, division by zero is infinite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from rules.promql.tree import Binary
from rules.promql.values import Bools, Floats

Number: TypeAlias = Floats | np.float64
Arithmetic: TypeAlias = Callable[[Number, Number], Floats]
Comparison: TypeAlias = Callable[[Number, Number], Bools]

ARITHMETIC: Mapping[str, Arithmetic] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,  # like Go's math.Mod: the sign is the dividend's
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: Mapping[str, Comparison] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}
SETS = frozenset({"and", "or", "unless"})


def is_filter(node: Binary) -> bool:
    """Tell whether it takes elements away instead of calculating new ones."""
    return node.op in COMPARISONS and not node.returns_bool


def calculated(op: str, lhs: Number, rhs: Number) -> Floats:
    """Return the numbers that an arithmetic operator gives; a comparison gives 1 and 0."""
    with np.errstate(all="ignore"):
        if op in ARITHMETIC:
            return ARITHMETIC[op](lhs, rhs)
        return COMPARISONS[op](lhs, rhs).astype(np.float64)


def compared(op: str, lhs: Number, rhs: Number) -> Bools:
    """Return where a comparison holds."""
    with np.errstate(all="ignore"):
        return COMPARISONS[op](lhs, rhs)
