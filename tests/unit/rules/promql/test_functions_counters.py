"""rate, increase, delta and their kin, with numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rules.errors import EvalError
from rules.labels import labels_of
from rules.promql import Expression, Vector
from rules.window import Window
from tests.fixtures.promql_samples import answer, only, same, samples

STEADY = samples({'x{a="1"}': "0 10 20 30 40 50 60 70 80 90", 'x{a="2"}': "_ _ _ _ _ _ _ _ _ 5"})


def test_an_increase_is_extrapolated_to_both_edges_when_they_are_near() -> None:
    # samples at 300..540 s gain 40 in 240 s; 53 s are missing at the start and 7 s at the end
    assert only(STEADY, "increase(x[5m])", 547) == pytest.approx(40 * (240 + 53 + 7) / 240)
    assert only(STEADY, "rate(x[5m])", 547) == pytest.approx(40 * (240 + 53 + 7) / 240 / 300)
    assert only(STEADY, "delta(x[5m])", 547) == pytest.approx(50)


def test_a_series_with_one_sample_in_the_range_has_no_rate() -> None:
    for function in ("rate", "increase", "delta", "irate", "idelta", "deriv"):
        assert answer(STEADY, f'{function}(x{{a="2"}}[5m])', 547) == {}
    assert answer(STEADY, 'changes(x{a="2"}[5m])', 547) == {'{a="2"}': 0}


def test_an_increase_goes_half_an_interval_beyond_a_far_edge() -> None:
    window = samples({"x": "_ _ _ 1000 1010 1020"})
    # 173 s to the start are more than 1.1 intervals of 60 s
    assert only(window, "increase(x[5m])", 307) == pytest.approx(20 * (120 + 30 + 7) / 120)
    # and so are 140 s to the end
    assert only(window, "increase(x[6m])", 440) == pytest.approx(20 * (120 + 30 + 30) / 120)


def test_the_edge_is_far_from_just_11_tenths_of_an_interval() -> None:
    window = samples({"x": "1000 1010 1020 1030 1040"})
    assert only(window, "delta(x[6m])", 240 + 65.999) == pytest.approx(40 * (240 + 65.999 + 54.001) / 240)
    assert only(window, "delta(x[7m])", 240 + 66) == pytest.approx(40 * (240 + 30 + 30) / 240)


def test_a_counter_is_never_extrapolated_below_zero() -> None:
    window = samples({"x": "_ _ _ 10 40 70"})
    # at 30 a minute it was 0 just 20 s before the first sample
    assert only(window, "increase(x[5m])", 307) == pytest.approx(60 * (120 + 20 + 7) / 120)
    assert only(window, "delta(x[5m])", 307) == pytest.approx(60 * (120 + 30 + 7) / 120)


def test_a_zero_that_is_further_than_half_an_interval_does_not_stretch_a_far_edge() -> None:
    window = samples({"x": "_ _ _ 10 20 30"})
    assert only(window, "increase(x[5m])", 307) == pytest.approx(20 * (120 + 30 + 7) / 120)


def test_a_counter_that_starts_again_gains_what_it_had_before() -> None:
    window = samples({"x": "100 150 20 30 5 5"})
    gained = (5 - 100) + 150 + 30
    # the first sample would not reach zero within the range
    assert only(window, "increase(x[6m])", 307) == pytest.approx(gained * (300 + 53 + 7) / 300)
    assert only(window, "resets(x[6m])", 307) == 2
    assert only(window, "changes(x[6m])", 307) == 4
    assert only(window, "delta(x[6m])", 307) == pytest.approx((5 - 100) * (300 + 53 + 7) / 300)


def test_a_sample_at_the_left_edge_is_not_in_the_range() -> None:
    assert answer(STEADY, 'rate(x{a="1"}[1m])', 540) == {}
    assert answer(STEADY, 'rate(x{a="1"}[61s])', 540) == {'{a="1"}': pytest.approx(10 * 61 / 60 / 61)}


def test_irate_looks_at_the_last_two_samples_and_knows_restarts() -> None:
    window = samples({'x{a="up"}': "0 0 30 90", 'x{a="again"}': "0 0 90 30", 'x{a="odd"}': "0 0 NaN 30"})
    assert answer(window, "irate(x[5m])", 187) == {
        '{a="up"}': 1,
        '{a="again"}': 0.5,
        '{a="odd"}': pytest.approx(math.nan, nan_ok=True),
    }
    assert answer(window, 'idelta(x{a!="odd"}[5m])', 187) == {'{a="up"}': 60, '{a="again"}': -60}


def test_gaps_do_not_matter_to_irate() -> None:
    assert only(samples({"x": "0 10 _ _ 40 _"}), "irate(x[10m])", 300) == 30 / 180


def test_nan_is_one_value_to_changes() -> None:
    window = samples({"x": "NaN NaN 1 1 NaN 2 2"})
    assert only(window, "changes(x[10m])", 360) == 3
    assert only(window, "resets(x[10m])", 360) == 0


def test_a_line_through_level_samples_is_exact() -> None:
    window = samples(
        {'x{a="level"}': "0.1 0.1 0.1 0.1", 'x{a="endless"}': "Inf Inf Inf", 'x{a="odd"}': "1 NaN 3"}
    )
    assert only(window, 'deriv(x{a="level"}[5m])', 180) == 0
    assert only(window, 'predict_linear(x{a="level"}[5m], 3600)', 180) == 0.1
    assert math.isnan(only(window, 'deriv(x{a="endless"}[5m])', 180))
    assert math.isnan(only(window, 'predict_linear(x{a="odd"}[5m], 60)', 180))


def test_deriv_is_the_slope_of_the_least_squares() -> None:
    # y = 1, 3, 2 at x = 0, 60, 120: the slope is (2 - 1) / 120
    assert only(samples({"x": "1 3 2"}), "deriv(x[5m])", 125) == pytest.approx(1 / 120)


def test_a_prediction_starts_at_the_time_of_evaluation_also_for_an_old_range() -> None:
    assert only(STEADY, 'predict_linear(x{a="1"}[5m], 60)', 547) == pytest.approx(547 / 6 + 10)
    assert only(STEADY, 'predict_linear(x{a="1"}[5m] offset 2m, 60)', 547) == pytest.approx(547 / 6 + 10)
    assert only(STEADY, 'predict_linear(x{a="1"}[5m] @ 300, 60)', 547) == pytest.approx(547 / 6 + 10)
    assert only(STEADY, 'predict_linear(x{a="1"}[5m], scalar(vector(30)) * 2)', 547) == pytest.approx(
        547 / 6 + 10
    )


def test_a_range_of_a_subquery_has_the_subquerys_edges() -> None:
    # steps at 360, 420, 480, 540 gain 30 in 180 s, up to 547
    assert only(STEADY, 'increase(x{a="1"}[4m:1m])', 547) == pytest.approx(30 * (180 + 53 + 7) / 180)


def test_the_metric_name_goes_and_two_series_may_not_become_one() -> None:
    window = samples({"x": "1 2 3", "y": "1 2 3", 'z{a="1"}': "1 2 3"})
    with pytest.raises(EvalError, match=r"^vector cannot contain metrics with the same labelset$"):
        answer(window, 'rate({__name__=~"x|y"}[5m])', 125)
    assert set(answer(window, 'rate({__name__=~"x|z"}[5m])', 125)) == {"{}", '{a="1"}'}


def test_a_range_without_samples_gives_nothing() -> None:
    for function in ("rate", "changes", "deriv"):
        assert answer(STEADY, f"{function}(nothing[5m])", 547) == {}
        assert answer(STEADY, f"{function}(x[5m])", 5000) == {}


def test_the_answer_is_the_same_for_few_and_for_many_columns() -> None:
    text = " ".join(str(value) for value in (5, 7, 1, 8, 9, 9, 3, 4))
    many = samples(
        {f'x{{i="{i}"}}': text for i in range(40)} | {f'x{{j="{i}"}}': "_ " + text for i in range(40)}
    )
    one = samples({"x": text})
    for function in ("rate", "deriv", "stddev_over_time", "avg_over_time", "changes"):
        found = answer(many, f"{function}(x[10m])", 420)
        expected = only(one, f"{function}(x[10m])", 420)
        assert all(same(value, expected) for labels, value in found.items() if 'i="' in labels), function
        assert len(found) == 80


def test_the_answer_is_the_same_for_thousands_of_columns() -> None:
    window = Window()
    widths = [500] * 10 + [600, 5000, 1]
    for sheet, width in enumerate(widths):
        labels = [labels_of({"__name__": "x", "s": str(sheet), "i": str(column)}) for column in range(width)]
        start = np.arange(width) * 100.0
        for place, step in enumerate([0, 7, 3, 9, 2]):
            window.write(sheet, labels, place * 60_000 + sheet, start + step * 10)
    for function in ("delta", "sum_over_time", "max_over_time"):
        found = Expression(f"{function}(x[5m])").at(window, 270_000)
        assert isinstance(found, Vector)
        assert len(found) == sum(widths)
        values = dict(found.items())
        for sheet, width in enumerate(widths):
            one = Expression(f'{function}(x{{s="{sheet}",i="{width - 1}"}}[5m])').at(window, 270_000)
            assert isinstance(one, Vector)
            ((labels, value),) = one.items()
            assert values[labels] == value
