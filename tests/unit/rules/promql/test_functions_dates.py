"""The parts of a date in UTC, and when samples were taken."""

from __future__ import annotations

import calendar
import datetime as dt
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.promql_samples import answer, only, samples

EMPTY = samples({})
PARTS = {
    "minute": lambda when: when.minute,
    "hour": lambda when: when.hour,
    "day_of_week": lambda when: when.isoweekday() % 7,
    "day_of_month": lambda when: when.day,
    "day_of_year": lambda when: when.timetuple().tm_yday,
    "days_in_month": lambda when: calendar.monthrange(when.year, when.month)[1],
    "month": lambda when: when.month,
    "year": lambda when: when.year,
}
FIRST = int(dt.datetime(1, 1, 1, tzinfo=dt.UTC).timestamp())
LAST = int(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp())


@given(st.integers(FIRST, LAST))
@settings(max_examples=60, deadline=None)
def test_every_part_is_that_of_the_calendar(seconds: int) -> None:
    when = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    for name, part in PARTS.items():
        assert only(EMPTY, f"{name}(vector({seconds}))") == part(when), (name, when)


@pytest.mark.parametrize("name", PARTS)
def test_without_an_argument_it_is_the_time_of_evaluation(name: str) -> None:
    at = dt.datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=dt.UTC)
    assert answer(EMPTY, f"{name}()", at.timestamp()) == {"{}": PARTS[name](at)}


@pytest.mark.parametrize(
    ("year", "length"), [(1900, 365), (2000, 366), (2023, 365), (2024, 366), (2100, 365), (2400, 366)]
)
def test_the_last_day_of_a_year_knows_leap_years(year: int, length: int) -> None:
    last = int(dt.datetime(year, 12, 31, tzinfo=dt.UTC).timestamp())
    assert only(EMPTY, f"day_of_year(vector({last}))") == length
    assert only(EMPTY, f"day_of_month(vector({last}))") == 31
    assert only(EMPTY, f"days_in_month(vector({last - 310 * 86400}))") == (29 if length == 366 else 28)


def test_fractions_of_a_second_are_cut_off_towards_zero() -> None:
    assert only(EMPTY, "minute(vector(59.999))") == 0
    assert only(EMPTY, "year(vector(-0.5))") == 1970
    assert only(EMPTY, "year(vector(-1))") == 1969


def test_what_is_no_time_has_the_date_that_prometheus_gives_it() -> None:
    for number in ("NaN", "Inf", "-Inf", "1e300"):
        assert only(EMPTY, f"year(vector({number}))") == 292277026596
        assert only(EMPTY, f"month(vector({number}))") == 12
        assert only(EMPTY, f"day_of_month(vector({number}))") == 4


def test_a_date_is_taken_of_every_element_and_the_name_goes() -> None:
    window = samples({'x{a="1"}': "0", 'x{a="2"}': "86400", 'x{a="3"}': "stale"})
    assert answer(window, "day_of_month(x)") == {'{a="1"}': 1, '{a="2"}': 2}


def test_time_is_that_of_evaluation_in_seconds() -> None:
    assert answer(EMPTY, "time()", 1234.567) == {"": 1234.567}


def test_a_timestamp_is_the_samples_own_for_a_selector() -> None:
    window = samples({'x{a="1"}': "1 2 3", 'x{a="2"}': "1 _ _"})
    own = {'{a="1"}': 120, '{a="2"}': 0}
    assert answer(window, "timestamp(x)", 150) == own
    assert answer(window, "timestamp((x))", 150) == own
    assert answer(window, 'timestamp(x{a="1"} offset 1m)', 150) == {'{a="1"}': 60}
    assert answer(window, 'timestamp(x{a="1"} @ 70)', 150) == {'{a="1"}': 60}


@pytest.mark.parametrize(
    "expression", ["x + 0", "-x", "abs(x)", "timestamp(x)", "last_over_time(x[5m])", "x > 0"]
)
def test_a_timestamp_is_that_of_evaluation_for_all_else(expression: str) -> None:
    window = samples({'x{a="1"}': "1 2 3"})
    assert answer(window, f"timestamp({expression})", 150.5) == {'{a="1"}': 150.5}


def test_a_timestamp_of_nothing_is_nothing() -> None:
    assert answer(EMPTY, "timestamp(x)") == {}
    assert answer(EMPTY, "year(x)") == {}
    assert math.isnan(only(EMPTY, "scalar(year(x))"))
