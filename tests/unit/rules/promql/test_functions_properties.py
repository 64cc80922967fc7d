"""What holds of the functions whatever the samples are."""

from __future__ import annotations

import itertools
import math
import statistics

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.labels import labels_of
from rules.promql import Expression
from rules.window import Window
from tests.fixtures.promql_samples import answer, only, same

NUMBERS = st.floats(-1e9, 1e9).map(lambda number: round(number, 6))
COUNTS = st.floats(0, 1e9).map(lambda number: round(number, 3))
ANYTHING = st.one_of(NUMBERS, st.sampled_from([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 0.0]))
TIMES = st.lists(st.integers(1, 3_599_999), min_size=2, max_size=30, unique=True).map(sorted)
END = 3600.0
QUICK = settings(max_examples=60, deadline=None)

EXPRESSIONS = {
    name: Expression(f"{name}(x[1h])")
    for name in (
        *("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"),
        *(f"{name}_over_time" for name in ("avg", "min", "max", "sum", "count", "stddev", "stdvar", "last")),
    )
}


def window_of(series: dict[str, list[tuple[int, float]]]) -> Window:
    window = Window(lambda _name: 10**9)
    for label, points in series.items():
        labels = [labels_of({"__name__": "x", "a": label})]
        for at_ms, value in points:
            window.write(label, labels, at_ms, [value])
    return window


def given_of(name: str, points: list[tuple[int, float]]) -> float:
    (pair,) = EXPRESSIONS[name].at(window_of({"1": points}), round(END * 1000)).items()  # type: ignore[union-attr]
    return pair[1]


@st.composite
def points(draw: st.DrawFn, values: st.SearchStrategy[float] = NUMBERS) -> list[tuple[int, float]]:
    return [(at_ms, draw(values)) for at_ms in draw(TIMES)]


@given(points(COUNTS))
@QUICK
def test_a_counter_never_has_a_negative_rate_and_an_increase_is_the_rate_times_the_range(
    series: list[tuple[int, float]],
) -> None:
    rate, increase = given_of("rate", series), given_of("increase", series)
    assert rate >= 0
    assert math.isclose(increase, rate * 3600, rel_tol=1e-12)
    assert given_of("irate", series) >= 0


@given(points())
@QUICK
def test_a_delta_turns_its_sign_with_the_samples(series: list[tuple[int, float]]) -> None:
    turned = [(at_ms, -value) for at_ms, value in series]
    assert given_of("delta", series) == -given_of("delta", turned)
    assert given_of("idelta", series) == -given_of("idelta", turned)


@given(points(st.integers(0, 3).map(float)))
@QUICK
def test_every_step_is_a_rise_a_fall_or_none(series: list[tuple[int, float]]) -> None:
    back = [(3_600_000 - at_ms, value) for at_ms, value in reversed(series)]
    equal = sum(one[1] == other[1] for one, other in itertools.pairwise(series))
    changes, falls, rises = given_of("changes", series), given_of("resets", series), given_of("resets", back)
    assert changes == falls + rises
    assert changes + equal == len(series) - 1
    assert given_of("changes", back) == changes


@given(points())
@QUICK
def test_sums_are_those_of_exact_arithmetic(series: list[tuple[int, float]]) -> None:
    values = [value for _, value in series]
    scale = max(map(abs, values)) * len(values)
    assert math.isclose(
        given_of("sum_over_time", series), math.fsum(values), rel_tol=1e-15, abs_tol=1e-20 * scale
    )
    assert math.isclose(
        given_of("avg_over_time", series),
        math.fsum(values) / len(values),
        rel_tol=1e-14,
        abs_tol=1e-15 * scale,
    )
    assert math.isclose(
        given_of("stdvar_over_time", series),
        statistics.pvariance(values),
        rel_tol=1e-9,
        abs_tol=1e-12 * scale,
    )
    assert given_of("count_over_time", series) == len(values)
    assert given_of("last_over_time", series) == values[-1]


