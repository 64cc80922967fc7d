"""Strings as Go writes them: quoted with escapes, and bytes that are no text.

Go's strings are bytes. A byte that is no valid UTF-8 is kept as the lone surrogate that Python's
`surrogateescape` makes of it.
"""

from __future__ import annotations

import unicodedata

REPLACEMENT = "\ufffd"


def to_bytes(text: str) -> bytes:
    """Return the bytes of a Go string."""
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    """Return the Go string of these bytes."""
    return data.decode("utf-8", "surrogateescape")


def joined(text: str) -> str:
    """Put bytes that together are a character, and came from two strings, together."""
    return to_text(to_bytes(text)) if any(map(is_stray_byte, text)) else text


def printable(text: str) -> str:
    """Put the replacement character for each byte that is no text."""
    return "".join(REPLACEMENT if is_stray_byte(character) else character for character in joined(text))


def is_stray_byte(character: str) -> bool:
    """Return whether the character stands for a byte that is no valid UTF-8."""
    return "\udc80" <= character <= "\udcff"


def is_print(character: str) -> bool:
    """Return whether Go calls the character printable: letters, marks, numbers, signs and the ASCII space."""
    return character == " " or unicodedata.category(character)[0] in "LMNPS"


def quote(text: str, mark: str = '"', *, ascii_only: bool = False) -> str:
    """Return the text as strconv.Quote writes it."""
    return mark + "".join(_escaped(character, mark, ascii_only=ascii_only) for character in text) + mark


def can_backquote(text: str) -> bool:
    """Return whether the text can stand between backquotes on one line."""
    return not any(
        is_stray_byte(character) or character in "`\x7f\ufeff" or (character < " " and character != "\t")
        for character in text
    )


def describe_character(character: str) -> str:
    """Return what Go's %#U says: U+0041 'A'."""
    code = f"U+{ord(character):04X}"
    return f"{code} '{character}'" if is_print(character) else code


_SHORT = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
}
_DELETE = 0x7F
_BEYOND_BMP = 0x10000


def _escaped(character: str, mark: str, *, ascii_only: bool) -> str:
    code = ord(character)
    if character == mark:
        return "\\" + mark
    if character in _SHORT:
        return _SHORT[character]
    if is_stray_byte(character):
        return f"\\x{code - 0xDC00:02x}"
    if is_print(character) and (code < _DELETE or not ascii_only):
        return character
    if code < ord(" ") or code == _DELETE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _BEYOND_BMP else f"\\U{code:08x}"
