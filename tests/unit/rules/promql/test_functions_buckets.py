"""histogram_quantile over series of cumulative counts."""

from __future__ import annotations

import math

import pytest

from rules.errors import EvalError
from rules.window import Window
from tests.fixtures.promql_samples import answer, only, same, samples


def histogram(counts: dict[str, str], **labels: str) -> Window:
    more = "".join(f', {name}="{value}"' for name, value in labels.items())
    return samples({f'h_bucket{{le="{bound}"{more}}}': count for bound, count in counts.items()})


PLAIN = histogram({"0.1": "2", "0.5": "6", "1": "8", "+Inf": "10"})


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, 0),
        (0.1, 0.05),
        (0.2, 0.1),
        (0.5, 0.1 + 0.4 * 3 / 4),
        (0.6, 0.5),
        (0.75, 0.5 + 0.5 * 1.5 / 2),
        (0.8, 1),
        (0.9, 1),
        (1, 1),
        (-0.1, -math.inf),
        (1.1, math.inf),
        (math.nan, math.nan),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(share: float, expected: float) -> None:
    assert same(only(PLAIN, f"histogram_quantile({share}, h_bucket)"), expected, within=1e-15)


def test_the_lowest_bucket_begins_at_zero_unless_it_is_below() -> None:
    window = histogram({"-2": "4", "0": "6", "2": "8", "+Inf": "8"})
    assert only(window, "histogram_quantile(0.1, h_bucket)") == -2
    assert only(window, "histogram_quantile(0.625, h_bucket)") == -2 + 2 * 1 / 2
    assert only(window, "histogram_quantile(1, h_bucket)") == 2


@pytest.mark.parametrize(
    "counts",
    [
        {"1": "5", "2": "6"},
        {"+Inf": "5"},
        {"1": "0", "+Inf": "0"},
        {"1": "5", "2": "5", "+Inf": "stale"},
    ],
    ids=["no +Inf", "one bucket", "no observations", "+Inf ended"],
)
def test_there_is_no_quantile_of(counts: dict[str, str]) -> None:
    assert math.isnan(only(histogram(counts), "histogram_quantile(0.5, h_bucket)"))


def test_counts_that_fall_are_lifted() -> None:
    window = histogram({"1": "5", "2": "3", "3": "9", "+Inf": "8"})
    # as if they were 5, 5, 9, 9
    assert only(window, "histogram_quantile(0.75, h_bucket)") == pytest.approx(2 + (6.75 - 5) / 4)
    assert only(window, "histogram_quantile(1, h_bucket)") == 3


def test_a_rise_too_small_to_be_one_is_none() -> None:
    window = histogram({"1": "10", "2": "10.000000000000002", "+Inf": "10.000000000000002"})
    assert only(window, "histogram_quantile(1, h_bucket)") == 1
    # a real one, ten thousand times as large, counts
    window = histogram({"1": "10", "2": "10.0000000001", "+Inf": "10.0000000001"})
    assert only(window, "histogram_quantile(1, h_bucket)") == 2


def test_bounds_that_are_the_same_number_are_one_bucket() -> None:
    window = histogram({"1": "1", "1.0": "2", "2": "6", "+Inf": "6"})
    assert only(window, "histogram_quantile(0.75, h_bucket)") == 1 + 1.5 / 3


@pytest.mark.parametrize("bound", ["2", "2.0", "+2", "2e0", ".2e1", "0x1p1", "0X.1P5", "0_2", "2."])
def test_a_bound_is_read_as_go_reads_it(bound: str) -> None:
    window = histogram({"1": "1", bound: "3", "inf": "3"})
    assert only(window, "histogram_quantile(1, h_bucket)") == 2


@pytest.mark.parametrize(
    "bound", ["two", " 2", "2 ", "", "0x2", "1e400", "0x1p5000", "_2", "2_", "2__0", "١"]
)
def test_a_series_without_a_bound_is_no_bucket(bound: str) -> None:
    window = histogram({"1": "1", bound: "3", "+Infinity": "3"})
    assert only(window, "histogram_quantile(1, h_bucket)") == 1
    assert answer(samples({"x": "1", 'x{le="no"}': "2"}), "histogram_quantile(0.5, x)") == {}
    assert answer(samples({}), "histogram_quantile(0.5, x)") == {}


