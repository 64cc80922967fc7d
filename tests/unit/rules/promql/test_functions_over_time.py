"""`*_over_time`: sums that keep what rounding takes, and what they make of NaN and infinity."""

from __future__ import annotations

import math

import pytest

from rules.promql import Expression, Vector
from rules.promql.values import Matrix
from tests.fixtures.promql_samples import answer, only, same, samples

HUGE = "1.7e308"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("avg_over_time(x[5m])", 2.8),
        ("min_over_time(x[5m])", 1),
        ("max_over_time(x[5m])", 5),
        ("sum_over_time(x[5m])", 14),
        ("count_over_time(x[5m])", 5),
        ("stdvar_over_time(x[5m])", 2.16),
        ("stddev_over_time(x[5m])", math.sqrt(2.16)),
        ("last_over_time(x[5m])", 2),
        ("present_over_time(x[5m])", 1),
        ("quantile_over_time(0.5, x[5m])", 2),
        ("quantile_over_time(0.8, x[5m])", 4.2),
        ("quantile_over_time(0, x[5m])", 1),
        ("quantile_over_time(1, x[5m])", 5),
    ],
)
def test_samples_are_summed_up(function: str, expected: float) -> None:
    window = samples({"x": "9 2 1 4 5 2"})
    assert only(window, function, 307) == pytest.approx(expected, rel=1e-15)


def test_a_sum_keeps_what_rounding_takes() -> None:
    window = samples({"x": "1e100 1 -1e100 1 1", 'y{a="1"}': "1e16 1 1 1 1 1 1 1 1", "z": "0.1 " * 10})
    assert only(window, "sum_over_time(x[10m])", 599) == 3
    assert only(window, "avg_over_time(x[10m])", 599) == 2 / 5 + 1 / 5
    assert only(window, "sum_over_time(y[10m])", 599) == 1e16 + 8
    assert only(window, "sum_over_time(z[20m])", 600) == 1.0
    assert only(window, "stdvar_over_time(z[20m])", 600) == 0.0


def test_the_variance_of_large_numbers_is_not_lost() -> None:
    window = samples({"x": "1e10 10000000001 10000000002"})
    assert only(window, "stdvar_over_time(x[10m])", 180) == pytest.approx(2 / 3, rel=1e-12)


def test_a_mean_is_finite_where_the_sum_is_not() -> None:
    window = samples({'x{a="1"}': f"{HUGE} {HUGE} {HUGE}", 'x{a="2"}': f"{HUGE} {HUGE} -{HUGE} -{HUGE}"})
    assert only(window, 'avg_over_time(x{a="1"}[5m])', 180) == 1.7e308
    assert only(window, 'sum_over_time(x{a="1"}[5m])', 180) == math.inf
    assert only(window, 'avg_over_time(x{a="2"}[5m])', 200) == pytest.approx(0, abs=1e293)


@pytest.mark.parametrize(
    ("values", "total", "mean"),
    [
        ("1 Inf 2", math.inf, math.inf),
        ("-Inf 1 2", -math.inf, -math.inf),
        ("Inf -Inf 1", math.nan, math.nan),
        ("1 NaN 2", math.nan, math.nan),
        ("Inf Inf Inf", math.inf, math.inf),
        ("Inf NaN Inf", math.nan, math.nan),
    ],
)
def test_infinity_stays_and_nan_wins(values: str, total: float, mean: float) -> None:
    window = samples({"x": values})
    assert same(only(window, "sum_over_time(x[5m])", 180), total)
    assert same(only(window, "avg_over_time(x[5m])", 180), mean)
    assert math.isnan(only(window, "stdvar_over_time(x[5m])", 180))


@pytest.mark.parametrize(
    ("values", "least", "greatest"),
    [
        ("NaN 2 1", 1, 2),
        ("2 NaN 1", 1, 2),
        ("1 2 NaN", 1, 2),
        ("NaN NaN NaN", math.nan, math.nan),
        ("-Inf NaN Inf", -math.inf, math.inf),
    ],
)
def test_nan_is_neither_least_nor_greatest_unless_there_is_nothing_else(
    values: str, least: float, greatest: float
) -> None:
    window = samples({"x": values})
    assert same(only(window, "min_over_time(x[5m])", 180), least)
    assert same(only(window, "max_over_time(x[5m])", 180), greatest)


def test_nan_is_less_than_any_number_to_a_quantile() -> None:
    window = samples({"x": "3 NaN 1 2"})
    assert math.isnan(only(window, "quantile_over_time(0, x[5m])", 200))
    assert only(window, "quantile_over_time(1, x[5m])", 200) == 3
    assert only(window, "quantile_over_time(2/3, x[5m])", 200) == pytest.approx(2)


def test_a_quantile_outside_of_0_to_1_is_infinite() -> None:
    window = samples({"x": "3 1 2"})
    assert only(window, "quantile_over_time(-0.1, x[5m])", 200) == -math.inf
    assert only(window, "quantile_over_time(1.1, x[5m])", 200) == math.inf
    assert math.isnan(only(window, "quantile_over_time(NaN, x[5m])", 200))
    assert only(window, "quantile_over_time(scalar(vector(1)), x[5m])", 200) == 3


def test_only_the_last_keeps_the_metric_name() -> None:
    window = samples({'x{a="1"}': "1 2"})
    assert set(answer(window, "last_over_time(x[5m])", 61)) == {'x{a="1"}'}
    for function in ("avg", "min", "max", "sum", "count", "stddev", "stdvar", "present"):
        assert set(answer(window, f"{function}_over_time(x[5m])", 61)) == {'{a="1"}'}


def test_a_staleness_marker_is_no_sample_of_a_range() -> None:
    window = samples({"x": "1 2 stale _ 5"})
    assert only(window, "count_over_time(x[10m])", 250) == 3
    assert only(window, "last_over_time(x[3m])", 170) == 2


def test_absence_over_time_has_the_labels_that_the_selector_fixes() -> None:
    window = samples({'x{a="1"}': "1 _ _ _ _ _ _ stale"})
    assert answer(window, 'absent_over_time(x{a="1"}[5m])', 60) == {}
    assert answer(window, 'absent_over_time(x{a="1",b=~"2"}[5m])', 60) == {'{a="1"}': 1}
    assert answer(window, 'absent_over_time(x{a="1"}[5m])', 430) == {'{a="1"}': 1}
    assert answer(window, 'absent_over_time((x{a="2"}[5m] offset 1m))', 60) == {'{a="2"}': 1}
    assert answer(window, 'absent_over_time(x{a="2"}[5m:1m])', 60) == {"{}": 1}


def test_a_range_without_samples_gives_nothing() -> None:
    window = samples({"x": "1 2 3"})
    for function in ("avg_over_time(", "last_over_time(", "present_over_time(", "quantile_over_time(0.5, "):
        assert answer(window, f"{function}nothing[5m])", 100) == {}
        assert answer(window, f"{function}x[1m])", 1000) == {}


def test_rows_stay_the_same_objects_from_one_evaluation_to_the_next() -> None:
    window = samples({'x{a="1"}': "1 2 3", 'x{a="2"}': "1 _ 3"})
    matrix = Expression("x[5m]").at(window, 130_000)
    kept = Expression("last_over_time(x[5m])").at(window, 130_000)
    rate = Expression("rate(x[5m])")
    first, second = rate.at(window, 130_000), rate.at(window, 100_000)
    assert isinstance(matrix, Matrix)
    assert isinstance(kept, Vector)
    assert isinstance(first, Vector)
    assert isinstance(second, Vector)
    assert first.rows is second.rows
    assert len(first) == 2
    assert len(second) == 1
