"""Values as Go's fmt prints them: Sprint, Sprintln and what `{{ value }}` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rules.template.errors import OverLimit
from rules.template.floats import format_float
from rules.template.integers import format_integer, format_rune
from rules.template.quoting import can_backquote, quote, to_bytes
from rules.template.times import Duration, Month, Time, Weekday
from rules.template.values import GoMap, NoValue, Pointer, Samples, Struct, Uint8, indirect, type_of

LONGEST = 1 << 20
"""How long a text may become, in characters."""


@dataclass
class Verb:
    """One directive of printf: its letter, flags, width and precision."""

    letter: str
    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None

    def pad(self, text: str, *, zeros: bool = True) -> str:
        """Fill to the width, counted in characters."""
        if self.width is None:
            return text
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero and zeros else " ")


class Output:
    """Collects text, up to a length; more than that raises OverLimit."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._pieces: list[str] = []
        self._left = longest

    def write(self, text: str) -> None:
        """Add a text."""
        self._left -= len(text)
        if self._left < 0:
            raise OverLimit(f"the text grows longer than {LONGEST} characters")
        self._pieces.append(text)

    @property
    def text(self) -> str:
        """Return all that was written."""
        return "".join(self._pieces)


def sprint(values: Sequence[object]) -> str:
    """Print values one after another, with a space between two that are both no strings."""
    out = Output()
    previous_is_text = True
    for index, value in enumerate(values):
        is_text = isinstance(value, str)
        if index and not is_text and not previous_is_text:
            out.write(" ")
        print_value(out, value, _PLAIN)
        previous_is_text = is_text
    return out.text


def sprintln(values: Sequence[object]) -> str:
    """Print values with spaces between and a line's end behind."""
    out = Output()
    for index, value in enumerate(values):
        out.write(" " if index else "")
        print_value(out, value, _PLAIN)
    out.write("\n")
    return out.text


def printable_value(value: object) -> object:
    """Return what a template prints of a value: what pointers point to, and a note where there is nothing."""
    shown = indirect(value)
    return "<no value>" if isinstance(shown, NoValue) else shown


def print_value(out: Output, value: object, verb: Verb, depth: int = 0) -> None:
    """Write one value as its verb asks; `depth` is that of the value within others."""
    if value is None or isinstance(value, NoValue):
        out.write(verb.pad("<nil>") if verb.letter in "vT" or depth else f"%!{verb.letter}(<nil>)")
    elif verb.letter == "T" and not depth:
        out.write(_text(type_of(value), Verb("s", verb.minus, width=verb.width, precision=verb.precision)))
    elif isinstance(value, GoMap | Struct | Samples | Pointer) and not _is_moment(value):
        _composite(out, value, verb, depth)
    else:
        out.write(_scalar(value, verb))


_PLAIN = Verb("v")
_NAMED = (Time, Duration, Month, Weekday)


def _is_moment(value: object) -> bool:
    return isinstance(indirect(value), Time | Duration)


def _scalar(value: object, verb: Verb) -> str:
    value = indirect(value)
    if isinstance(value, _NAMED) and verb.letter in "vsxXq":
        return _text(str(value), verb) or ""
    shown: str | None = None
    if isinstance(value, bool):
        shown = verb.pad("true" if value else "false") if verb.letter in "tv" else None
    elif isinstance(value, str):
        shown = _text(value, verb)
    elif isinstance(value, float):
        shown = _float(value, verb)
    elif isinstance(value, int):
        shown = _integer(int(value), verb, unsigned=isinstance(value, Uint8))
    if shown is None:
        return f"%!{verb.letter}({type_of(value)}={_scalar(value, _PLAIN)})"
    return shown


def _text(value: str, verb: Verb) -> str | None:
    if verb.letter in "xX":
        return verb.pad(_hexadecimal(value, verb))
    cut = value if verb.precision is None else value[: verb.precision]
    if verb.letter == "s" or (verb.letter == "v" and not verb.sharp):
        return verb.pad(cut)
    if verb.letter not in "qv":
        return None
    if verb.letter == "q" and verb.sharp and can_backquote(cut):
        return verb.pad(f"`{cut}`")
    return verb.pad(quote(cut, ascii_only=verb.plus and verb.letter == "q"))


def _hexadecimal(value: str, verb: Verb) -> str:
    data = to_bytes(value)[: verb.precision]
    digits = [f"{byte:02X}" if verb.letter == "X" else f"{byte:02x}" for byte in data]
    mark = "0" + verb.letter if verb.sharp and data else ""
    if verb.space:
        return " ".join(mark + pair for pair in digits)
    return mark + "".join(digits)


