"""Functions that change labels: `label_replace` and `label_join`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

from rules.errors import EvalError
from rules.labels import NAME, Labels, schema
from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, text_at, vector_at
from rules.promql.functions.replacement import replacement
from rules.promql.matchers import BadPattern
from rules.promql.tree import Call
from rules.promql.values import Rows, Value, Vector, check_apart

Change: TypeAlias = Callable[[Labels], Labels]


def _label_replace(call: Call, context: Context, evaluate: Evaluator) -> Value:
    label, template, source, expression = (text_at(place, call) for place in range(1, 5))
    try:
        replaced = cache(replacement(expression, template).of)
    except BadPattern:
        raise EvalError(f"invalid regular expression in label_replace(): {expression}") from None
    _check_name(label, "destination", call)

    def change(labels: Labels) -> Labels:
        made = replaced(labels.get(source))
        return labels if made is None else _with(labels, label, made)

    return _changed(vector_at(0, call, context, evaluate), change, call, context)


def _label_join(call: Call, context: Context, evaluate: Evaluator) -> Value:
    label, separator = text_at(1, call), text_at(2, call)
    sources = [text_at(place, call) for place in range(3, len(call.args))]
    for source in sources:
        _check_name(source, "source", call)
    _check_name(label, "destination", call)

    def change(labels: Labels) -> Labels:
        return _with(labels, label, separator.join([labels.get(source) for source in sources]))

    return _changed(vector_at(0, call, context, evaluate), change, call, context)


def _check_name(label: str, role: str, call: Call) -> None:
    if not label:
        raise EvalError(f"invalid {role} label name in {call.function}(): {label}")


def _with(labels: Labels, label: str, value: str) -> Labels:
    """Set one label; an empty value takes it away. A hundred thousand at a time, so no dictionaries."""
    if labels.get(label) == value:
        return labels
    if label == NAME:
        return Labels(value, labels.schema, labels.values)
    names, values = labels.schema.names, labels.values
    place = bisect_left(names, label)
    after = place + (names[place : place + 1] == (label,))
    if not value:
        return Labels(labels.name, schema(names[:place] + names[after:]), values[:place] + values[after:])
    changed = (*values[:place], value, *values[after:])
    if after > place:
        return Labels(labels.name, labels.schema, changed)
    return Labels(labels.name, schema((*names[:place], label, *names[after:])), changed)


def _changed(vector: Vector, change: Change, call: Call, context: Context) -> Vector:
    """Return the vector with changed labels, which are worked out when series come or go."""
    rows = context.memo.of(call, (vector.rows,), lambda: _changed_rows(vector.rows, change))
    changed = Vector(rows, vector.values, vector.present)
    if not rows.apart:
        check_apart(changed)
    return changed


def _changed_rows(rows: Rows, change: Change) -> Rows:
    before = list(rows)
    after = [change(labels) for labels in before]
    same = all(new is old for new, old in zip(after, before, strict=True))
    return rows if same else Rows(after)


RELABELLED: Mapping[str, Function] = {
    "label_replace": _label_replace,
    "label_join": _label_join,
}
