"""The labels that name one series: an optional metric name, and sorted names with their values.

Two hundred thousand of them are held at a time, so the names are shared by all series of one form
(`Schema`), and taking the metric name away shares the values as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from weakref import WeakValueDictionary

NAME = "__name__"
"""The label that is the metric's name."""


class Schema:
    """The label names that series of one form have, sorted; there is one object for each such tuple."""

    __slots__ = ("__weakref__", "_kept", "names", "places")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.places = {name: place for place, name in enumerate(names)}
        self._kept: dict[tuple[bool, frozenset[str]], tuple[Schema, tuple[int, ...]]] = {}

    def only(self, names: frozenset[str]) -> tuple[Schema, tuple[int, ...]]:
        """Return the schema with none but these names, and where their values are in this one."""
        return self._part(keep=True, names=names)

    def without(self, names: frozenset[str]) -> tuple[Schema, tuple[int, ...]]:
        """Return the schema with none of these names, and where the other values are in this one."""
        return self._part(keep=False, names=names)

    def _part(self, *, keep: bool, names: frozenset[str]) -> tuple[Schema, tuple[int, ...]]:
        found = self._kept.get((keep, names))
        if found is None:
            places = tuple(place for name, place in self.places.items() if (name in names) is keep)
            part = schema(tuple(self.names[place] for place in places))
            found = self._kept[keep, names] = (part, places)
        return found


_making = Lock()
_schemas: WeakValueDictionary[tuple[str, ...], Schema] = WeakValueDictionary()


def schema(names: tuple[str, ...]) -> Schema:
    """Return the one schema with these names, which are sorted and hold no `__name__`."""
    found = _schemas.get(names)
    if found is None:
        with _making:  # two of one kind would make equal labels differ
            found = _schemas.get(names)
            if found is None:
                found = _schemas[names] = Schema(names)
    return found


class Labels:
    """One label set. `name` is empty when there is no metric name; no value is empty."""

    __slots__ = ("name", "schema", "values")

    def __init__(self, name: str, form: Schema, values: tuple[str, ...]) -> None:
        self.name = name
        self.schema = form
        self.values = values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Labels):
            return NotImplemented
        return self.values == other.values and self.schema is other.schema and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.name, self.values))

    def __lt__(self, other: Labels) -> bool:
        """Compare as Prometheus sorts label sets: pair by pair, then the shorter one first."""
        return tuple(self.items()) < tuple(other.items())

    def __repr__(self) -> str:
        return f"Labels({self})"

    def __str__(self) -> str:
        """Write it as Prometheus' messages do: `{__name__="up", job="x"}`."""
        return "{" + ", ".join(f"{_name(name)}={quoted(value)}" for name, value in self.items()) + "}"

    def get(self, name: str) -> str:
        """Return a label's value; empty when it is not there, which is the same thing."""
        if name == NAME:
            return self.name
        place = self.schema.places.get(name)
        return "" if place is None else self.values[place]

    def items(self) -> Iterator[tuple[str, str]]:
        """Give the pairs in the order of their names, the metric name among them."""
        pairs = zip(self.schema.names, self.values, strict=True)
        return iter(sorted([(NAME, self.name), *pairs]) if self.name else pairs)

    def as_dict(self) -> dict[str, str]:
        """Return the pairs as a dictionary, the metric name among them."""
        return dict(self.items())

    def nameless(self) -> Labels:
        """Return the same without the metric name."""
        return Labels("", self.schema, self.values) if self.name else self

    def only(self, names: frozenset[str]) -> Labels:
        """Return what `by (names)` keeps."""
        form, places = self.schema.only(names)
        return Labels(self.name if NAME in names else "", form, tuple([self.values[at] for at in places]))

    def without(self, names: frozenset[str]) -> Labels:
        """Return what `without (names)` keeps: the metric name is never part of it."""
        form, places = self.schema.without(names)
        return Labels("", form, tuple([self.values[at] for at in places]))

    def having(self, changes: Mapping[str, str]) -> Labels:
        """Return the same with some labels set; an empty value takes the label away."""
        return labels_of({**self.as_dict(), **changes})


def labels_of(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """Build a label set; labels with an empty value are no labels."""
    given = dict(pairs)
    name = given.pop(NAME, "")
    names = tuple(sorted([each for each, value in given.items() if value]))
    return Labels(name, schema(names), tuple([given[each] for each in names]))


def selector_text(labels: Labels) -> str:
    """Write a series as people do: `up{job="x"}`."""
    inside = ", ".join(f"{_name(name)}={quoted(value)}" for name, value in labels.nameless().items())
    if not labels.name:
        return "{" + inside + "}"
    if not _is_plain(labels.name, ":"):
        return "{" + ", ".join(filter(None, (quoted(labels.name), inside))) + "}"
    return f"{labels.name}{{{inside}}}" if inside else labels.name


_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
}


def quoted(text: str) -> str:
    """Quote as Go's strconv.Quote does."""
    return (
        '"'
        + "".join(_ESCAPES.get(each) or (each if each.isprintable() else _code(each)) for each in text)
        + '"'
    )


def _code(character: str) -> str:
    code = ord(character)
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the basic plane


def _name(name: str) -> str:
    return name if _is_plain(name) else quoted(name)


def _is_plain(name: str, more: str = "") -> bool:
    """Tell whether a name can stand without quotes."""
    letters = name.replace("_", "a")
    for each in more:
        letters = letters.replace(each, "a")
    return letters.isascii() and letters.isalnum() and not letters[0].isdigit()


def distinct(labels: Sequence[Labels]) -> bool:
    """Tell whether no label set stands twice."""
    return len(set(labels)) == len(labels)
