from __future__ import annotations

import math
import random
import statistics

import pytest

from rules.errors import EvalError
from rules.labels import labels_of
from rules.promql import Expression, Vector
from rules.window import Window

INF, NAN = math.inf, math.nan


def window(*groups: list[float]) -> Window:
    """Hold `x{g, i}` with these values in each group."""
    found = Window()
    series = [
        labels_of({"__name__": "x", "g": str(group), "i": str(place)})
        for group, values in enumerate(groups)
        for place in range(len(values))
    ]
    found.write("x", series, 1000, [value for values in groups for value in values])
    return found


def found(text: str, given: Window) -> list[float]:
    vector = Expression(text).at(given, 1000)
    assert isinstance(vector, Vector)
    return [value for _, value in vector.items()]


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1e100, 1.0, -1e100, 1.0], 2.0),
        ([0.1] * 10, 1.0),
        ([1e308, 1e308, -1e308], INF),
        ([1e308, -1e308, 1e308], 1e308),
        ([INF, 1.0], INF),
        ([INF, -INF], NAN),
        ([NAN, 1.0], NAN),
        ([-1.5], -1.5),
        ([1, 2, 3, 4, 5, 6, 7], 28.0),
    ],
)
def test_sums_are_exact(values: list[float], total: float) -> None:
    assert repr(found("sum(x)", window(values))) == repr([total])
    both = found("sum by (g) (x)", window([5.0, 6.0], values, [7.0]))
    assert repr(both) == repr([11.0, total, 7.0])


def test_sums_of_groups_of_any_size_are_exact() -> None:
    chance = random.Random(3)
    for _ in range(50):
        groups = [
            [chance.uniform(-1, 1) * 10 ** chance.randint(-20, 20) for _ in range(chance.randint(1, 40))]
            for _ in range(chance.randint(1, 9))
        ]
        for mine, values in zip(found("sum by (g) (x)", window(*groups)), groups, strict=True):
            assert mine == pytest.approx(math.fsum(values), rel=1e-15)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1e308, 1e308, 1e308], 1e308),
        ([1.7e308, -1.7e308, 1.7e308, 1.7e308], 0.85e308),
        ([INF, 1.0, INF], INF),
        ([-INF, INF], NAN),
        ([NAN], NAN),
        ([1, 2], 1.5),
    ],
)
def test_means_do_not_overflow(values: list[float], mean: float) -> None:
    assert found("avg(x)", window(values)) == pytest.approx([mean], rel=1e-14, nan_ok=True)


def test_least_and_greatest_are_nan_only_when_all_are() -> None:
    given = window([NAN, 1, INF], [NAN, NAN], [-INF, NAN])
    assert repr(found("min by (g) (x)", given)) == repr([1.0, NAN, -INF])
    assert repr(found("max by (g) (x)", given)) == repr([INF, NAN, -INF])


def test_deviations() -> None:
    chance = random.Random(4)
    values = [chance.gauss(1e9, 3) for _ in range(100)]
    given = window(values, [NAN], [INF], [1, INF], [7])
    assert found("stdvar by (g) (x)", given) == pytest.approx(
        [statistics.pvariance(values), NAN, NAN, NAN, 0], nan_ok=True, rel=1e-9
    )
    assert found("stddev(x{g='0'})", given) == pytest.approx([statistics.pstdev(values)], rel=1e-9)


def test_a_group_whose_members_are_all_missing_is_missing() -> None:
    given = window([1, 2], [3, 4])
    for op in (
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "stddev",
        "quantile by (g) (0.5, x > 2) or count",
    ):
        assert len(found(f"{op} by (g) (x > 2)", given)) == 1
    assert found("sum(x > 9)", given) == []
    assert found("count(nothing)", given) == []


def test_quantiles() -> None:
    given = window([3, 1, 2, 4], [NAN, 5], [7])
    assert repr(found("quantile by (g) (0.5, x)", given)) == repr([2.5, NAN, 7.0])
    assert repr(found("quantile by (g) (1, x)", given)) == repr([4.0, 5.0, 7.0])
    assert found("quantile by (g) (-0.1, x)", given) == [-INF] * 3
    assert found("quantile(1.1, x)", given) == [INF]
    assert repr(found("quantile(NaN, x)", given)) == repr([NAN])


def test_the_outermost_come_in_order_with_nan_last() -> None:
    given = window([3, NAN, 5, -INF], [4, INF])
    assert repr(found("topk(9, x)", given)) == repr([INF, 5.0, 4.0, 3.0, -INF, NAN])
    assert repr(found("bottomk(9, x)", given)) == repr([-INF, 3.0, 4.0, 5.0, INF, NAN])
    assert found("topk(2, x)", given) == [INF, 5]
    assert found("topk by (g) (1, x)", given) == [5, INF]
    assert found("bottomk by (g) (1.9, x)", given) == [-INF, 4]
    assert found("topk(0, x)", given) == found("topk(-3, x)", given) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topk(NaN, x)", "Parameter value is NaN"),
        ("topk(1e30, x)", "Scalar value 1e+30 overflows int64"),
        ("bottomk(-Inf, x)", "Scalar value -Inf underflows int64"),
        ('count_values("", x)', 'invalid label name ""'),
    ],
)
def test_parameters_that_make_no_sense_are_errors(text: str, said: str) -> None:
    with pytest.raises(EvalError) as caught:
        Expression(text).at(window([1]), 1000)
    assert str(caught.value) == said


def test_values_are_counted_and_written_as_go_writes_them() -> None:
    given = window([1, 1, 0.1, 1e21, 1e-7, NAN, NAN, INF, -INF, 0.0, -0.0])
    counts = Expression('count_values("ü v", x)').at(given, 1000)
    assert isinstance(counts, Vector)
    assert {labels.get("ü v"): count for labels, count in counts.items()} == {
        "1": 2, "0.1": 1, "1000000000000000000000": 1, "0.0000001": 1, "NaN": 2, "+Inf": 1, "-Inf": 1, "0": 1,
        "-0": 1,
    }  # fmt: skip


def test_the_same_series_give_the_same_rows() -> None:
    given = window([1, 2, 3], [4, 5, 6])
    for text in ("sum by (g) (x)", "sum(x)", "topk(2, x)", "count by (g) (x > 2)", 'count_values("v", x)'):
        expression = Expression(text)
        first = expression.at(given, 1000)
        again = expression.at(given, 2000)
        assert isinstance(first, Vector)
        assert isinstance(again, Vector)
        assert first.rows is again.rows
