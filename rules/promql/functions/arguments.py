"""Evaluates the arguments of a function call to the kinds that the function takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from rules.errors import EvalError
from rules.promql.context import Context
from rules.promql.tree import Call, Node, Text
from rules.promql.values import Matrix, Value, Vector

Evaluator: TypeAlias = Callable[[Node, Context], Value]
Function: TypeAlias = Callable[[Call, Context, Evaluator], Value]


def scalar_at(place: int, call: Call, context: Context, evaluate: Evaluator) -> float:
    """Return the argument at this place, a scalar."""
    value = evaluate(call.args[place], context)
    if isinstance(value, float):
        return value
    raise _expected("scalar", call)


def vector_at(place: int, call: Call, context: Context, evaluate: Evaluator) -> Vector:
    """Return the argument at this place, an instant vector."""
    value = evaluate(call.args[place], context)
    if isinstance(value, Vector):
        return value
    raise _expected("instant vector", call)


def matrix_at(place: int, call: Call, context: Context, evaluate: Evaluator) -> Matrix:
    """Return the argument at this place, a range vector."""
    value = evaluate(call.args[place], context)
    if isinstance(value, Matrix):
        return value
    raise _expected("range vector", call)


def text_at(place: int, call: Call) -> str:
    """Return the argument at this place, a string; strings are only ever written out."""
    node = call.args[place]
    if isinstance(node, Text):
        return node.value
    raise _expected("string", call)


def _expected(kind: str, call: Call) -> EvalError:
    return EvalError(f'expected type {kind} in call to function "{call.function}"')
