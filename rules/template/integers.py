"""Whole numbers and characters, written as Go's fmt writes them."""

from __future__ import annotations

from rules.template.quoting import REPLACEMENT, describe_character, quote

_LAST_CODE = 0x10FFFF


def format_integer(value: int, base: int, *, upper: bool = False) -> str:
    """Return the digits of a number that is not negative."""
    form = {2: "b", 8: "o", 10: "d", 16: "X" if upper else "x"}[base]
    return format(value, form)


def format_rune(value: int, letter: str, *, sharp: bool, plus: bool) -> str:
    """Return what %c, %q and %U say of a character's number."""
    known = 0 <= value <= _LAST_CODE and not 0xD800 <= value <= 0xDFFF  # noqa: PLR2004 - surrogates
    character = chr(value) if known else REPLACEMENT
    if letter == "c":
        return character
    if letter == "q":
        return quote(character, "'", ascii_only=plus)
    code = f"U+{value:04X}" if value >= 0 else f"U+{value & (2**64 - 1):04X}"
    return describe_character(character) if sharp and known else code
