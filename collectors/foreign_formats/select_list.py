"""The names of the columns that a query gives, read from its text: for files that do not tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<string>[eE]?'(?:[^'\\]|''|\\.)*'|(?P<tag>\$[A-Za-z_]*\$).*?(?P=tag))
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
      | (?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)
      | (?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)
_ENDS = frozenset(
    ("from", "where", "group", "having", "window", "union", "intersect", "except", "order", "limit", "offset")
)
_NOT_A_NAME = frozenset(
    ("end", "null", "true", "false", "current_date", "current_timestamp", "isnull", "notnull")
)
_NEEDS_MORE = frozenset(
    (
        "and",
        "or",
        "not",
        "is",
        "in",
        "like",
        "ilike",
        "between",
        "zone",
        "to",
        "similar",
        "collate",
        "then",
        "else",
    )
)


class Unnamed(Exception):
    """A column whose name cannot be told from the text, and what to do."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    depth: int

    @property
    def name(self) -> str:
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text.lower()


def output_columns(sql: str) -> list[str]:
    """Return the names in order; raise Unnamed where one cannot be told."""
    items = _items(_tokens(sql))
    return [_name(item, number) for number, item in enumerate(items, 1)]


def _tokens(sql: str) -> list[_Token]:
    tokens, depth = [], 0
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup or "", match[0]
        kind = "string" if kind == "tag" else kind
        if kind == "gap":
            continue
        if text in (")", "]"):
            depth -= 1
        tokens.append(_Token(kind, text, depth))
        if text in ("(", "["):
            depth += 1
    return tokens


def _items(tokens: list[_Token]) -> list[list[_Token]]:
    start = next((at for at, one in enumerate(tokens) if _is_word(one, "select")), -1)
    if start < 0:
        raise Unnamed("the query has no SELECT of its own whose columns could be read")
    rest = tokens[start + 1 :]
    if rest and _is_word(rest[0], "all"):
        rest = rest[1:]
    elif rest and _is_word(rest[0], "distinct"):
        rest = rest[1:]
        if rest and _is_word(rest[0], "on"):
            close = next((at for at, one in enumerate(rest) if one.text == ")" and one.depth == 0), 0)
            rest = rest[close + 1 :]
    items: list[list[_Token]] = [[]]
    for token in rest:
        if token.depth == 0 and (token.text == ";" or (token.kind == "word" and token.name in _ENDS)):
            break
        if token.depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
    return items


def _name(item: list[_Token], number: int) -> str:
    if not item:
        raise Unnamed(f"column {number} is empty")
    if item[-1].text == "*" and (len(item) == 1 or item[-2].text == "."):
        raise Unnamed("`*` does not tell its columns: write them out")
    last, before = item[-1], item[-2] if len(item) > 1 else None
    if last.depth == 0 and last.kind in ("word", "quoted") and _is_alias(last, before):
        return last.name
    return _of_expression(item, number)


def _is_alias(last: _Token, before: _Token | None) -> bool:
    if before is not None and _is_word(before, "as"):
        return True
    if last.kind == "word" and last.name in _NOT_A_NAME:
        return False
    if before is None or before.text == ".":
        return True
    if before.kind == "word":
        return before.name not in _NEEDS_MORE
    return before.kind in ("quoted", "string", "number") or before.text in (")", "]")


def _of_expression(item: list[_Token], number: int) -> str:
    """Name a plain column or function call, cast or not, as PostgreSQL does."""
    top = [token for token in item if token.depth == 0]
    cut = next((at for at, token in enumerate(top) if token.text == "::"), len(top))
    core = [token.text for token in top[:cut]]
    names = [token for token in top[:cut] if token.kind in ("word", "quoted")]
    dots = core.count(".")
    call = core[-2:] == ["(", ")"]
    plain = len(core) == len(names) + dots + (2 if call else 0) and len(names) == dots + 1
    if not plain or (names[-1].kind == "word" and names[-1].name in _NOT_A_NAME):
        raise Unnamed(f"column {number} has no name that can be told: give it one with `as`")
    return names[-1].name


def _is_word(token: _Token, word: str) -> bool:
    return token.depth == 0 and token.kind == "word" and token.name == word
