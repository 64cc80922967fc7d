"""Binary operators."""

from __future__ import annotations

from rules.errors import EvalError
from rules.promql.context import Context
from rules.promql.tree import Binary
from rules.promql.values import Value


def binary(node: Binary, lhs: Value, rhs: Value, context: Context) -> Value:
    """Return what the operator makes of both sides."""
    raise EvalError(f"{node.op} {lhs} {rhs} {context}")
