"""Functions that change labels: `label_replace` and `label_join`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol, TypeAlias, cast

from rules.errors import EvalError
from rules.labels import NAME, Labels, schema
from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, text_at, vector_at
from rules.promql.matchers import BadPattern, pattern
from rules.promql.tree import Call
from rules.promql.values import Rows, Value, Vector, check_apart

GROUP_MAX = 100_000_000
"""A longer number in a replacement is a name."""


class _Found(Protocol):
    def group(self, number: int) -> str | None: ...


class _Pattern(Protocol):
    groups: int
    groupindex: Mapping[str, int]

    def fullmatch(self, text: str) -> _Found | None: ...


Change: TypeAlias = Callable[[Labels], Labels]


def _label_replace(call: Call, context: Context, evaluate: Evaluator) -> Value:
    label, replacement, source, expression = (text_at(place, call) for place in range(1, 5))
    try:
        regex = cast("_Pattern", pattern(expression))
    except BadPattern:
        raise EvalError(f"invalid regular expression in label_replace(): {expression}") from None
    _check_name(label, "destination", call)
    template = _template(replacement, regex)

    @cache
    def replaced(value: str) -> str | None:
        found = regex.fullmatch(value)
        if found is None:
            return None
        return "".join([each if isinstance(each, str) else found.group(each) or "" for each in template])

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


def _template(text: str, regex: _Pattern) -> list[str | int]:
    """Take a replacement apart into texts and numbers of groups, by the rules of Go's regexp.Expand."""
    parts: list[str | int] = []
    while True:
        before, dollar, text = text.partition("$")
        parts.append(before)
        if not dollar:
            return parts
        if text.startswith("$"):
            parts.append("$")
            text = text[1:]
            continue
        name, rest = _group_name(text)
        if not name:
            parts.append("$")
            continue
        text = rest
        group = _group(name, regex)
        if group is not None:
            parts.append(group)


def _group_name(text: str) -> tuple[str, str]:
    """Return the name that follows a dollar and what comes after it; no name where it is malformed."""
    braces = text.startswith("{")
    start = int(braces)
    end = start
    while end < len(text) and (text[end] == "_" or text[end].isalpha() or text[end].isdecimal()):
        end += 1
    name = text[start:end]
    if not braces:
        return name, text[end:]
    return (name, text[end + 1 :]) if text[end : end + 1] == "}" else ("", text)


def _group(name: str, regex: _Pattern) -> int | None:
    """Return the number of the group of this name or number; None when there is none."""
    numeric = name.isascii() and name.isdecimal() and (name == "0" or name[0] != "0")
    if numeric and int(name) < GROUP_MAX:
        return int(name) if int(name) <= regex.groups else None
    return regex.groupindex.get(name)


RELABELLED: Mapping[str, Function] = {
    "label_replace": _label_replace,
    "label_join": _label_join,
}
