"""Every function of Prometheus 3 is there or refused when the expression is read."""

from __future__ import annotations

import pytest

from rules.errors import ParseError
from rules.promql import Expression
from rules.promql.functions import FUNCTIONS
from tests.fixtures.promql_samples import samples

RANGE = [
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
]
VECTOR = [
    "abs",
    "absent",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "exp",
    "floor",
    "hour",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "rad",
    "round",
    "scalar",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_desc",
    "sqrt",
    "tan",
    "tanh",
    "timestamp",
    "year",
]
OTHER = {
    "clamp": "clamp(x, 1, 2)",
    "clamp_max": "clamp_max(x, 1)",
    "clamp_min": "clamp_min(x, 1)",
    "histogram_fraction": "histogram_fraction(0, 1, x)",
    "histogram_quantile": "histogram_quantile(0.9, x)",
    "label_join": 'label_join(x, "z", "-", "a")',
    "label_replace": 'label_replace(x, "z", "$1", "a", "(.*)")',
    "pi": "pi()",
    "predict_linear": "predict_linear(x[5m], 60)",
    "quantile_over_time": "quantile_over_time(0.5, x[5m])",
    "time": "time()",
    "vector": "vector(1)",
}
CALLS = {name: f"{name}(x[5m])" for name in RANGE} | {name: f"{name}(x)" for name in VECTOR} | OTHER
NATIVE = ["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"]
EXPERIMENTAL = {
    "double_exponential_smoothing": "double_exponential_smoothing(x[5m], 0.5, 0.5)",
    "first_over_time": "first_over_time(x[5m])",
    "info": "info(x)",
    "mad_over_time": "mad_over_time(x[5m])",
    "sort_by_label": 'sort_by_label(x, "a")',
    "sort_by_label_desc": 'sort_by_label_desc(x, "a")',
    "ts_of_first_over_time": "ts_of_first_over_time(x[5m])",
    "ts_of_last_over_time": "ts_of_last_over_time(x[5m])",
    "ts_of_max_over_time": "ts_of_max_over_time(x[5m])",
    "ts_of_min_over_time": "ts_of_min_over_time(x[5m])",
}


def test_the_table_holds_just_these() -> None:
    assert set(FUNCTIONS) == set(CALLS)


@pytest.mark.parametrize("expression", CALLS.values(), ids=CALLS)
def test_it_has_an_answer_over_nothing_over_one_and_over_several(expression: str) -> None:
    for series in ({}, {"x": "1 2 3"}, {f'x{{a="{place}"}}': "3 2 stale 4" for place in range(3)}):
        window = samples(series)
        for at_ms in (0, 60_000, 130_000, 180_000, 10**7):
            Expression(expression).at(window, at_ms)


@pytest.mark.parametrize("expression", [*(f"{name}(x)" for name in NATIVE), *EXPERIMENTAL.values()])
def test_what_is_for_native_histograms_or_experimental_is_refused(expression: str) -> None:
    with pytest.raises(ParseError):
        Expression(expression)
