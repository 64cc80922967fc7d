"""Finds the word at which an expression stops being one; the parser only says that it is none."""

from __future__ import annotations

import bisect
import re
from itertools import product

import promql_parser as parser

NOT_ONE = "invalid promql query"
_WORD = re.compile(
    r"""\#[^\n]*+|"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?|`[^`]*+`?|[\w:.]++|[=!<>]=|=~|!~|\S"""
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_GOES_ON = ("", " x", " (x)", " (a) x", " (a) (x)", " a) x", " a) (x)", " x)", " 5m", " ()", " ) x", " ) (x)")
_IN_BRACES = ("", ' a="b"', ' ="b"', ' "b"', " a")


def unexpected(text: str) -> tuple[str, int] | None:
    """Return the first word after which nothing can make an expression of it, and its offset."""
    words = [word for word in _WORD.finditer(text) if not word[0].startswith("#")]
    # What cannot go on after one word cannot after more.
    first = bisect.bisect_left(words, x=True, key=lambda word: not _can_go_on(text[: word.end()]))
    return (words[first][0], words[first].start()) if first < len(words) else None


def _can_go_on(text: str) -> bool:
    """Try some ends: any other complaint than that it is no expression means that it reads well so far."""
    open_ones: list[str] = []
    for word in _WORD.finditer(text):
        if word[0] in _CLOSES:
            open_ones.append(_CLOSES[word[0]])
        elif open_ones and word[0] == open_ones[-1]:
            open_ones.pop()
    closed = "".join(reversed(open_ones))
    middles = _IN_BRACES if "}" in closed else _GOES_ON
    return any(_reads(text + middle + end) for middle, end in product(middles, {closed, closed[1:]}))


def _reads(text: str) -> bool:
    try:
        parser.parse(text)
    except ValueError as error:
        return NOT_ONE not in str(error) and "unclosed" not in str(error) and "right " not in str(error)
    return True
