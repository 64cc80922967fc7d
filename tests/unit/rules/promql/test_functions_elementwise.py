"""Functions of single numbers: rounding, clamping, logarithms, and their odd corners."""

from __future__ import annotations

import math

import pytest

from rules.errors import EvalError
from tests.fixtures.promql_samples import answer, only, same, samples

EMPTY = samples({})
NAN = math.nan
INF = math.inf


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abs(vector(-1.5))", 1.5),
        ("ceil(vector(1.2))", 2),
        ("floor(vector(-1.2))", -2),
        ("exp(vector(0))", 1),
        ("sqrt(vector(9))", 3),
        ("sqrt(vector(-1))", NAN),
        ("ln(vector(1))", 0),
        ("ln(vector(0))", -INF),
        ("ln(vector(-1))", NAN),
        ("ln(vector(Inf))", INF),
        ("ln(vector(NaN))", NAN),
        ("log2(vector(8))", 3),
        ("log2(vector(0.125))", -3),
        ("log2(vector(0))", -INF),
        ("log2(vector(-1))", NAN),
        ("log2(vector(Inf))", INF),
        ("log2(vector(5e-324))", -1074),
        ("log10(vector(1e10))", 10),
        ("log10(vector(0.1))", -0.9999999999999999),
        ("floor(log10(vector(0.1)))", -1),
        ("log10(vector(0))", -INF),
        ("log10(vector(-1))", NAN),
        ("sin(vector(0))", 0),
        ("cos(vector(0))", 1),
        ("asin(vector(2))", NAN),
        ("acosh(vector(1))", 0),
        ("atanh(vector(1))", INF),
        ("deg(vector(pi()))", 180),
        ("rad(vector(180))", math.pi),
        ("pi()", math.pi),
        ("sgn(vector(-5))", -1),
        ("sgn(vector(0))", 0),
        ("sgn(vector(Inf))", 1),
        ("sgn(vector(NaN))", NAN),
    ],
)
def test_each_number_becomes_another(expression: str, expected: float) -> None:
    assert same(only(EMPTY, expression), expected)


@pytest.mark.parametrize(
    "name", ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh"]
)
def test_trigonometry_is_that_of_the_language(name: str) -> None:
    assert only(EMPTY, f"{name}(vector(0.37))") == pytest.approx(getattr(math, name)(0.37), rel=1e-15)


@pytest.mark.parametrize(
    ("number", "to", "expected"),
    [
        ("2.5", "1", 3),
        ("-2.5", "1", -2),
        ("0.45", "0.1", 0.5),
        ("7", "5", 5),
        ("7.5", "5", 10),
        ("-7", "5", -5),
        ("7", "-5", 5),
        ("7", "0", NAN),
        ("NaN", "1", NAN),
        ("Inf", "1", INF),
        ("3", "1/3", 3),
    ],
)
def test_the_middle_is_rounded_up(number: str, to: str, expected: float) -> None:
    assert same(only(EMPTY, f"round(vector({number}), {to})"), expected)


def test_without_a_multiple_it_is_rounded_to_whole_numbers() -> None:
    assert only(EMPTY, "round(vector(1.5))") == 2


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("clamp(x, 2, 3)", [2, 2, 3, NAN, 3]),
        ("clamp_min(x, 2)", [2, 2, 3, NAN, INF]),
        ("clamp_max(x, 2)", [1, 2, 2, NAN, 2]),
        ("clamp(x, 2, 2)", [2, 2, 2, NAN, 2]),
        ("clamp(x, NaN, 3)", [NAN, NAN, NAN, NAN, NAN]),
        ("clamp(x, 0, NaN)", [NAN, NAN, NAN, NAN, NAN]),
        ("clamp_max(x, -Inf)", [-INF, -INF, -INF, -INF, -INF]),
        ("clamp_min(x, Inf)", [INF, INF, INF, INF, INF]),
        ("clamp_max(x, scalar(vector(2)))", [1, 2, 2, NAN, 2]),
    ],
)
def test_numbers_are_clamped(expression: str, expected: list[float]) -> None:
    window = samples({f'x{{i="{i}"}}': value for i, value in enumerate(["1", "2", "3", "NaN", "Inf"])})
    found = list(answer(window, expression).values())
    assert all(same(one, other) for one, other in zip(found, expected, strict=True)), found


def test_clamping_to_more_than_the_most_gives_nothing() -> None:
    assert answer(samples({"x": "1"}), "clamp(x, 3, 2)") == {}


def test_only_what_is_there_is_looked_at() -> None:
    window = samples({'x{a="1"}': "1", 'x{a="2"}': "-4"})
    assert answer(window, "sqrt(x > 0)") == {'{a="1"}': 1}
    assert answer(window, "abs(x < 0)") == {'{a="2"}': 4}
    assert answer(window, "abs(x > 5)") == {}


def test_two_series_may_not_become_one_without_their_names() -> None:
    window = samples({"x": "1", "y": "-2"})
    with pytest.raises(EvalError, match="same labelset"):
        answer(window, 'abs({__name__=~"x|y"})')
    assert answer(window, 'abs({__name__=~"x|y"} > 0)') == {"{}": 1}
