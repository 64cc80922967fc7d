"""Samples of before a restart go on in the sheets that write the same series again."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.labels import Labels, labels_of
from rules.promql import Expression, Matrix, Vector
from rules.promql.values import ABSENT, STALE_BITS
from rules.window import Window


def one(name: str) -> Labels:
    return labels_of({"__name__": "n", "a": name})


def samples(window: Window, text: str, at_ms: int) -> dict[str, list[tuple[int, float]]]:
    matrix = Expression(text).at(window, at_ms)
    assert isinstance(matrix, Matrix)
    return {
        labels.get("a"): [(int(t), float(v)) for t, v in zip(times, values, strict=True)]
        for labels, times, values in matrix.items()
    }


def test_the_past_can_be_asked_before_anything_is_written() -> None:
    window = Window()
    window.load((one("x"),), np.array([1000, 2000]), np.array([[1.0], [2.0]]))
    assert samples(window, "n[1m]", 3000) == {"x": [(1000, 1.0), (2000, 2.0)]}


def test_a_series_that_is_written_again_has_one_row_with_past_and_present() -> None:
    window = Window()
    window.load((one("x"), one("y")), np.array([1000, 2000]), np.array([[1.0, 5.0], [2.0, ABSENT]]))
    window.write("k", (one("x"), one("z")), 3000, [3.0, 9.0])
    assert samples(window, "n[1m]", 3000) == {
        "x": [(1000, 1.0), (2000, 2.0), (3000, 3.0)],
        "y": [(1000, 5.0)],
        "z": [(3000, 9.0)],
    }
    value = Expression("n").at(window, 3000)
    assert isinstance(value, Vector)
    assert {labels.get("a"): found for labels, found in value.items()} == {"x": 3, "y": 5, "z": 9}
    assert len(list(window.series())) == 3


def test_a_series_that_comes_later_gets_its_past_too() -> None:
    window = Window()
    window.load((one("x"),), np.array([1000, 2000]), np.array([[1.0], [2.0]]))
    window.write("k", (one("z"),), 2500, [9.0])
    window.write("k", (one("z"), one("x")), 3500, [8.0, 4.0])
    assert samples(window, "n[1m]", 4000) == {
        "x": [(1000, 1.0), (2000, 2.0), (3500, 4.0)],
        "z": [(2500, 9.0), (3500, 8.0)],
    }


def test_what_ended_after_the_past_is_marked() -> None:
    window = Window()
    window.load((one("x"),), np.array([1000]), np.array([[1.0]]))
    first = (one("x"),)
    window.write("k", first, 3000, [3.0])
    window.write("k", (), 4000, [])
    value = Expression("n").at(window, 4000)
    assert isinstance(value, Vector)
    assert len(value) == 0


def test_the_keeper_is_told_of_every_sample_and_of_every_end() -> None:
    window = Window()
    told: list[tuple[str, int, bool]] = []

    def keeper(series: object, times: np.ndarray, values: np.ndarray) -> None:
        for column, labels in enumerate(series):  # type: ignore[arg-type,var-annotated]
            stale = values[:, column].view(np.uint64)[0] == STALE_BITS
            told.append((labels.get("a"), int(times[0]), bool(stale)))

    window.keeper = keeper
    both, less = (one("x"), one("y")), (one("y"),)
    window.write("k", both, 1000, [1.0, 2.0])
    window.write("k", less, 2000, [2.0])
    window.end("k", 3000)
    window.end("k", 4000)
    assert told == [
        ("x", 1000, False),
        ("y", 1000, False),
        ("y", 2000, False),
        ("x", 2000, True),
        ("y", 3000, True),
    ]


@given(
    st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 20), min_size=1, max_size=8, unique=True),
    st.lists(st.lists(st.sampled_from("xyz"), max_size=3, unique=True), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_or_doubled_however_series_come_back(
    names: list[str], before: list[int], after: list[list[str]]
) -> None:
    window = Window()
    times = np.array(sorted(before)) * 1000
    values = np.arange(float(len(times) * len(names))).reshape(len(times), len(names))
    window.load(tuple(map(one, names)), times, values)
    expected = {
        name: [(int(t), float(v)) for t, v in zip(times, values[:, place], strict=True)]
        for place, name in enumerate(names)
    }
    for step, these in enumerate(after):
        at_ms = 30_000 + step * 1000
        window.write("k", tuple(map(one, these)), at_ms, [float(step)] * len(these))
        for name in these:
            expected.setdefault(name, []).append((at_ms, float(step)))
    assert samples(window, "n[10m]", 60_000) == expected
