"""Walks the tree of an expression at one moment."""

from __future__ import annotations

import numpy as np

from rules.errors import EvalError
from rules.promql import tree
from rules.promql.aggregate import aggregate
from rules.promql.binary import binary
from rules.promql.context import Context
from rules.promql.functions import FUNCTIONS
from rules.promql.gather import gather, steps
from rules.promql.source import Source
from rules.promql.tree import Edge, Node
from rules.promql.values import SINGLE, Matrix, Value, Vector, segments_of


def evaluate(node: Node, context: Context) -> Value:  # noqa: PLR0911 - one for each kind of node
    """Return the node's value; raise EvalError where there is none."""
    match node:
        case tree.Number() | tree.Text():
            return node.value
        case tree.Selector():
            at_ms = moment(node, context)
            return context.source.instants(node, at_ms, context.lookback_ms)
        case tree.Range():
            end_ms = moment(node.selector, context)
            return context.source.ranges(node.selector, end_ms - node.range_ms, end_ms)
        case tree.Subquery():
            return _subquery(node, context)
        case tree.Call():
            return FUNCTIONS[node.function](node, context, evaluate)
        case tree.Aggregate():
            return aggregate(node, context, evaluate)
        case tree.Binary():
            return binary(node, evaluate(node.lhs, context), evaluate(node.rhs, context), context)
        case tree.Negation():
            return _negated(evaluate(node.expr, context))


def moment(node: tree.Selector | tree.Subquery, context: Context) -> int:
    """Return the time that a selector looks at, after `@` and `offset`."""
    at_ms = context.at_ms
    if isinstance(node.at, int):
        at_ms = node.at
    elif node.at is not None:
        at_ms = context.start_ms if node.at is Edge.START else context.end_ms
    return at_ms - node.offset_ms


def _negated(value: Value) -> Value:
    if isinstance(value, Vector):
        return Vector(value.rows, -value.values, value.present).unnamed()
    if isinstance(value, float):
        return -value
    raise EvalError("unary expression only allowed on expressions of type scalar or instant vector")


def _subquery(node: tree.Subquery, context: Context) -> Matrix:
    """Evaluate the inner expression at every multiple of the step that the range holds."""
    end_ms = moment(node, context)
    start_ms = end_ms - node.range_ms
    step_ms = node.step_ms or context.step_ms
    first = (start_ms // step_ms + 1) * step_ms
    found = gather(node.expr, context, steps(first, end_ms, step_ms), evaluate)
    places = np.arange(len(found.rows))
    return Matrix(found.rows, list(segments_of(places, found.times, found.values)), start_ms, end_ms)


def single(value: float) -> Vector:
    """Return a vector of one element without labels."""
    return Vector(SINGLE, np.array([value]), np.array([True]))


__all__ = ["Source", "evaluate", "moment", "single"]
