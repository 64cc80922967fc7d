"""Looks through the text of an expression before it is parsed: what the parser cannot bear stops here."""

from __future__ import annotations

import re

from rules.errors import ParseError
from rules.labels import quoted

LENGTH_MAX = 256 * 1024
NESTING_MAX = 150
"""How deep parentheses may be nested; the parser's stack, and ours, are finite."""
OPERATORS_MAX = 1000
"""As many in a row are as deep for the parser."""
# Each alternative takes what it begins with to its end, terminated or not: no text is looked at twice.
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*+)
    |(?P<raw>`[^`]*+`?)
    |(?P<text>"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?)
    |(?P<past>@\s*+-)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<operator>[-+*/%^<>=!\[]|\b(?:and|or|unless|atan2)\b)""",
    re.VERBOSE | re.IGNORECASE,
)


def scanned(text: str) -> str:
    """Return the text for the parser, raw strings as ordinary ones; raise ParseError when it is too much."""
    if len(text) > LENGTH_MAX:
        raise ParseError(f"the expression is {len(text)} characters long; {LENGTH_MAX} are permitted")
    parts: list[str] = []
    done = depth = operators = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        depth += (kind == "open") - (kind == "close")
        operators += kind == "operator"
        problem = _problem(kind, depth, operators)
        if problem:
            raise ParseError(problem, *line_column(text, token.start()))
        if kind == "raw" and len(token[0]) > 1 and token[0].endswith("`"):
            # The parser looks for escapes in them, too.
            parts += [text[done : token.start()], quoted(token[0][1:-1])]
            done = token.end()
    return "".join([*parts, text[done:]])


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _problem(kind: str | None, depth: int, operators: int) -> str:
    if kind == "close" and depth < 0:
        return "unexpected right parenthesis ')'"
    if depth > NESTING_MAX:
        return (
            f"parentheses are nested more than {NESTING_MAX} deep; record parts of it by rules of their own"
        )
    if operators > OPERATORS_MAX:
        return f"it has more than {OPERATORS_MAX} operators; record parts of it by rules of their own"
    return "`@` with a time before 1970 is not supported" if kind == "past" else ""
