"""What a screen is made of: facts in its head, and sections that are tables of values.

Values stay values until they are drawn, so that the same sections are the JSON output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text

from daemon.terminal.screen import Column

Row = Mapping[str, Any]
Show = Callable[[Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure of the head."""

    title: str
    value: Any
    text: str
    bad: bool = False
    """Shown so that it is seen: also without colours."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A column of a section: which value of a row it shows, and how."""

    title: str
    key: str
    show: Show = str
    justify: Literal["left", "right"] = "right"
    keep: int = 0
    least: int = 0

    def column(self, *, sorted_by: bool) -> Column[Row]:
        """Return it as a column of a table; the one that rows are sorted by is marked."""
        title = f"{self.title}\u25be" if sorted_by else self.title
        return Column(title, self._text, self.justify, self.keep, self.least)

    def _text(self, row: Row) -> str | Text:
        value = row.get(self.key)
        return "-" if value is None else self.show(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table with a title; `rows` come with the most important first."""

    name: str
    title: str
    cells: Sequence[Cell]
    rows: Sequence[Row]
    weight: int = 1
    """Share of the rows that a screen has room for."""
    sorted_by: str = ""
    empty: str = ""
    """What to say when there are no rows; left out, the section is not shown then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Everything that is shown of a target at one moment."""

    title: Sequence[str]
    facts: Sequence[Fact] = ()
    sections: Sequence[Section] = ()
    note: str = ""
    """Why there is less than there could be."""

    def as_json(self) -> dict[str, Any]:
        """Return the values."""
        return {
            "facts": {fact.title.lower().replace(" ", "_"): fact.value for fact in self.facts},
            **{section.name: list(section.rows) for section in self.sections},
        }


def ranked(rows: Iterable[Row], key: str) -> list[Row]:
    """Return rows with the largest value first; unknown ones last; equal ones in a stable order."""
    return sorted(rows, key=lambda row: (row.get(key) is None, -(row.get(key) or 0), str([*row.values()])))