@given(points(), st.floats(0, 1), st.floats(0, 1))
@QUICK
def test_a_quantile_lies_between_least_and_greatest_and_grows(
    series: list[tuple[int, float]], one: float, other: float
) -> None:
    window = window_of({"1": series})
    low, high = (only(window, f"quantile_over_time({share}, x[1h])", END) for share in sorted((one, other)))
    least, greatest = given_of("min_over_time", series), given_of("max_over_time", series)
    slack = 1e-15 * max(abs(least), abs(greatest))
    assert least - slack <= low <= high + slack
    assert high <= greatest + slack


@given(points(), st.integers(-3600, 3600))
@QUICK
def test_a_prediction_follows_the_line(series: list[tuple[int, float]], ahead: int) -> None:
    window = window_of({"1": series})
    now = only(window, "predict_linear(x[1h], 0)", END)
    then = only(window, f"predict_linear(x[1h], {ahead})", END)
    slope = given_of("deriv", series)
    assert math.isclose(then - now, slope * ahead, rel_tol=1e-6, abs_tol=1e-6 * (abs(now) + abs(then)))


@given(st.lists(points(ANYTHING), min_size=2, max_size=8))
@QUICK
def test_a_series_gives_the_same_alone_and_among_others(several: list[list[tuple[int, float]]]) -> None:
    together = window_of({str(place): series for place, series in enumerate(several)})
    for name in EXPRESSIONS:
        found = answer(together, f"{name}(x[1h])", END)
        for place, series in enumerate(several):
            alone = given_of(name, series)
            label = f'x{{a="{place}"}}' if name == "last_over_time" else f'{{a="{place}"}}'
            assert same(found[label], alone), (name, series)


@given(points(ANYTHING), st.integers(1, 4))
@QUICK
def test_samples_in_one_sheet_and_in_many_give_the_same(series: list[tuple[int, float]], width: int) -> None:
    labels = [labels_of({"__name__": "x", "a": str(column)}) for column in range(width)]
    window = Window(lambda _name: 10**9)
    for at_ms, value in series:
        window.write("all", labels, at_ms, [value] * width)
    for name in EXPRESSIONS:
        alone = given_of(name, series)
        assert all(same(value, alone) for value in answer(window, f"{name}(x[1h])", END).values()), name


@given(st.lists(st.floats(), min_size=1, max_size=12))
@QUICK
def test_sorting_is_a_permutation_in_order(values: list[float]) -> None:
    window = Window()
    labels = [labels_of({"__name__": "x", "a": str(column)}) for column in range(len(values))]
    window.write("all", labels, 1000, values)
    up = list(answer(window, "sort(x)", 1).values())
    down = list(answer(window, "sort_desc(x)", 1).values())
    numbers = sorted(value for value in values if not math.isnan(value))
    assert up[: len(numbers)] == numbers
    assert down[: len(numbers)] == numbers[::-1]
    assert len(up) == len(down) == len(values)
    assert all(map(math.isnan, up[len(numbers) :] + down[len(numbers) :]))


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0, 1))
@QUICK
def test_a_histograms_quantile_lies_within_its_bounds_and_grows(steps: list[int], share: float) -> None:
    window = Window()
    bounds = [*map(str, range(1, len(steps))), "+Inf"]
    labels = [labels_of({"__name__": "h", "le": bound}) for bound in bounds]
    counts = [float(sum(steps[: place + 1])) for place in range(len(steps))]
    window.write("h", labels, 1000, counts)
    found = only(window, f"histogram_quantile({share}, h)", 1)
    # The share 0 of a first bucket with nothing in it is 0 / 0, in Prometheus too.
    if not counts[-1] or not (counts[0] or share * counts[-1]):
        assert math.isnan(found)
        return
    assert 0 <= found <= len(steps) - 1
    assert found <= only(window, f"histogram_quantile({(1 + share) / 2}, h)", 1)
