"""Statistics that tell effects: against counting everything out, against chance, and what must hold always."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions.model import Verdict
from actions.verify import change, mann_whitney, median_of_ratios, ratio_interval, verdict

VALUES = st.floats(0.01, 1e6)
SAMPLES = st.lists(VALUES, min_size=1, max_size=30)
ENOUGH = st.lists(VALUES, min_size=10, max_size=30)


def _counted(before: list[float], after: list[float]) -> float:
    """Return the p-value by trying every way to share the values between the two sides."""

    def below(one: tuple[float, ...], other: list[float]) -> int:
        larger = sum(b > a for a in one for b in other)
        return min(larger, len(one) * len(other) - larger)

    found, whole = below(tuple(before), after), before + after
    shares = list(itertools.combinations(whole, len(before)))
    at_most = sum(below(share, [each for each in whole if each not in share]) <= found for share in shares)
    return min(1.0, at_most / len(shares))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=9, unique=True), st.data())
def test_small_samples_are_counted_out(values: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(values) - 1))
    before, after = [float(v) for v in values[:cut]], [float(v) for v in values[cut:]]
    assert mann_whitney(before, after) == pytest.approx(_counted(before, after))


def test_the_normal_distribution_agrees_with_counting_where_both_apply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(7)
    for _ in range(50):
        before = [chance.gauss(10, 2) for _ in range(20)]
        after = [chance.gauss(11, 2) for _ in range(20)]
        with monkeypatch.context() as patch:
            exact = mann_whitney(before, after)
            patch.setattr("actions.verify.EXACT_UP_TO", 0)
            assert mann_whitney(before, after) == pytest.approx(exact, abs=0.01)


@given(SAMPLES, SAMPLES)
def test_a_probability_is_one_and_does_not_depend_on_order_or_unit(
    before: list[float], after: list[float]
) -> None:
    p = mann_whitney(before, after)
    assert 0 <= p <= 1
    assert mann_whitney(after, before) == pytest.approx(p)
    assert mann_whitney([2 * v for v in before], [2 * v for v in after]) == pytest.approx(p)
    assert mann_whitney(sorted(before), sorted(after)) == pytest.approx(p)


@given(st.lists(VALUES, min_size=1, max_size=30))
def test_equal_samples_are_not_told_apart(samples: list[float]) -> None:
    assert mann_whitney(samples, samples) > 0.5
    assert mann_whitney([1.0] * len(samples), [1.0] * len(samples)) == 1.0


def test_nothing_says_nothing() -> None:
    assert mann_whitney([], [1.0]) == mann_whitney([1.0], []) == 1.0
    assert ratio_interval([], [1.0]) == ratio_interval([1.0], []) == (0.0, math.inf)
    assert ratio_interval([0.0], [1.0]) == (0.0, math.inf)
    assert median_of_ratios({}, {"a": 1.0}) is None
    assert median_of_ratios({"a": 0.0, "b": 1.0}, {"a": 1.0}) is None


def test_ratios_are_taken_by_key() -> None:
    before = {"a": 10.0, "b": 100.0, "c": 1.0, "gone": 5.0}
    assert median_of_ratios(before, {"a": 5.0, "b": 100.0, "c": 4.0, "new": 1.0}) == 1.0


@settings(max_examples=40, deadline=None)
@given(ENOUGH, st.floats(0.01, 100))
def test_the_interval_has_the_ratio_and_moves_with_it(before: list[float], factor: float) -> None:
    after = [value * factor for value in before]
    low, high = ratio_interval(before, after)
    assert low <= factor * (1 + 1e-9)
    assert high >= factor * (1 - 1e-9)
    found = change(before, after)
    assert found is not None
    assert found.ratio == pytest.approx(factor)
    assert (found.low, found.high) == (low, high)


@settings(max_examples=40, deadline=None)
@given(ENOUGH, ENOUGH, st.floats(0.5, 2))
def test_what_the_control_did_too_is_taken_out(
    before: list[float], after: list[float], common: float
) -> None:
    alone = change(before, after)
    with_control = change(before, [value * common for value in after], ([1.0] * 10, [common] * 10))
    assert alone is not None
    assert with_control is not None
    assert with_control.ratio == pytest.approx(alone.ratio)


def _sampled(mean: float, seed: int, n: int = 40) -> list[float]:
    chance = random.Random(seed)
    return [max(chance.gauss(mean, mean * 0.05), 0.001) for _ in range(n)]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (50.0, Verdict.IMPROVED),
        (200.0, Verdict.WORSE),
        (100.0, Verdict.NEUTRAL),
        (97.0, Verdict.NEUTRAL),
        (93.5, Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_needs_a_change_that_is_large_and_sure(after: float, told: Verdict) -> None:
    assert verdict(_sampled(100.0, 1), _sampled(after, 2)) is told


def test_f32_a_change_that_everything_shares_is_no_effect() -> None:
    quiet = (_sampled(100.0, 3), _sampled(50.0, 4))
    assert verdict(_sampled(10.0, 1), _sampled(5.0, 2)) is Verdict.IMPROVED
    assert verdict(_sampled(10.0, 1), _sampled(5.0, 2), quiet) is Verdict.NEUTRAL


@pytest.mark.parametrize(
    ("before", "after", "control"),
    [
        ([1.0] * 9, [1.0] * 10, None),
        ([1.0] * 10, [1.0] * 9, None),
        ([1.0] * 10, [0.0] * 10, None),
        ([1.0] * 10, [1.0] * 10, ([1.0] * 9, [1.0] * 10)),
        ([1.0] * 10, [1.0] * 10, ([1.0] * 10, [0.0] * 10)),
        ([], [], None),
    ],
)
def test_too_few_samples_tell_nothing(
    before: list[float], after: list[float], control: tuple[list[float], list[float]] | None
) -> None:
    assert change(before, after, control) is None
    assert verdict(before, after, control) is Verdict.INCONCLUSIVE


def test_chance_alone_is_taken_for_an_effect_no_more_often_than_said() -> None:
    told = [
        verdict(_sampled(100.0, seed), _sampled(100.0, 1000 + seed), least_effect=0.0) for seed in range(200)
    ]
    assert sum(each in {Verdict.IMPROVED, Verdict.WORSE} for each in told) <= 8