def test_each_histogram_has_its_own_quantile_and_loses_name_and_bound() -> None:
    window = samples(
        {
            'h_bucket{le="1", a="1"}': "1",
            'h_bucket{le="1", a="2"}': "4",
            'h_bucket{le="+Inf", a="2"}': "4",
            'h_bucket{le="+Inf", a="1"}': "4",
            'h_bucket{le="2", a="1"}': "4",
        }
    )
    assert answer(window, "histogram_quantile(0.5, h_bucket)") == {
        '{a="1"}': pytest.approx(1 + 1 / 3),
        '{a="2"}': 0.5,
    }


def test_buckets_that_a_comparison_took_away_are_not_there() -> None:
    assert only(PLAIN, "histogram_quantile(0.5, h_bucket > 2)") == 0.5 * 5 / 6
    assert answer(PLAIN, "histogram_quantile(0.5, h_bucket > 20)") == {}


def test_two_histograms_may_not_become_one_without_their_names() -> None:
    window = samples({f'{name}{{le="{le}"}}': "1" for name in "xy" for le in ("1", "+Inf")})
    with pytest.raises(EvalError, match="vector cannot contain metrics with the same labelset"):
        answer(window, 'histogram_quantile(0.5, {__name__=~"x|y"})')


def test_an_unknown_count_gives_what_prometheus_gives() -> None:
    window = histogram({"1": "1", "2": "3", "+Inf": "NaN"})
    assert only(window, "histogram_quantile(0.5, h_bucket)") == 2


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ("-Inf", "Inf", 1),
        ("0", "Inf", 1),
        ("0", "0.1", 0.2),
        ("0.1", "0.5", 0.4),
        ("0.05", "0.3", (1 + 2) / 10),
        ("-5", "0.3", 4 / 10),
        ("0.5", "1", 0.2),
        ("1", "Inf", 0.2),
        ("1", "5", 0),
        ("2", "Inf", 0.2),
        ("0.5", "0.5", 0),
        ("1", "0", 0),
        ("NaN", "1", math.nan),
        ("0", "NaN", math.nan),
    ],
)
def test_a_fraction_is_interpolated_within_its_buckets(lower: str, upper: str, expected: float) -> None:
    assert same(only(PLAIN, f"histogram_fraction({lower}, {upper}, h_bucket)"), expected, within=1e-15)


def test_what_is_in_a_lowest_bucket_below_zero_is_below_any_value_in_it() -> None:
    window = histogram({"-2": "4", "0": "6", "+Inf": "8"})
    assert only(window, "histogram_fraction(-3, 0, h_bucket)") == 2 / 8
    assert only(window, "histogram_fraction(-Inf, -3, h_bucket)") == 4 / 8
    assert only(window, "histogram_fraction(-1, Inf, h_bucket)") == 3 / 8


def test_there_is_no_fraction_without_observations_or_an_infinite_bucket() -> None:
    assert math.isnan(only(histogram({"1": "0", "+Inf": "0"}), "histogram_fraction(0, 1, h_bucket)"))
    assert math.isnan(only(histogram({"1": "4"}), "histogram_fraction(0, 1, h_bucket)"))
    assert only(histogram({"+Inf": "4"}), "histogram_fraction(0, Inf, h_bucket)") == 1
    assert answer(samples({}), "histogram_fraction(0, 1, h_bucket)") == {}


def test_a_fraction_is_that_of_each_histogram() -> None:
    bounds = {"1": "1 2", "2": "2 3", "+Inf": "2 4"}
    window = samples(
        {
            f'h_bucket{{le="{le}", a="{a}"}}': text if a == "1" or le != "2" else "_"
            for le, text in bounds.items()
            for a in "12"
        }
    )
    assert answer(window, "histogram_fraction(0, 2, h_bucket)", 60) == {'{a="1"}': 0.75, '{a="2"}': 0.5}
