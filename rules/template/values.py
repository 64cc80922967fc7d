"""The values that templates work with, as Go's types.

A str is a `string`, a bool a `bool`, an int an `int`, a float a `float64`, None a nil interface.
The rest of Go's types that a template can meet are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


class NoValue:
    """Go's invalid value: the result of what is not there."""


NO_VALUE = NoValue()

ANY = "interface {}"


class Html(str):
    """`template.HTML`: a text that is not escaped in consoles."""

    __slots__ = ()
    go_type = "template.HTML"


class Uint8(int):
    """A byte of a string."""

    go_type = "uint8"


class Int64(int):
    """What the methods of times and durations return."""

    go_type = "int64"


class GoMap(dict[str, object]):
    """A map by strings. `element` is the type of its values."""

    def __init__(self, entries: Mapping[str, object], element: str) -> None:
        super().__init__(entries)
        self.element = element
        self.go_type = f"map[string]{element}"

    def in_order(self) -> Iterator[tuple[str, object]]:
        """Yield the entries as Go prints and ranges over them: by key."""
        yield from sorted(self.items(), key=lambda entry: entry[0])

    def zero(self) -> object:
        """Return what a missing key gives."""
        return "" if self.element == "string" else None


@dataclass(frozen=True)
class Struct:
    """A struct: its fields in order, and which of them are declared as interfaces."""

    go_type: str
    fields: Mapping[str, object]
    interfaces: frozenset[str] = field(default_factory=frozenset)


class Samples(list["Pointer"]):
    """`template.queryResult`: what a query gave."""

    go_type = "template.queryResult"


@dataclass(frozen=True, eq=False)
class Pointer:
    """A pointer to a struct, a time or a duration."""

    target: object

    @property
    def go_type(self) -> str:
        """Return the type's name."""
        return "*" + type_of(self.target)


def type_of(value: object) -> str:
    """Return the name of the value's type in Go."""
    named = getattr(value, "go_type", None)
    if isinstance(named, str):
        return named
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, float):
        return "float64"
    return "int" if isinstance(value, int) else "<nil>"


def indirect(value: object) -> object:
    """Return what a pointer points to."""
    while isinstance(value, Pointer):
        value = value.target
    return value


def is_true(value: object) -> bool:
    """Return whether Go's templates take the value for true: not the zero of its type."""
    if value is None or isinstance(value, NoValue):
        return False
    if isinstance(value, bool | int | float | str | dict | list):
        return bool(value)
    # Pointers are never nil here; structs, times and durations that are no numbers are always true.
    return True
