"""`and`, `or`, `unless`."""

from __future__ import annotations

import numpy as np

from rules.promql.context import Memo
from rules.promql.matching import match
from rules.promql.tree import Binary
from rules.promql.values import Bools, Rows, Vector


def combined(node: Binary, lhs: Vector, rhs: Vector, memo: Memo) -> Vector:
    """Return the elements of both sides that stay; those of `or` in this order: left, right."""
    if node.op == "or":
        return _either(node, lhs, rhs, memo)
    matched = _matched(node, lhs, rhs, memo)
    return Vector(lhs.rows, lhs.values, lhs.present & (matched if node.op == "and" else ~matched))


def _either(node: Binary, lhs: Vector, rhs: Vector, memo: Memo) -> Vector:
    rows = memo.of((node, "rows"), (lhs.rows, rhs.rows), lambda: Rows((*lhs.rows, *rhs.rows)))
    more = rhs.present & ~_matched(node, rhs, lhs, memo)
    return Vector(rows, np.concatenate([lhs.values, rhs.values]), np.concatenate([lhs.present, more]))


def _matched(node: Binary, first: Vector, second: Vector, memo: Memo) -> Bools:
    """Tell which rows of the first side have a partner that is there."""
    found = match(node, first.rows, second.rows, memo)
    there = np.zeros(len(found.second.places) + 1, dtype=np.bool_)
    there[found.second.of[second.present]] = True
    matched: Bools = there[found.partner]
    return matched
