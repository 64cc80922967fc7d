"""What instant selectors find is the newest sample of each series, whatever became of its sheet."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.labels import Labels, labels_of
from rules.promql import Expression, Vector
from rules.promql.context import LOOKBACK_MS
from rules.promql.values import ABSENT
from rules.window import Window

STEP_MS = 60_000
SERIES = tuple(labels_of({"__name__": name, "a": letter}) for letter in "uvwxyz" for name in ("n", "m"))


class Model:
    """A window, and beside it what it should tell."""

    def __init__(self) -> None:
        self.window = Window()
        self.now = STEP_MS
        self.samples: dict[Labels, list[tuple[int, float | None]]] = {}
        """By series: times and values; None is the end."""
        self.sheets: dict[str, tuple[Labels, ...]] = {}

    def load(self, series: tuple[Labels, ...]) -> None:
        new = tuple(each for each in series if each not in self.samples)
        if new:
            self.now += STEP_MS
            self.window.load(new, np.array([self.now]), np.arange(len(new), dtype=float).reshape(1, -1))
            for place, each in enumerate(new):
                self.samples[each] = [(self.now, float(place))]

    def write(self, key: str, series: tuple[Labels, ...]) -> None:
        others = {each for other, held in self.sheets.items() if other != key for each in held}
        series = tuple(each for each in series if each not in others)
        before = self.sheets.get(key, ())
        if not series and not before:
            return
        self.now += STEP_MS
        self.window.write(key, series, self.now, [float(self.now + place) for place in range(len(series))])
        for each in set(before).difference(series):
            self.samples[each].append((self.now, None))
        for place, each in enumerate(series):
            self.samples.setdefault(each, []).append((self.now, float(self.now + place)))
        self.sheets[key] = series

    def end(self, key: str) -> None:
        if self.sheets.get(key):
            self.now += STEP_MS
            self.window.end(key, self.now)
            for each in self.sheets.pop(key):
                self.samples[each].append((self.now, None))
            self.sheets[key] = ()

    def expected(self, at_ms: int) -> dict[Labels, float]:
        found = {}
        for labels, samples in self.samples.items():
            newest = [value for time, value in samples if at_ms - LOOKBACK_MS < time <= at_ms][-1:]
            if newest and newest[0] is not None:
                found[labels] = newest[0]
        return found

    def found(self, at_ms: int) -> dict[Labels, float]:
        """Ask for each metric by its name, and for both at a time."""
        named = _items(self.window, "n", at_ms) | _items(self.window, "m", at_ms)
        assert named == _items(self.window, '{__name__=~"[nm]"}', at_ms)
        assert _items(self.window, f"n offset {STEP_MS * 2 // 1000}s", at_ms + 2 * STEP_MS) == {
            labels: value for labels, value in named.items() if labels.name == "n"
        }
        return named


def _items(window: Window, text: str, at_ms: int) -> dict[Labels, float]:
    value = Expression(text).at(window, at_ms)
    assert isinstance(value, Vector)
    return dict(value.items())


some = st.lists(st.sampled_from(SERIES), max_size=len(SERIES), unique=True).map(tuple)
does = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("abc"), some),
    st.tuples(st.just("end"), st.sampled_from("abc"), st.just(())),
    st.tuples(st.just("load"), st.just(""), some),
    st.tuples(st.just("trim"), st.just(""), st.just(())),
    st.tuples(st.just("wait"), st.just(""), st.just(())),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(does, min_size=1, max_size=25))
def test_the_newest_sample_is_found_whatever_came_and_went(
    steps: list[tuple[str, str, tuple[Labels, ...]]],
) -> None:
    model = Model()
    for what, key, series in steps:
        match what:
            case "write":
                model.write(key, series)
            case "end":
                model.end(key)
            case "load":
                model.load(series)
            case "trim":
                model.window.trim(model.now)
            case _:
                model.now += 3 * STEP_MS
        assert model.found(model.now) == model.expected(model.now)


def test_what_a_clock_that_is_set_back_cuts_off_is_not_found() -> None:
    window = Window()
    for at_ms, value in ((10_000, 1.0), (20_000, 2.0), (30_000, 3.0)):
        window.write("k", (SERIES[0], SERIES[1]), at_ms, [value, value + 10])
    window.cut(20_000)
    assert _items(window, "n", 30_000) == {SERIES[0]: 2.0}
    assert _items(window, "m", 30_000) == {SERIES[1]: 12.0}
    window.cut(5_000)
    assert _items(window, "n", 30_000) == {}


def test_a_sheet_that_is_left_goes_on_in_the_one_that_writes_its_series_next() -> None:
    window = Window()
    pair = (SERIES[0], SERIES[1])
    window.write("old", pair, 10_000, [1.0, 2.0])
    window.leave("old")
    assert _items(window, "n", 15_000) == {SERIES[0]: 1.0}
    window.write("new", (SERIES[0],), 20_000, [3.0])
    assert _items(window, "n", 20_000) == {SERIES[0]: 3.0}
    value = Expression("count_over_time(n[1m])").at(window, 20_000)
    assert isinstance(value, Vector)
    assert [number for _, number in value.items()] == [2.0]
    assert len(list(window.series())) == len(pair)


def test_all_samples_are_given_with_their_gaps() -> None:
    window = Window()
    window.write("k", (SERIES[0],), 10_000, [1.0])
    window.write("k", (SERIES[0], SERIES[1]), 20_000, [2.0, 5.0])
    [(series, times, values)] = window.samples()
    assert list(series) == [SERIES[0], SERIES[1]]
    assert times.tolist() == [10_000, 20_000]
    assert values.view(np.uint64).tolist() == np.array([[1.0, ABSENT], [2.0, 5.0]]).view(np.uint64).tolist()
