"""Screens fit their terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from daemon.terminal.draw import ROWS_WITHOUT_LIMIT, draw
from daemon.terminal.figures import count
from daemon.terminal.screen import Column, table
from daemon.terminal.section import Cell, Fact, Screen, Section

_CELLS = (
    Cell("NAME", "name", str, "left", least=8),
    Cell("CALLS/s", "calls", count),
    Cell("USER", "user", str, "left", 2),
    Cell("STATEMENT", "text", str, "left", 1, 10),
)


def section(name: str, rows: int, **options: object) -> Section:
    body = [
        {"name": f"row{number}", "calls": number, "user": "app", "text": "select " + "x" * number}
        for number in range(rows)
    ]
    return Section(name=name, title=name.title(), cells=_CELLS, rows=body, **options)


def lines(width: int, thing: object, **options: object) -> list[str]:
    paper = Console(file=io.StringIO(), width=width, color_system=None, **options)
    paper.print(thing)
    return paper.file.getvalue().splitlines()


@settings(deadline=None)
@given(
    width=st.integers(50, 220),
    height=st.integers(8, 70),
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    facts=st.lists(st.text(max_size=20), max_size=14),
)
def test_nothing_is_wider_or_higher_than_the_terminal(
    width: int, height: int, sizes: list[int], facts: list[str]
) -> None:
    names = ("blocking", "replication", "statements", "sessions", "tables", "databases")
    screen = Screen(
        title=("shop", "PostgreSQL 18", "primary"),
        facts=[Fact(title="fact", value=text, text=text) for text in facts],
        sections=[section(name, rows, empty="nothing") for name, rows in zip(names, sizes, strict=False)],
    )
    drawn = lines(width, draw(screen, width, height, "q quit"))
    assert max(cell_len(line) for line in drawn) <= width
    shown = sum(line.startswith("\u2500\u2500") for line in drawn)
    assert len(drawn) <= height or shown == 0
    assert drawn[-1].startswith("q quit")


def test_a_low_terminal_keeps_the_first_sections_and_says_what_it_hides() -> None:
    screen = Screen(title=("t",), sections=[section("statements", 30), section("tables", 30)])
    drawn = lines(80, draw(screen, 80, 12))
    assert len(drawn) == 12
    assert drawn[1].startswith("\u2500\u2500 Statements (+")
    tiny = lines(80, draw(screen, 80, 5))
    assert [line[:13] for line in tiny if line.startswith("\u2500")] == ["\u2500\u2500 Statements"]


def test_sections_get_rows_by_their_weight() -> None:
    sections = [section("statements", 30, weight=4), section("tables", 30, weight=1)]
    drawn = lines(80, draw(Screen(title=("t",), sections=sections), 80, 25))
    first = next(at for at, line in enumerate(drawn) if "Tables" in line)
    assert len(drawn) == 25
    assert first > 15


def test_without_a_screen_each_section_shows_its_first_rows() -> None:
    drawn = lines(80, draw(Screen(title=("t",), sections=[section("statements", 30)]), 80))
    assert sum(line.startswith("row") for line in drawn) == ROWS_WITHOUT_LIMIT
    assert "Statements (+20)" in drawn[1]


def test_wide_terminals_have_narrow_sections_side_by_side() -> None:
    screen = Screen(title=("t",), sections=[section("sessions", 3), section("databases", 3)])
    assert any("Sessions" in line and "Databases" in line for line in lines(160, draw(screen, 160)))
    assert not any("Sessions" in line and "Databases" in line for line in lines(100, draw(screen, 100)))


def test_what_needs_a_look_is_marked_without_colours_too() -> None:
    facts = [Fact(title="waiting", value=3, text="3", bad=True), Fact(title="active", value=1, text="1")]
    drawn = lines(80, draw(Screen(title=("t",), facts=facts), 80))
    assert drawn[1] == "waiting 3!   active 1"


def test_a_figure_is_not_parted_from_its_name() -> None:
    facts = [Fact(title=f"a long name {number}", value=1, text="16.0 MB/s") for number in range(9)]
    for line in lines(60, draw(Screen(title=("t",), facts=facts), 60))[1:]:
        assert line.startswith("a long name")
        assert line.endswith("16.0 MB/s")


def test_a_column_that_says_nothing_is_left_out() -> None:
    rows = [{"name": "a", "calls": None, "user": "", "text": "select"}]
    one = Section(name="statements", title="Statements", cells=_CELLS, rows=rows)
    assert lines(80, draw(Screen(title=("t",), sections=[one]), 80))[2].split() == ["NAME", "STATEMENT"]


def test_the_column_rows_are_sorted_by_is_marked() -> None:
    screen = Screen(title=("t",), sections=[section("statements", 2, sorted_by="calls")])
    assert "CALLS/s\u25be" in lines(80, draw(screen, 80))[2]


@pytest.mark.parametrize(
    "name", ["a\x1b[2Jb", "a\rb", "a\nb", "a\u202eb", "a\x07b", "a\u200bb", "[red]ab[/red]"]
)
def test_names_from_servers_cannot_move_the_cursor_or_style_anything(name: str) -> None:
    rows = [{"name": name, "calls": 1, "user": "u", "text": "t"}]
    one = Section(name="statements", title=name, cells=_CELLS, rows=rows)
    screen = Screen(title=(name,), note=name, facts=[Fact(title="f", value=1, text=name)], sections=[one])
    drawn = "\n".join(lines(80, draw(screen, 80, 20)))
    assert drawn.replace("\n", "").isprintable()
    assert drawn.count("a") >= 4
    if name.startswith("["):
        assert drawn.count(name) == 5


_ROWS = [("shop-primary", "postgresql", "up"), ("a", "pgbouncer", "down")]
_COLUMNS = (
    Column("TARGET", lambda row: row[0]),
    Column("ENGINE", lambda row: row[1], keep=2),
    Column("STATE", lambda row: row[2], keep=1),
)


@pytest.mark.parametrize(
    ("width", "titles"),
    [(80, ["TARGET", "ENGINE", "STATE"]), (24, ["TARGET", "STATE"]), (16, ["TARGET"]), (5, ["TARG\u2026"])],
)
def test_columns_go_in_the_order_of_their_importance(width: int, titles: list[str]) -> None:
    drawn = lines(width, table(_COLUMNS, _ROWS, width, ruled=False))
    assert drawn[0].split() == titles
