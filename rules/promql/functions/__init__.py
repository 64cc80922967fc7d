"""The functions of PromQL by name; each gets its call, the context and the evaluator of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from rules.promql.context import Context
from rules.promql.tree import Call, Node
from rules.promql.values import Value

Evaluator: TypeAlias = Callable[[Node, Context], Value]
Function: TypeAlias = Callable[[Call, Context, Evaluator], Value]

FUNCTIONS: Mapping[str, Function] = {}
