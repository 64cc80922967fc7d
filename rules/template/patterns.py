"""Regular expressions of templates: RE2's, replaced and refused in Go's way."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

from rules.template.errors import CallFailed, OverLimit
from rules.template.printing import LONGEST, MOST_PIECES
from rules.template.quoting import to_bytes, to_text


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern is found anywhere in the text."""
    try:
        return _compiled(pattern).search(to_bytes(text)) is not None
    except _BadPattern as error:
        raise CallFailed(f"error parsing regexp: {error}") from None


def replace_all(pattern: str, replacement: str, text: str) -> str:
    """Replace all matches; `$1`, `${1}` and `${name}` stand for groups, `$$` for a dollar sign."""
    try:
        compiled = _compiled(pattern)
    except _BadPattern as error:
        shown = f"`{pattern}`" if "`" not in pattern else f'"{pattern}"'
        raise CallFailed(f"regexp: Compile({shown}): error parsing regexp: {error}") from None
    return to_text(_replaced(compiled, to_bytes(replacement), to_bytes(text)))


class _BadPattern(Exception):
    pass


_LARGEST = 10_000
_GROUP = re.compile(rb"\$(?:(\$)|(\w+)|\{(\w+)\})")
_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.", re.DOTALL)
_UNKNOWN = r"\y"
_COUNTED = 2
_MEMORY = 8 << 20
_IN_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "unexpected )": "unexpected )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "invalid character class": "invalid character class range",
}


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    if len(pattern) > _LARGEST:
        raise _BadPattern(f"expression longer than {_LARGEST} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(to_bytes(_ESCAPE.sub(_not_in_go, pattern)), options)
    except re2.error as error:
        raise _BadPattern(_in_go(pattern, error)) from None


def _not_in_go(found: re.Match[str]) -> str:
    # RE2 has \C, one byte, and Go has not: make it one that RE2 refuses too.
    return _UNKNOWN if found.group() == r"\C" else found.group()


def _in_go(pattern: str, error: Exception) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    reason, _, place = text.partition(": ")
    if reason == "unexpected )":
        return f"unexpected ): `{pattern}`"
    if reason == "missing )":
        place = pattern
    if place == _UNKNOWN and _UNKNOWN not in pattern:
        place = r"\C"
    return f"{_IN_GO.get(reason, reason)}: `{place}`"


def _replaced(compiled: Any, replacement: bytes, text: bytes) -> bytes:  # noqa: ANN401 - re2 has no types
    pieces: list[bytes] = []
    names = {to_text(name): number for name, number in compiled.groupindex.items()}
    size = copied = at = 0
    while at <= len(text) and (match := compiled.search(text, at)) is not None:
        begin, end = match.span()
        if begin == end and _continues_character(text, begin):
            # RE2 finds the empty text between the bytes of a character too; Go does not.
            at = begin + 1
            continue
        pieces.append(text[copied:begin])
        # An empty match right behind another match does not count.
        if end > copied or begin == 0:
            pieces.extend(_pieces(replacement, match, names))
        size += sum(map(len, pieces[-_COUNTED:]))
        if size > LONGEST:
            raise OverLimit(f"the text grows longer than {LONGEST} characters")
        if len(pieces) > MOST_PIECES:
            raise OverLimit(f"the expression matches more than {MOST_PIECES // 2} times")
        copied = end
        at = max(end, _after_character(text, at))
    return b"".join([*pieces, text[copied:]])


def _after_character(text: bytes, at: int) -> int:
    at += 1
    while _continues_character(text, at):
        at += 1
    return at


def _continues_character(text: bytes, at: int) -> bool:
    return at < len(text) and text[at] & 0xC0 == 0x80  # noqa: PLR2004 - how such bytes begin


def _pieces(replacement: bytes, match: Any, names: dict[str, int]) -> list[bytes]:  # noqa: ANN401 - re2 has no types
    pieces: list[bytes] = []
    at = 0
    for mark in _GROUP.finditer(replacement):
        dollar, bare, braced = mark.groups()
        pieces.append(replacement[at : mark.start()])
        pieces.append(b"$" if dollar else _group(match, to_text(bare or braced), names))
        at = mark.end()
    return [b"".join([*pieces, replacement[at:]])]


def _group(match: Any, name: str, names: dict[str, int]) -> bytes:  # noqa: ANN401 - re2 has no types
    number = names.get(name, -1)
    if name.isdigit() and (name == "0" or name[0] != "0") and len(name) < len(str(_LARGEST)):
        number = int(name)
    return bytes(match.group(number) or b"") if 0 <= number <= match.re.groups else b""
