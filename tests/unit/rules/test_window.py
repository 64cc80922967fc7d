from __future__ import annotations

import math
import random

import numpy as np
import pytest

from rules.labels import Labels, labels_of
from rules.promql import Expression
from rules.promql.context import LOOKBACK_MS
from rules.promql.tree import Selector
from rules.promql.values import STALE, is_sample
from rules.window import Window

MINUTE = 60_000


def named(metric: str = "x", **labels: str) -> Labels:
    return labels_of({"__name__": metric, **labels})


def selector(text: str) -> Selector:
    tree = Expression(text).tree
    assert isinstance(tree, Selector)
    return tree


def now(window: Window, text: str, at_ms: int) -> dict[str, float]:
    return {
        str(labels): value for labels, value in window.instants(selector(text), at_ms, LOOKBACK_MS).items()
    }


def since(window: Window, text: str, start_ms: int, end_ms: int) -> dict[str, list[tuple[int, float]]]:
    matrix = window.ranges(selector(text), start_ms, end_ms)
    return {
        str(labels): list(zip(times.tolist(), values.tolist(), strict=True))
        for labels, times, values in matrix.items()
    }


A, B, C = named(i="a"), named(i="b"), named(i="c")
ALL = (A, B, C)


def test_a_series_that_is_no_longer_written_has_ended() -> None:
    window = Window()
    window.write("k", (A, B), 1000, [1, 2])
    window.write("k", (A,), 2000, [3])
    assert now(window, "x", 1999) == {str(A): 1, str(B): 2}
    assert now(window, "x", 2000) == {str(A): 3}
    window.write("k", (A, B), 3000, [4, 5])
    assert now(window, "x", 3000) == {str(A): 4, str(B): 5}
    assert since(window, "x", 0, 3000) == {
        str(A): [(1000, 1), (2000, 3), (3000, 4)],
        str(B): [(1000, 2), (3000, 5)],
    }


def test_a_sheet_that_ended_gives_nothing_and_can_go_on() -> None:
    window = Window()
    window.write("k", ALL, 1000, [1, 2, 3])
    window.end("k", 2000)
    window.end("k", 3000)
    window.end("nobody", 3000)
    assert now(window, "x", 2500) == {}
    assert now(window, "x", 1500) == {str(A): 1, str(B): 2, str(C): 3}
    window.write("k", ALL, 4000, [4, 5, 6])
    assert now(window, "x", 4000) == {str(A): 4, str(B): 5, str(C): 6}


def test_a_marker_is_kept_once() -> None:
    told: list[tuple[int, float]] = []
    window = Window()
    window.keeper = lambda _series, times, values: told.extend(
        (int(at_ms), float(value)) for at_ms, value in zip(times, values[:, 0], strict=True)
    )
    window.write("k", (A,), 1000, [1])
    window.end("k", 2000)
    window.end("k", 3000)
    assert [at_ms for at_ms, _ in told] == [1000, 2000]
    assert not is_sample(np.array([told[1][1]]))[0]


def test_ranges_and_the_lookback_are_open_to_the_left() -> None:
    window = Window()
    window.write("k", (A,), 1000, [1])
    assert now(window, "x", 1000) == {str(A): 1}
    assert now(window, "x", 999) == {}
    assert now(window, "x", 1000 + LOOKBACK_MS - 1) == {str(A): 1}
    assert now(window, "x", 1000 + LOOKBACK_MS) == {}
    assert since(window, "x", 1000, 2000) == {}
    assert since(window, "x", 999, 1000) == {str(A): [(1000, 1)]}


def test_a_time_that_is_not_later_is_left_out() -> None:
    window = Window()
    window.write("k", (A,), 2000, [1])
    window.write("k", (A,), 2000, [2])
    window.write("k", (A, B), 1000, [3, 4])
    assert window.written == 1
    assert since(window, "x", 0, 9000) == {str(A): [(2000, 1)]}
    window.write("k", (A, B), 3000, [5, 6])
    assert now(window, "x", 3000) == {str(A): 5, str(B): 6}


def test_nan_is_a_sample_and_a_marker_is_none() -> None:
    window = Window()
    window.write("k", (A, B), 1000, [math.nan, STALE])
    found = now(window, "x", 1000)
    assert list(found) == [str(A)]
    assert math.isnan(found[str(A)])


def test_what_is_too_old_is_forgotten_and_its_place_used_again() -> None:
    window = Window(lambda _name: 10 * MINUTE)
    for minute in range(30):
        window.write("k", (A, B) if minute < 5 else (A, C), minute * MINUTE, [minute, -minute])
        window.trim(minute * MINUTE)
    assert since(window, "x", 0, 30 * MINUTE) == {
        str(A): [(minute * MINUTE, minute) for minute in range(20, 30)],
        str(C): [(minute * MINUTE, -minute) for minute in range(20, 30)],
    }
    assert set(window.series()) == {A, C}
    window.write("k", (A, C, B), 30 * MINUTE, [1, 2, 3])
    assert len(window._sheets["k"].series) == 3, "the column of the one that went is taken again"
    assert since(window, 'x{i="b"}', 0, 30 * MINUTE) == {str(B): [(30 * MINUTE, 3)]}


def test_a_sheet_in_which_nothing_is_left_goes() -> None:
    window = Window()
    window.write("k", ALL, 1000, [1, 2, 3])
    window.end("k", 2000)
    assert now(window, "x", 1000) != {}
    window.trim(2000 + LOOKBACK_MS)
    assert list(window.keys()) == []
    assert now(window, "x", 2000) == {}
    window.write("k", (A,), 9_000_000, [4])
    assert now(window, "x", 9_000_000) == {str(A): 4}


