from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.history.rollup import MINUTE_MS, Column, rolled
from rules.promql.values import ABSENT, STALE
from tests.fixtures.histories import bits

NAN = float("nan")


def minute_of(values: list[float], times: list[int] | None = None) -> dict[Column, float]:
    at = np.array(times or [10_000 * (place + 1) for place in range(len(values))], dtype=np.int64)
    rollup = rolled(at, np.array(values)[:, None])
    assert len(rollup.times) == 1
    return {column: float(rollup.column(column)[0, 0]) for column in Column}


def test_a_minute_is_told_by_four_numbers() -> None:
    assert minute_of([3.0, 1.0, 4.0, 2.0]) == {
        Column.LAST: 2.0, Column.MIN: 1.0, Column.MAX: 4.0, Column.MEAN: 2.5
    }  # fmt: skip


def test_a_minutes_time_is_its_end_and_the_end_belongs_to_it() -> None:
    times = np.array([MINUTE_MS + 1, 2 * MINUTE_MS, 2 * MINUTE_MS + 1, 4 * MINUTE_MS])
    rollup = rolled(times, np.array([[1.0], [2.0], [3.0], [4.0]]))
    assert rollup.times.tolist() == [2 * MINUTE_MS, 3 * MINUTE_MS, 4 * MINUTE_MS]
    assert rollup.last[:, 0].tolist() == [2.0, 3.0, 4.0]


def test_not_a_number_counts_only_where_there_is_nothing_else() -> None:
    found = minute_of([NAN, 5.0, 7.0])
    assert (found[Column.MIN], found[Column.MAX], found[Column.MEAN]) == (5.0, 7.0, 6.0)
    assert all(np.isnan(value) for value in minute_of([NAN, NAN]).values())


def test_a_series_that_ends_in_a_minute_has_the_mark_as_its_last_value() -> None:
    rollup = rolled(np.array([10_000, 20_000]), np.array([[4.0], [STALE]]))
    assert bits(rollup.last) == bits(np.array([STALE]))
    assert rollup.column(Column.MEAN)[0, 0] == 4.0


def test_a_minute_with_nothing_but_the_mark_has_it_everywhere() -> None:
    rollup = rolled(np.array([10_000, 20_000]), np.array([[ABSENT], [STALE]]))
    for column in Column:
        assert bits(rollup.column(column)) == bits(np.array([STALE])), column


def test_a_minute_without_a_sample_has_none() -> None:
    rollup = rolled(np.array([10_000, 70_000]), np.array([[1.0, ABSENT], [ABSENT, 2.0]]))
    for column in Column:
        assert bits(rollup.column(column)) == bits(np.array([[1.0, ABSENT], [ABSENT, 2.0]])), column


def test_infinities_are_numbers() -> None:
    found = minute_of([float("inf"), 1.0])
    assert (found[Column.MIN], found[Column.MAX], found[Column.MEAN]) == (1.0, float("inf"), float("inf"))
    assert np.isnan(minute_of([float("inf"), float("-inf")])[Column.MEAN])


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=30))
@settings(deadline=None)
def test_the_numbers_are_those_of_the_samples(values: list[float]) -> None:
    found = minute_of(values, [10_000 + place for place in range(len(values))])
    assert found[Column.MIN] == min(values)
    assert found[Column.MAX] == max(values)
    assert found[Column.LAST] == values[-1]
    largest = max(abs(value) for value in values)
    assert abs(found[Column.MEAN] - float(np.mean(values))) <= 1e-12 * max(largest, 1e-300)
