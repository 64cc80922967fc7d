"""One directive of Go's printf, applied to a text, a whole number or a number with a fraction."""

from __future__ import annotations

from dataclasses import dataclass

from rules.template.floats import format_float
from rules.template.integers import format_integer, format_rune
from rules.template.quoting import can_backquote, quote, to_bytes


@dataclass(frozen=True)
class Verb:
    """One directive of printf: its letter, flags, width and precision.

    `names` and `syntax` are what + and # ask for with %v: the names of fields, and the syntax of Go.
    """

    letter: str
    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    names: bool = False
    syntax: bool = False
    width: int | None = None
    precision: int | None = None

    def pad(self, text: str, *, zeros: bool = True) -> str:
        """Fill to the width, counted in characters."""
        if self.width is None:
            return text
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero and zeros else " ")


def format_text(value: str, verb: Verb) -> str | None:
    """Return the text as the directive asks, or None if its letter is not for texts."""
    if verb.letter in "xX":
        return verb.pad(_hexadecimal(value, verb))
    cut = value if verb.precision is None else value[: verb.precision]
    if verb.letter == "s" or (verb.letter == "v" and not verb.syntax):
        return verb.pad(cut)
    if verb.letter not in "qv":
        return None
    if verb.sharp and can_backquote(cut):
        return verb.pad(f"`{cut}`")
    return verb.pad(quote(cut, ascii_only=verb.plus))


def format_number(value: float, verb: Verb) -> str | None:
    """Return the number as the directive asks, or None if its letter is not for numbers with fractions."""
    letter = {"v": "g", "F": "f"}.get(verb.letter, verb.letter)
    if letter not in "beEfgGxX":
        return None
    precision = verb.precision
    if precision is None and letter in "eEf":
        precision = 6
    text = format_float(value, letter, precision)
    if text[-1] in "Nf":
        # What is no number is never filled with zeros; infinity always has its sign.
        positive = " Inf" if verb.space and not verb.plus else "+Inf"
        return verb.pad(positive if text == "+Inf" else _signed(text, verb), zeros=False)
    if verb.sharp and letter != "b":
        text = _with_point(text, letter, precision)
    text = _signed(text, verb)
    if verb.zero and verb.width is not None and text[0] in "+-" + " " * verb.space:
        return text[0] + text[1:].rjust(verb.width - 1, "0")
    return verb.pad(text)


def format_whole(value: int, verb: Verb, *, unsigned: bool) -> str | None:
    """Return the whole number as the directive asks, or None if its letter is not for them."""
    if verb.letter in "cqU":
        shown = format_rune(value, verb.letter, verb.precision or 0, sharp=verb.sharp, plus=verb.plus)
        return verb.pad(shown, zeros=verb.letter != "U")
    base = {"v": 10, "d": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}.get(verb.letter)
    if base is None:
        return None
    if verb.precision == 0 and value == 0:
        return " " * (verb.width or 0)
    as_hexadecimal = unsigned and verb.letter == "v" and verb.syntax
    digits = format_integer(abs(value), 16 if as_hexadecimal else base, upper=verb.letter == "X")
    sign = _signed("-" if value < 0 else "", verb)
    digits = _least_digits(digits, sign, verb)
    if (verb.sharp and base != _TEN) or as_hexadecimal:
        digits = _with_base(digits, base, verb.letter)
    if verb.letter == "O":
        digits = "0o" + digits
    return verb.pad(sign + digits, zeros=False)


_TEN, _EIGHT = 10, 8


def _hexadecimal(value: str, verb: Verb) -> str:
    data = to_bytes(value)[: verb.precision]
    digits = [f"{byte:02X}" if verb.letter == "X" else f"{byte:02x}" for byte in data]
    mark = "0" + verb.letter if verb.sharp and data else ""
    if verb.space:
        return " ".join(mark + pair for pair in digits)
    return mark + "".join(digits)


def _signed(text: str, verb: Verb) -> str:
    if text.startswith("-"):
        return text
    return "+" + text if verb.plus else " " + text if verb.space else text


def _with_point(text: str, letter: str, precision: int | None) -> str:
    """Add the decimal point, and with %g and %x the zeros behind it, that # asks for."""
    sign = "-" if text.startswith("-") else ""
    marks = "pP" if letter in "xX" else "eE"
    at = next((place for place, character in enumerate(text) if character in marks), len(text))
    digits, exponent = text[len(sign) : at], text[at:]
    missing = 0
    if letter in "gGx":
        # Go counts from the first character that is not 0; the x of 0x is one.
        missing = (6 if precision is None else precision) - len(digits.replace(".", "").lstrip("0"))
    if "." not in digits:
        missing -= digits == "0"
        digits += "."
    return sign + digits + "0" * missing + exponent


def _least_digits(digits: str, sign: str, verb: Verb) -> str:
    if verb.precision is not None:
        return digits.rjust(verb.precision, "0")
    if verb.zero and verb.width is not None:
        return digits.rjust(verb.width - len(sign), "0")
    return digits


def _with_base(digits: str, base: int, letter: str) -> str:
    if base == _EIGHT:
        return digits if digits.startswith("0") else "0" + digits
    return ("0b" if base < _EIGHT else "0X" if letter == "X" else "0x") + digits
