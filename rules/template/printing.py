"""Values as Go's fmt prints them: Sprint, Sprintln and what `{{ value }}` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rules.template.directive import Verb, format_number, format_text, format_whole
from rules.template.errors import OverLimit
from rules.template.times import Duration, Month, Time, Weekday
from rules.template.values import GoMap, NoValue, Pointer, Samples, Struct, Uint8, indirect, type_of

LONGEST = 1 << 20
"""How long a text may become, in characters."""

MOST_PIECES = 100_000
"""Of how many values and texts between them a text may be made, and matches replaced in one."""


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
        if len(self._pieces) == MOST_PIECES:
            raise OverLimit(f"the text is made of more than {MOST_PIECES} pieces")
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
        shown = ("interface {}(nil)" if verb.syntax else "<nil>") if depth else verb.pad("<nil>")
        out.write(shown if verb.letter in "vT" or depth else f"%!{verb.letter}(<nil>)")
    elif verb.letter == "T" and not depth:
        out.write(format_text(type_of(value), replace(verb, letter="s")) or "")
    elif isinstance(value, GoMap | Struct | Samples | Pointer) and not _is_moment(value):
        _composite(out, value, verb, depth)
    else:
        out.write(_scalar(indirect(value), verb))


_PLAIN = Verb("v")
_NAMED = (Time, Duration, Month, Weekday)


def _is_moment(value: object) -> bool:
    return isinstance(indirect(value), Time | Duration)


def _scalar(value: object, verb: Verb) -> str:
    if isinstance(value, _NAMED) and verb.letter in "vsxXq" and not verb.syntax:
        return format_text(str(value), verb) or ""
    shown = _basic(value, verb)
    if shown is not None:
        return shown
    if verb.letter == "v":
        return verb.pad(str(value))
    # A verb that does not fit: the value in its plain form, with the directive's flags.
    plain = str(value) if isinstance(value, Time) else _basic(value, replace(verb, letter="v"))
    return f"%!{verb.letter}({type_of(value)}={plain})"


def _basic(value: object, verb: Verb) -> str | None:
    if isinstance(value, bool):
        return verb.pad("true" if value else "false") if verb.letter in "tv" else None
    if isinstance(value, str):
        return format_text(value, verb)
    if isinstance(value, float):
        return format_number(value, verb)
    if isinstance(value, int):
        return format_whole(int(value), verb, unsigned=isinstance(value, Uint8))
    return None


def _composite(out: Output, value: object, verb: Verb, depth: int) -> None:
    if isinstance(value, Pointer):
        if depth:
            # Go prints where it is in memory, which differs from run to run.
            out.write("0xc000000000")
            return
        out.write("&")
        value = value.target
    if verb.syntax:
        out.write(type_of(value))
    elif isinstance(value, GoMap):
        out.write("map")
    opening, closing = ("{", "}") if isinstance(value, Struct) or verb.syntax else ("[", "]")
    out.write(opening)
    _elements(out, value, verb, depth)
    out.write(closing)


def _elements(out: Output, value: object, verb: Verb, depth: int) -> None:
    separator = ", " if verb.syntax else " "
    if isinstance(value, Samples):
        for index, element in enumerate(value):
            out.write(separator if index else "")
            print_value(out, element, verb, depth + 1)
        return
    named = isinstance(value, GoMap) or verb.names or verb.syntax
    entries = value.in_order() if isinstance(value, GoMap) else getattr(value, "fields", {}).items()
    for index, (name, element) in enumerate(entries):
        out.write(separator if index else "")
        if named:
            print_value(out, name, verb if isinstance(value, GoMap) else _PLAIN, depth + 1)
            out.write(":")
        print_value(out, element, verb, depth + 1)
