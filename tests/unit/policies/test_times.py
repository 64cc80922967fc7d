"""Schedules come when cron's would, once each; windows and schedules at changes of the clock."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from actions.policies.cron import BadCron, Cron, check, next_time
from actions.policies.windows import changed_days, length_minutes, meets
from actions.policy import Schedule
from actions.window import DAYS, Window

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = dt.date(2027, 3, 28), dt.date(2027, 10, 31)


def at(day: dt.date, hour: int = 0, minute: int = 0, zone: ZoneInfo = BERLIN) -> float:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()


def times(cron: str, start: float, count: int, zone: str = "Europe/Berlin") -> list[str]:
    found, moment = [], start
    for _ in range(count):
        following = next_time(Schedule(cron=cron, zone=zone), moment)
        assert following is not None
        assert following > moment
        moment = following
        found.append(dt.datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%a %d %H:%M %z"))
    return found


def test_f19_a_fixed_time_in_the_hour_that_comes_twice_comes_once() -> None:
    assert times("30 2 * * *", at(AUTUMN), 2) == ["Sun 31 02:30 +0200", "Mon 01 02:30 +0100"]
    between = at(AUTUMN, 2, 30) + 1800
    assert times("30 2 * * *", between, 1) == ["Mon 01 02:30 +0100"]


def test_f19_apscheduler_is_given_the_same_times() -> None:
    trigger = Cron(Schedule(cron="30 2 * * *", zone="Europe/Berlin"))
    first = trigger.get_next_fire_time(None, dt.datetime(2027, 10, 31, tzinfo=BERLIN))
    assert first is not None
    second = trigger.get_next_fire_time(first, first)
    assert second is not None
    assert (second - first) >= dt.timedelta(hours=24)
    assert second.date() == dt.date(2027, 11, 1)


def test_f19_a_fixed_time_in_the_hour_that_is_skipped_still_comes_that_day() -> None:
    assert times("30 2 * * *", at(SPRING), 2) == ["Sun 28 03:30 +0200", "Mon 29 02:30 +0200"]


def test_f19_what_comes_every_hour_comes_in_each_real_hour() -> None:
    assert times("0 * * * *", at(AUTUMN, 1, 30), 3) == [
        "Sun 31 02:00 +0200",
        "Sun 31 02:00 +0100",
        "Sun 31 03:00 +0100",
    ]
    assert times("0 * * * *", at(SPRING, 1, 30), 2) == ["Sun 28 03:00 +0200", "Sun 28 04:00 +0200"]


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 0 * * 0", "Sun 17 00:00 +0000"),
        ("0 0 * * 7", "Sun 17 00:00 +0000"),
        ("0 0 * * sun", "Sun 17 00:00 +0000"),
        ("0 0 * * 1", "Mon 18 00:00 +0000"),
        ("0 0 * * 1-5", "Mon 18 00:00 +0000"),
        ("0 0 * * 5-7", "Sat 16 00:00 +0000"),
        ("0 0 * * 2,4", "Tue 19 00:00 +0000"),
        ("0 0 * * 0-6/3", "Sat 16 00:00 +0000"),
        ("0 0 * * sun-tue", "Sun 17 00:00 +0000"),
        ("0 0 * * tue-sun", "Sat 16 00:00 +0000"),
        ("0 0 * * 5-0", "Sat 16 00:00 +0000"),
        ("0 0 * * MON", "Mon 18 00:00 +0000"),
        ("*/20 * * * *", "Fri 15 00:20 +0000"),
        ("@weekly", "Sun 17 00:00 +0000"),
        ("@Daily", "Sat 16 00:00 +0000"),
        ("0 0 29 2 *", "Tue 29 00:00 +0000"),
    ],
)
def test_days_of_the_week_are_those_of_cron(cron: str, first: str) -> None:
    check(Schedule(cron=cron), at(dt.date(2027, 1, 15), zone=ZoneInfo("UTC")))
    assert times(cron, at(dt.date(2027, 1, 15), zone=ZoneInfo("UTC")), 1, "UTC") == [first]


@pytest.mark.parametrize(
    "cron", ["* * 31 2 *", "0 0 31 4,6 *", "0 0 * * 6-2", "0 0 * * 1-5/0", "* * * * * *", "@often", ""]
)
def test_schedules_that_are_none_are_refused(cron: str) -> None:
    with pytest.raises(BadCron):
        check(Schedule(cron=cron), 0.0)


@pytest.mark.parametrize(
    ("begin", "end", "days", "expected"),
    [
        (60, 300, DAYS, {SPRING: -60, AUTUMN: 60}),
        (1320, 240, DAYS, {SPRING - dt.timedelta(1): -60, AUTUMN - dt.timedelta(1): 60}),
        (1320, 240, ("mon", "tue"), {}),
        (120, 180, DAYS, {SPRING: -60, AUTUMN: 60}),
        (600, 900, DAYS, {}),
        (0, 1440, ("sun",), {SPRING: -60, AUTUMN: 60}),
    ],
)
def test_windows_across_a_change_of_the_clock_are_named_with_the_day(
    begin: int, end: int, days: tuple[str, ...], expected: dict[dt.date, int]
) -> None:
    window = Window(begin_minute=begin, end_minute=end, zone="Europe/Berlin", days=days)
    assert dict(changed_days(window, at(dt.date(2027, 1, 15)))) == expected


def test_a_zone_without_changes_has_no_such_days() -> None:
    assert changed_days(Window(begin_minute=60, end_minute=300), 0.0) == []


def test_a_zone_whose_change_is_half_an_hour_or_at_midnight() -> None:
    howe = Window(begin_minute=60, end_minute=240, zone="Australia/Lord_Howe")
    assert sorted(minutes for _, minutes in changed_days(howe, at(dt.date(2027, 1, 15)))) == [-30, 30]
    cairo = Window(begin_minute=0, end_minute=60, zone="Africa/Cairo", days=("fri",))
    assert [minutes for _, minutes in changed_days(cairo, at(dt.date(2027, 1, 15)))] == [-60]


def test_lengths_go_over_midnight() -> None:
    assert length_minutes(Window(begin_minute=1320, end_minute=240)) == 360
    assert length_minutes(Window(begin_minute=0, end_minute=1440)) == 1440


@pytest.mark.parametrize(
    ("cron", "days", "comes"),
    [
        ("0 23 * * *", DAYS, True),
        ("0 5 * * *", DAYS, False),
        ("* * * * *", ("sun",), True),
        ("0 23 1 1 *", ("fri",), False),  # in 2028 it is a Saturday
        ("0 23 1 1 *", ("sat",), True),
        ("0 1 * * 1", ("sun",), True),  # the window of Sunday night
    ],
)
def test_a_schedule_meets_its_windows_within_a_year_or_never(
    cron: str, days: tuple[str, ...], comes: bool
) -> None:
    window = Window(begin_minute=1320, end_minute=240, days=days)
    assert meets(Schedule(cron=cron), [window], at(dt.date(2027, 1, 15))) is comes