def test_memory_does_not_grow_with_time() -> None:
    window = Window()
    sizes = []
    for minute in range(2000):
        window.write("k", ALL, minute * MINUTE, [1, 2, 3])
        window.trim(minute * MINUTE)
        sizes.append(window.bytes)
    assert max(sizes[100:]) == max(sizes[1000:])
    assert len(since(window, "x", 0, 2000 * MINUTE)[str(A)]) == 5


def test_nobody_asks_so_nothing_is_kept() -> None:
    window = Window(lambda name: None if name == "x" else MINUTE)
    window.write("k", ALL, 1000, [1, 2, 3])
    assert (window.written, list(window.keys()), window.wants("x"), window.wants("y")) == (0, [], False, True)


def test_the_same_series_give_the_same_rows_until_one_comes_or_goes() -> None:
    window = Window()
    asked = selector("x")
    window.write("k", ALL, 1000, [1, 2, 3])
    rows = window.instants(asked, 1000, LOOKBACK_MS).rows
    window.write("k", ALL, 2000, [1, 2, 3])
    window.write("k", (A, B), 3000, [1, 2])
    window.write("other", (named("y"),), 3000, [1])
    assert window.instants(asked, 3000, LOOKBACK_MS).rows is rows
    assert window.ranges(asked, 0, 3000).rows is rows
    window.write("k", (*ALL, named(i="d")), 4000, [1, 2, 3, 4])
    assert window.instants(asked, 4000, LOOKBACK_MS).rows is not rows
    assert len(now(window, "x", 4000)) == 4
    window.write("k2", (named(i="e"),), 4000, [5])
    assert len(now(window, "x", 4000)) == 5


@pytest.mark.parametrize("first", ["old", "new"])
def test_a_series_that_moves_from_one_sheet_to_another_is_one_series(first: str) -> None:
    window = Window()
    asked = selector("x")
    if first == "new":
        window.write("new", (named(i="z"),), 500, [0])
    window.write("old", (A, B), 1000, [1, 2])
    window.write("new", (A,), 2000, [3])
    window.write("old", (B,), 2000, [4])
    window.write("new", (A,), 3000, [5])
    assert {str(each): value for each, value in window.instants(asked, 2000, LOOKBACK_MS).items()} == {
        str(A): 3, str(B): 4,
    }  # fmt: skip
    assert now(window, "x", 1500)[str(A)] == 1
    assert since(window, "x", 0, 3000) | {} == {
        str(A): [(1000, 1), (2000, 3), (3000, 5)],
        str(B): [(1000, 2), (2000, 4)],
        **({str(named(i="z")): [(500, 0)]} if first == "new" else {}),
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x", 3),
        ('{__name__="x"}', 3),
        ('{__name__="x",__name__="y"}', 0),
        ('{__name__="x",__name__!="x"}', 0),
        ('{__name__=~"x|y"}', 4),
        ('{__name__!="x",i="a"}', 1),
        ('{i="a"}', 2),
        ('x{i=~"a|b"}', 2),
        ('x{i!~"a|b"}', 1),
        ('x{i=""}', 0),
        ('x{nothing=""}', 3),
        ('x{nothing!=""}', 0),
        ('x{i=~"A"}', 0),
        ('x{i=~"(?i)A"}', 1),
        ('x{i=~"a|"}', 1),
        ("z", 0),
    ],
)
def test_selectors_choose_by_name_and_labels(text: str, count: int) -> None:
    window = Window()
    window.write("x", ALL, 1000, [1, 2, 3])
    window.write("y", (named("y", i="a"),), 1000, [4])
    assert len(now(window, text, 1000)) == count


def test_a_window_gives_what_was_written_whatever_comes_and_goes() -> None:
    chance = random.Random(5)
    series = [named(i=str(number)) for number in range(12)]
    window = Window(lambda _name: 20 * MINUTE)
    kept: dict[Labels, list[tuple[int, float]]] = {}
    for step in range(1, 400):
        at_ms = step * 30_000
        chosen = tuple(each for each in series if chance.random() < 0.7)
        values = [chance.choice([math.nan, 1.0, math.inf, chance.random()]) for _ in chosen]
        window.write("k", chosen, at_ms, values)
        for labels, value in zip(chosen, values, strict=True):
            kept.setdefault(labels, []).append((at_ms, value))
        if chance.random() < 0.3:
            window.trim(at_ms)
        start = at_ms - chance.randint(1, 20) * MINUTE
        wanted = {
            str(labels): [each for each in points if each[0] > start] for labels, points in kept.items()
        }
        found = since(window, "x", start, at_ms)
        assert repr(dict(sorted(found.items()))) == repr(
            {key: wanted[key] for key in sorted(wanted) if wanted[key]}
        )
        assert set(now(window, "x", at_ms)) == {str(labels) for labels in chosen}


def test_every_cell_of_a_segment_is_a_sample() -> None:
    window = Window()
    window.write("k", (A, B), 1000, [1, 2])
    window.write("k", (B, C), 2000, [3, 4])
    window.write("k", (A, B, C), 3000, [5, 6, 7])
    for segment in window.ranges(selector("x"), 0, 3000).segments:
        assert is_sample(segment.values).all()
        assert len(segment.times) == len(segment.values)
