"""Constants of a template: Go's strings, characters and numbers."""

from __future__ import annotations

import re

from rules.template.nodes import Number
from rules.template.quoting import quote, to_bytes, to_text


class BadLiteral(Exception):
    """The constant is not one of Go's; the message is Go's."""


def unquote(source: str) -> str:
    """Return the string that a quoted or a raw literal stands for."""
    if source[0] == "`":
        return source[1:-1].replace("\r", "")
    return to_text(b"".join(_pieces(source[1:-1], '"')))


def number(position: int, source: str, kind: str) -> Number:
    """Return the constant of a token of kind `number` or `character`."""
    if kind == "character":
        code = _character(source)
        return Number(position, source, code, code, float(code))
    if kind == "complex" or source.endswith("i"):
        raise BadLiteral(f"complex numbers are not supported: {quote(source)}")
    if len(source) > _LONGEST:
        raise BadLiteral(f"number of more than {_LONGEST} characters")
    whole = _whole(source)
    if whole is not None and _LEAST <= whole <= _MOST_UNSIGNED:
        integer = whole if whole <= _MOST else None
        return Number(position, source, integer, whole if whole >= 0 else None, float(whole))
    return _real(position, source)


def parse_float(text: str) -> float:
    """Read a number as Go's strconv.ParseFloat does."""
    lowered = text.lower()
    if lowered.lstrip("+-") in ("inf", "infinity", "nan") and lowered.count("+") + lowered.count("-") <= 1:
        return float("nan") if lowered.lstrip("+-") == "nan" and lowered[0] == "n" else _signed_infinity(text)
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text)
        elif _HEXADECIMAL.fullmatch(text):
            value = float.fromhex(text.replace("_", ""))
        else:
            raise BadLiteral(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    except OverflowError:
        value = float("inf")
    if value in (float("inf"), float("-inf")):
        raise BadLiteral(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
    return value


_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?",
    re.ASCII,
)
_HEXADECIMAL = re.compile(
    r"[+-]?0[xX](?:(?:_?[0-9a-fA-F])+\.?(?:[0-9a-fA-F](?:_?[0-9a-fA-F])*)?|\.[0-9a-fA-F](?:_?[0-9a-fA-F])*)"
    r"[pP][+-]?[0-9](?:_?[0-9])*",
    re.ASCII,
)
_WHOLE = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)", re.ASCII
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"
)
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_LONGEST = 400
_LAST_BYTE = 0xFF
_LAST_CODE = 0x10FFFF


def _signed_infinity(text: str) -> float:
    if text.lower().endswith("nan"):
        raise BadLiteral(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    return float("-inf") if text[0] == "-" else float("inf")


def _pieces(body: str, mark: str) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        if body[at] == "\\":
            match = _ESCAPE.match(body, at)
            if match is None:
                raise BadLiteral("invalid syntax")
            pieces.append(_unescaped(match, mark))
            at = match.end()
        elif body[at] in (mark, "\n"):
            raise BadLiteral("invalid syntax")
        else:
            pieces.append(to_bytes(body[at]))
            at += 1
    return pieces


def _unescaped(match: re.Match[str], mark: str) -> bytes:
    single, byte, short, long, octal = match.groups()
    if single is not None:
        if single in "'\"":
            if single != mark:
                raise BadLiteral("invalid syntax")
            return single.encode()
        return _SINGLE[single].encode()
    code = int(byte or short or long or octal, 8 if octal else 16)
    if byte or octal:
        if code > _LAST_BYTE:
            raise BadLiteral("invalid syntax")
        return bytes([code])
    if code > _LAST_CODE or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the surrogates are no characters
        raise BadLiteral("invalid syntax")
    return chr(code).encode()


def _character(source: str) -> int:
    body = source[1:-1]
    escape = _ESCAPE.match(body)
    first = escape.group() if escape else body[:1]
    if not first or (first == "\\"):
        raise BadLiteral("invalid syntax")
    data = _pieces(first, "'")[0]
    if len(body) > len(first):
        raise BadLiteral(f"malformed character constant: {source}")
    # '\xff' is the number 255 and no text.
    return data[0] if len(data) == 1 else ord(data.decode())


def _whole(source: str) -> int | None:
    if not _WHOLE.fullmatch(source):
        return None
    digits = source.replace("_", "").lower()
    bare = digits.lstrip("+-")
    if len(bare) > 1 and bare[0] == "0" and bare[1].isdigit():
        return int(digits, 8)
    return int(digits, 0)


def _real(position: int, source: str) -> Number:
    try:
        value = parse_float(source)
    except BadLiteral:
        raise BadLiteral(f"illegal number syntax: {quote(source)}") from None
    if not set(source) & set(".eEpP"):
        raise BadLiteral(f"integer overflow: {quote(source)}")
    whole = int(value) if value.is_integer() else None
    integer = whole if whole is not None and _LEAST <= whole <= _MOST else None
    unsigned = whole if whole is not None and 0 <= whole <= _MOST_UNSIGNED else None
    return Number(position, source, integer, unsigned, value)
