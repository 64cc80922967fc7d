"""Aggregations."""

from __future__ import annotations

from rules.errors import EvalError
from rules.promql.context import Context
from rules.promql.functions import Evaluator
from rules.promql.tree import Aggregate
from rules.promql.values import Value


def aggregate(node: Aggregate, context: Context, evaluate: Evaluator) -> Value:
    """Return the vector of groups."""
    raise EvalError(f"{node.op} {context} {evaluate}")