def _float(value: float, verb: Verb) -> str | None:
    letter = {"v": "g", "F": "f"}.get(verb.letter, verb.letter)
    if letter not in "eEfgGxX":
        return None
    precision = verb.precision
    if precision is None and letter in "eEf":
        precision = 6
    text = format_float(value, letter, precision)
    if text in ("NaN", "+Inf", "-Inf"):
        return verb.pad(_signed(text, verb) if text != "+Inf" else _infinity(verb), zeros=False)
    if verb.sharp and verb.letter != "v":
        text = _with_point(text, letter, verb.precision)
    return _pad_number(_signed(text, verb), verb)


def _infinity(verb: Verb) -> str:
    return " Inf" if verb.space and not verb.plus else "+Inf"


def _signed(text: str, verb: Verb) -> str:
    if text.startswith("-"):
        return text
    return "+" + text if verb.plus else " " + text if verb.space else text


def _pad_number(text: str, verb: Verb) -> str:
    if verb.zero and verb.width is not None and text[0] in "+- ":
        return text[0] + text[1:].rjust(verb.width - 1, "0")
    return verb.pad(text)


def _with_point(text: str, letter: str, precision: int | None) -> str:
    """Keep the decimal point, and with %g the zeros, that # asks for."""
    mark = next((m for m in "eEpP" if m in text and not text.lstrip("-").startswith("0x")), "")
    number, _, exponent = text.partition(mark) if mark else (text, "", "")
    if "." not in number:
        number += "."
    if letter in "gG":
        wanted = 6 if precision is None else precision
        digits = number.lstrip("-").replace(".", "").lstrip("0") or "0"
        number += "0" * (wanted - len(digits))
    return number + mark + exponent


def _integer(value: int, verb: Verb, *, unsigned: bool) -> str | None:
    if verb.letter in "cqU":
        return verb.pad(format_rune(value, verb.letter, sharp=verb.sharp, plus=verb.plus))
    base = {"v": 10, "d": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}.get(verb.letter)
    if base is None:
        return None
    as_hex = unsigned and verb.letter == "v" and verb.sharp
    digits = format_integer(abs(value), 16 if as_hex else base, upper=verb.letter == "X")
    sign = "-" if value < 0 else "+" if verb.plus else " " if verb.space else ""
    digits = _least_digits(digits, sign, verb)
    if verb.letter == "O":
        digits = "0o" + digits
    elif (verb.sharp and verb.letter != "v") or as_hex:
        digits = _with_base(digits, base, verb.letter)
    return verb.pad(sign + digits if digits or sign else "", zeros=False)


def _least_digits(digits: str, sign: str, verb: Verb) -> str:
    if verb.precision is not None:
        return "" if verb.precision == 0 and digits == "0" else digits.rjust(verb.precision, "0")
    if verb.zero and verb.width is not None:
        return digits.rjust(verb.width - len(sign), "0")
    return digits


def _with_base(digits: str, base: int, letter: str) -> str:
    if base == 8:  # noqa: PLR2004 - octal
        return digits if digits.startswith("0") else "0" + digits
    marks = {2: "0b", 16: "0X" if letter == "X" else "0x", 10: "0x" if letter == "v" else ""}
    return marks[base] + digits


def _composite(out: Output, value: object, verb: Verb, depth: int) -> None:
    if isinstance(value, Pointer):
        if depth:
            # Go prints where it is in memory, which differs from run to run.
            out.write("0xc000000000")
            return
        out.write("&")
        value = value.target
    if verb.sharp and verb.letter == "v":
        out.write(type_of(value))
    elif isinstance(value, GoMap):
        out.write("map")
    opening, closing = ("{", "}") if isinstance(value, Struct) or (verb.sharp and verb.letter == "v") else ("[", "]")
    out.write(opening)
    _elements(out, value, verb, depth)
    out.write(closing)


def _elements(out: Output, value: object, verb: Verb, depth: int) -> None:
    separator = ", " if verb.sharp and verb.letter == "v" else " "
    if isinstance(value, Samples):
        for index, element in enumerate(value):
            out.write(separator if index else "")
            print_value(out, element, verb, depth + 1)
        return
    named = isinstance(value, GoMap) or (verb.letter == "v" and (verb.plus or verb.sharp))
    entries = value.in_order() if isinstance(value, GoMap) else getattr(value, "fields", {}).items()
    for index, (name, element) in enumerate(entries):
        out.write(separator if index else "")
        if named:
            print_value(out, name, verb if isinstance(value, GoMap) else _PLAIN, depth + 1)
            out.write(":")
        print_value(out, element, verb, depth + 1)
