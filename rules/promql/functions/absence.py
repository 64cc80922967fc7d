"""What `absent` and `absent_over_time` answer: one element with the labels that the selector fixes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rules.labels import NAME, labels_of
from rules.promql.context import Context
from rules.promql.matchers import Matcher, MatchOp
from rules.promql.tree import Call, Range, Selector
from rules.promql.values import Rows, Vector


def absence(call: Call, context: Context, *, missing: bool) -> Vector:
    """Return 1 when nothing is there, nothing otherwise."""
    rows = context.memo.of(call, (), lambda: Rows((labels_of(_fixed(_matchers(call))),)))
    return Vector(rows, np.ones(1), np.array([missing]))


def _matchers(call: Call) -> tuple[Matcher, ...]:
    argument = call.args[0]
    if isinstance(argument, Range):
        argument = argument.selector
    return argument.matchers if isinstance(argument, Selector) else ()


def _fixed(matchers: Iterable[Matcher]) -> dict[str, str]:
    """Return the labels with one equality; a second condition on a label takes it away again."""
    fixed: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.name == NAME:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in seen:
            fixed[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            fixed.pop(matcher.name, None)
    return fixed
