"""Rates between looks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from daemon.terminal.rates import STILL_SECONDS, Pace, Rates, increase
from daemon.terminal.reading import Reading

ONE = (("datname", "shop"),)
PACE = {"commits": Pace("database", 10.0)}
_counts = st.floats(min_value=0, max_value=1e15)


def reading(value: float, data_at: float | None, at: float = 0.0) -> Reading:
    return Reading(at, {"commits": {ONE: value}}, data_at={} if data_at is None else {"database": data_at})


def after(*readings: Reading) -> dict:
    rates = Rates()
    for one in readings:
        rates.learn(one, PACE)
    return rates.of("commits")


@given(st.lists(st.tuples(_counts, st.floats(-5, 60), st.floats(0, 5)), max_size=30), st.booleans())
def test_a_rate_is_never_negative_whatever_counters_and_clocks_do(steps: list, told: bool) -> None:
    rates, data_at, at = Rates(), 1e9, 100.0
    for value, data_moves, reading_moves in steps:
        data_at, at = data_at + data_moves, at + reading_moves
        rates.learn(reading(value, data_at if told else None, at), PACE)
        assert all(rate >= 0 and math.isfinite(rate) for rate in rates.of("commits").values())


@given(_counts, st.lists(st.tuples(st.floats(0, 1e6), st.floats(8, 60)), min_size=1, max_size=10))
def test_a_counter_that_only_grows_has_the_rate_of_its_last_step(first: float, steps: list) -> None:
    rates, value, at = Rates(), first, 1000.0
    rates.learn(reading(value, at), PACE)
    for grows, lasts in steps:
        before, (value, at) = value, (value + grows, at + lasts)
        rates.learn(reading(value, at), PACE)
    assert math.isclose(rates.of("commits")[ONE], (value - before) / lasts, rel_tol=1e-6, abs_tol=1e-6)


def test_one_reading_has_no_rate_and_waits_for_the_second() -> None:
    rates = Rates()
    assert not rates.waits("commits")
    rates.learn(reading(5, 100.0), PACE)
    assert rates.of("commits") == {}
    assert rates.waits("commits")
    rates.learn(reading(5, 110.0), PACE)
    assert not rates.waits("commits")


def test_a_counter_that_went_back_counts_from_zero() -> None:
    assert increase(1000, 30) == 30
    assert after(reading(1000, 100.0), reading(30, 110.0)) == {ONE: 3.0}


def test_looks_between_two_answers_of_the_probe_keep_the_rate() -> None:
    answers = [reading(0, 100.0), reading(50, 110.0)]
    assert after(*answers) == {ONE: 5.0}
    assert after(*answers, reading(50, 110.0, 2.0), reading(50, 110.0, 4.0)) == {ONE: 5.0}


def test_a_counter_that_stands_still_for_a_whole_pace_has_rate_zero() -> None:
    assert after(reading(0, 100.0), reading(50, 110.0), reading(50, 120.0)) == {ONE: 0.0}


def test_a_series_of_another_database_is_not_idle_while_its_turn_comes() -> None:
    """The probe's time moves with each database it has been through."""
    assert after(reading(0, 100.0), reading(50, 110.0), reading(50, 113.0)) == {ONE: 5.0}


def test_databases_that_answer_one_after_the_other_have_rates_of_their_own() -> None:
    """The probe's time is that of the last database: a rate must not be taken from it."""
    blog = (("datname", "blog"),)
    rates = Rates()

    def learn(shop: float, blog_value: float, shop_at: float, blog_at: float) -> None:
        at = {("database", "shop"): shop_at, ("database", "blog"): blog_at}
        families = {"commits": {ONE: shop, blog: blog_value}}
        last = max(shop_at, blog_at)
        rates.learn(Reading(0.0, families, data_at={"database": last}, data_at_in=at), PACE)

    learn(0, 0, 100.0, 101.0)
    learn(0, 50, 100.0, 111.0)
    assert rates.of("commits") == {blog: 5.0}
    learn(60, 50, 112.0, 111.0)
    assert rates.of("commits") == {ONE: 5.0, blog: 5.0}
    learn(60, 50, 122.0, 111.0)
    assert rates.of("commits") == {ONE: 0.0, blog: 5.0}


def test_without_times_of_the_data_a_standstill_is_believed_late() -> None:
    moved = [reading(0, None, 0.0), reading(20, None, 10.0)]
    assert after(*moved) == {ONE: 2.0}
    assert after(*moved, reading(20, None, 40.0)) == {ONE: 2.0}
    assert after(*moved, reading(20, None, 10.0 + STILL_SECONDS)) == {ONE: 0.0}


def test_a_clock_that_jumps_back_begins_anew() -> None:
    assert after(reading(0, 100.0), reading(50, 90.0)) == {}


def test_a_series_that_is_gone_is_forgotten() -> None:
    rates = Rates()
    for value, at in ((0, 100.0), (50, 110.0)):
        rates.learn(reading(value, at), PACE)
    rates.learn(Reading(0.0, {}), PACE)
    assert rates.of("commits") == {}


def test_infinity_has_no_rate() -> None:
    assert after(reading(math.inf, 100.0), reading(math.inf, 110.0)) == {}
    assert after(reading(math.nan, 100.0), reading(1, 110.0)) == {}
