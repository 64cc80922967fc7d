"""Draws a screen so that it fits: columns go when it is narrow, rows and sections when it is low."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.terminal.screen import plain, table
from daemon.terminal.section import Fact, Screen, Section

ROWS_WITHOUT_LIMIT = 10
"""Rows of a section where no screen sets a limit."""
_SIDE_BY_SIDE = 130
"""Columns from which on two narrow sections stand beside each other."""
_WIDE = frozenset({"statements", "tables", "moving", "values"})
_HEAD_ROWS = 2
"""Title and column names of a section."""
_GAP = 3


def draw(screen: Screen, width: int, height: int | None = None, foot: str = "") -> RenderableType:
    """Return the screen for a terminal of this size; None means as long as it takes."""
    head = _head(screen, width)
    bands = _bands([one for one in screen.sections if one.rows or one.empty], width)
    if height is None:
        most = [max(min(len(one.rows), ROWS_WITHOUT_LIMIT) for one in band) for band in bands]
    else:
        room = height - len(head) - (1 if foot else 0)
        bands, most = _share_out(bands, room)
    drawn = [_band(band, rows, width) for band, rows in zip(bands, most, strict=True)]
    return Group(*head, *drawn, *([Text(foot, style="dim", no_wrap=True)] if foot else []))


def _head(screen: Screen, width: int) -> list[Text]:
    lines = [Text(plain("  ".join(filter(None, screen.title))), style="bold")]
    if screen.note:
        words = [Text(word) for word in plain(screen.note).split(" ")]
        lines += [Text(line.plain, style="bold red") for line in _wrapped(words, " ", width)]
    lines += _wrapped([_fact(fact) for fact in screen.facts], "   ", width)
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def _fact(fact: Fact) -> Text:
    value = plain(fact.text) + ("!" if fact.bad else "")
    return Text.assemble((f"{fact.title} ", "dim"), (value, "bold red" if fact.bad else "bold"))


def _wrapped(pieces: Sequence[Text], gap: str, width: int) -> list[Text]:
    """Return lines of whole pieces: a figure is never parted from what it is."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(gap) + piece.cell_len <= width:
            lines[-1] = Text(gap).join([lines[-1], piece])
        else:
            lines.append(piece)
    return lines


def _bands(sections: Sequence[Section], width: int) -> list[list[Section]]:
    """Return the sections from top to bottom; those that stand side by side in one list."""
    bands: list[list[Section]] = []
    half: list[Section] | None = None
    for section in sections:
        if width < _SIDE_BY_SIDE or section.name in _WIDE:
            bands.append([section])
        elif half is None:
            half = [section]
            bands.append(half)
        else:
            half.append(section)
            half = None
    return bands


def _share_out(bands: list[list[Section]], room: int) -> tuple[list[list[Section]], list[int]]:
    """Return the bands that fit and the rows of each: one by one to whoever has least for its weight."""
    shown = list(bands)
    while shown and len(shown) * (_HEAD_ROWS + 1) > room:
        shown.pop()
    needs = [max(max(len(one.rows), 1) for one in band) for band in shown]
    weights = [max(one.weight for one in band) for band in shown]
    most = [1] * len(shown)
    for _ in range(room - len(shown) * (_HEAD_ROWS + 1)):
        hungry = [place for place in range(len(shown)) if most[place] < needs[place]]
        if not hungry:
            break
        most[min(hungry, key=lambda place: most[place] / weights[place])] += 1
    return shown, most


def _band(band: Sequence[Section], rows: int, width: int) -> RenderableType:
    if len(band) == 1:
        return _section(band[0], rows, width)
    each = (width - _GAP) // 2
    grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for _ in band:
        grid.add_column(width=each)
    grid.add_row(*(_section(one, rows, each) for one in band))
    return grid


def _section(section: Section, rows: int, width: int) -> RenderableType:
    left = len(section.rows) - rows
    title = f"{section.title} (+{left})" if left > 0 else section.title
    rule = Text(f"\u2500\u2500 {plain(title)} ".ljust(width, "\u2500")[:width], style="cyan", no_wrap=True)
    if not section.rows:
        return Group(rule, Text(section.empty, style="dim"))
    columns = [cell.column(sorted_by=cell.key == section.sorted_by) for cell in section.cells]
    used = [column for column, cell in zip(columns, section.cells, strict=True) if _says(section, cell.key)]
    return Group(rule, table(used, section.rows[:rows], width, ruled=False))


def _says(section: Section, key: str) -> bool:
    """Tell whether a column says anything: one that is unknown or empty everywhere does not."""
    return any(row.get(key) not in (None, "") for row in section.rows)
