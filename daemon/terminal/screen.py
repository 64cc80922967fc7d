"""The console that commands print on, and tables that fit it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
PIPED_COLUMNS = 400
"""What is piped on is for other programs: no line is cut to the width of a terminal that is not there."""
_GAP = 2


def console() -> Console:
    """Return the console of stdout; NO_COLOR, TERM and COLUMNS count as everywhere."""
    made = Console(highlight=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(highlight=False, width=PIPED_COLUMNS)
    return made


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table: how wide it gets, and how readily it goes when there is no room."""

    title: str
    cell: Callable[[T], str | Text]
    justify: Literal["left", "right"] = "left"
    keep: int = 0
    """0 stays always; of the others the highest goes first."""
    least: int = 0
    """Narrowest width at which it still tells something; 0 is its full width."""


def table(columns: Sequence[Column[T]], rows: Sequence[T], width: int, *, ruled: bool = True) -> Table:
    """Return a table of at most `width` characters: columns go, then the elastic ones get narrower."""
    cells = [[_text(column.cell(row)) for row in rows] for column in columns]
    full = [
        max([len(column.title), *(text.cell_len for text in texts)])
        for column, texts in zip(columns, cells, strict=True)
    ]
    shown = _that_fit(columns, full, width)
    made = Table(
        box=SIMPLE_HEAD if ruled else None,
        pad_edge=False,
        padding=(0, _GAP - 1 if ruled else _GAP, 0, 0),  # a box has a column of its own
        show_edge=False,
        header_style="bold",
    )
    for place, most in shown.items():
        column = columns[place]
        made.add_column(column.title, justify=column.justify, no_wrap=True, overflow="ellipsis", width=most)
    for line in range(len(rows)):
        made.add_row(*(cells[place][line] for place in shown))
    return made


def plain(text: str) -> str:
    """Return text from elsewhere as it may be printed: a control character must not move our cursor."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def _that_fit(columns: Sequence[Column[Any]], full: Sequence[int], width: int) -> dict[int, int]:
    """Return the columns that are shown, by place, and the width of each."""
    shown = list(range(len(columns)))
    least = [min(wide, column.least or wide) for column, wide in zip(columns, full, strict=True)]
    while sum(least[place] + _GAP for place in shown) - _GAP > width:
        droppable = [place for place in shown if columns[place].keep]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda place: (columns[place].keep, place)))
    room = width - sum(least[place] + _GAP for place in shown) + _GAP
    widths = {}
    for place in shown:
        more = max(0, min(full[place] - least[place], room))
        widths[place] = least[place] + more
        room -= more
    return widths


def _text(cell: str | Text) -> Text:
    text = cell if isinstance(cell, Text) else Text(cell)
    return text if text.plain.isprintable() else Text(plain(text.plain), style=text.style)
