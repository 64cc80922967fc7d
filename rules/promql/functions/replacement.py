"""Replacements of text by the rules of Go's `regexp`: what `label_replace` makes of a label's value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, cast

from rules.promql.matchers import pattern

DIGITS_MAX = 9
"""A longer number names no group."""
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
"""Two dollars, `${name}`, or `$name` as far as letters, digits and underscores go."""


class _Found(Protocol):
    def group(self, number: int) -> str | None: ...


class _Pattern(Protocol):
    groups: int
    groupindex: Mapping[str, int]

    def fullmatch(self, text: str) -> _Found | None: ...


@lru_cache(maxsize=1024)
def replacement(expression: str, template: str) -> Replacement:
    """Return the same replacement for the same texts; see there."""
    return Replacement(expression, template)


class Replacement:
    """A regular expression that has to match the whole text, and what to put in its place.

    Raises `BadPattern` when RE2 does not take the expression.
    """

    def __init__(self, expression: str, template: str) -> None:
        self._pattern = cast("_Pattern", pattern(expression))
        self._parts = _template(template, self._pattern)

    def of(self, text: str) -> str | None:
        """Return what the text becomes; None when it does not match."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        return "".join([each if isinstance(each, str) else found.group(each) or "" for each in self._parts])


def _template(text: str, regex: _Pattern) -> list[str | int]:
    """Take a replacement apart into texts and numbers of groups, by the rules of Go's regexp.Expand."""
    parts: list[str | int] = []
    end = 0
    for reference in _REFERENCE.finditer(text):
        parts.append(text[end : reference.start()])
        end = reference.end()
        name = reference[2] or reference[3]
        group = "$" if name is None else _group(name, regex)
        if group is not None:
            parts.append(group)
    return [*parts, text[end:]]


def _group(name: str, regex: _Pattern) -> int | None:
    """Return the number of the group of this name or number; None when there is none."""
    if not (name.isascii() and name.isdecimal()):
        return regex.groupindex.get(name)
    if name[0] == "0" and name != "0":
        return None
    return int(name) if len(name) <= DIGITS_MAX and int(name) <= regex.groups else None
