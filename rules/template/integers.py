"""Whole numbers and characters, written as Go's fmt writes them."""

from __future__ import annotations

from rules.template.quoting import REPLACEMENT, is_print, quote

_LAST_CODE = 0x10FFFF


def format_integer(value: int, base: int, *, upper: bool = False) -> str:
    """Return the digits of a number that is not negative."""
    form = {2: "b", 8: "o", 10: "d", 16: "X" if upper else "x"}[base]
    return format(value, form)


def format_rune(value: int, letter: str, digits: int, *, sharp: bool, plus: bool) -> str:
    """Return what %c, %q and %U say of a character's number; %U with so many digits at least."""
    known = 0 <= value <= _LAST_CODE and not 0xD800 <= value <= 0xDFFF  # noqa: PLR2004 - surrogates
    character = chr(value) if known else REPLACEMENT
    if letter == "c":
        return character
    if letter == "q":
        return quote(character, "'", ascii_only=plus)
    code = f"U+{value & (2**64 - 1):0{max(digits, 4)}X}"
    return f"{code} '{character}'" if sharp and known and is_print(character) else code
