from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from actions.window import DAYS, Window, closes_in, never_opens, next_opening, open_now

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def window(span: str, zone: str = "UTC", *days: str) -> Window:
    begin, end = ([int(part) for part in each.split(":")] for each in span.split("-"))
    return Window(
        begin_minute=begin[0] * 60 + begin[1], end_minute=end[0] * 60 + end[1], zone=zone, days=days or DAYS
    )


def opening(windows: list[Window], now: str) -> str | None:
    at = next_opening(windows, utc(now))
    return None if at is None else dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("span", "days", "now", "left", "opens"),
    [
        ("22:00-23:30", (), "2026-11-23 21:59:59", 0, "2026-11-23 22:00:00"),
        ("22:00-23:30", (), "2026-11-23 22:00:00", 5400, "2026-11-23 22:00:00"),
        ("22:00-23:30", (), "2026-11-23 23:29:59", 1, "2026-11-23 23:29:59"),
        ("22:00-23:30", (), "2026-11-23 23:30:00", 0, "2026-11-24 22:00:00"),
        ("22:00-04:00", (), "2026-11-23 23:00:00", 18000, "2026-11-23 23:00:00"),
        ("22:00-04:00", (), "2026-11-24 03:00:00", 3600, "2026-11-24 03:00:00"),
        ("22:00-04:00", (), "2026-11-24 04:00:00", 0, "2026-11-24 22:00:00"),
        ("22:00-24:00", (), "2026-11-23 23:59:00", 60, "2026-11-23 23:59:00"),
        ("22:00-24:00", (), "2026-11-24 00:00:00", 0, "2026-11-24 22:00:00"),
        # The days are those of the begin.
        ("22:00-04:00", ("mon",), "2026-11-24 03:00:00", 3600, "2026-11-24 03:00:00"),
        ("22:00-04:00", ("mon",), "2026-11-23 03:00:00", 0, "2026-11-23 22:00:00"),
        ("22:00-04:00", ("tue",), "2026-11-23 23:00:00", 0, "2026-11-24 22:00:00"),
        ("10:00-11:00", ("mon",), "2026-11-23 12:00:00", 0, "2026-11-30 10:00:00"),
        ("10:00-11:00", ("sat", "sun"), "2026-11-23 12:00:00", 0, "2026-11-28 10:00:00"),
        # A whole day, and a whole day that begins at six.
        ("00:00-24:00", ("mon",), "2026-11-23 00:00:00", 86400, "2026-11-23 00:00:00"),
        ("06:00-06:00", ("mon",), "2026-11-24 05:00:00", 3600, "2026-11-24 05:00:00"),
        ("06:00-06:00", ("mon",), "2026-11-23 05:00:00", 0, "2026-11-23 06:00:00"),
        ("00:00-00:00", ("mon",), "2026-11-23 23:00:00", 3600, "2026-11-23 23:00:00"),
        ("00:00-24:00", ("mon", "tue"), "2026-11-23 00:00:00", 172800, "2026-11-23 00:00:00"),
        ("00:00-24:00", (), "2026-11-23 00:00:01", math.inf, "2026-11-23 00:00:01"),
        ("00:00-24:00", DAYS[:6], "2026-11-23 00:00:00", 6 * 86400, "2026-11-23 00:00:00"),
        ("10:00-11:00", ("noday",), "2026-11-23 10:30:00", 0, None),
    ],
)  # fmt: skip
def test_a_window_opens_and_closes(
    span: str, days: tuple[str, ...], now: str, left: float, opens: str | None
) -> None:
    windows = [window(span, "UTC", *days)]
    assert closes_in(windows, utc(now)) == left
    assert open_now(windows, utc(now)) is (left > 0)
    assert opening(windows, now) == opens


# Berlin: the hour from 2 to 3 does not exist on 2026-03-29, and exists twice on 2026-10-25; both change at 01:00 UTC.
@pytest.mark.parametrize(
    ("span", "now", "left", "opens"),
    [
        # Wholly in the hour that does not exist: closed that day, open on the day before and after.
        ("02:00-03:00", "2026-03-29 00:30:00", 0, "2026-03-30 00:00:00"),
        ("02:00-03:00", "2026-03-29 01:00:00", 0, "2026-03-30 00:00:00"),
        ("02:15-02:45", "2026-03-29 00:00:00", 0, "2026-03-30 00:15:00"),
        ("02:15-02:45", "2026-03-28 01:20:00", 1500, "2026-03-28 01:20:00"),
        # It ends, or begins, in it: with the change.
        ("01:30-02:30", "2026-03-29 00:30:00", 1800, "2026-03-29 00:30:00"),
        ("01:30-02:30", "2026-03-29 01:00:00", 0, "2026-03-29 23:30:00"),
        ("02:30-03:30", "2026-03-29 00:59:59", 0, "2026-03-29 01:00:00"),
        ("02:30-03:30", "2026-03-29 01:00:00", 1800, "2026-03-29 01:00:00"),
        # It spans it: an hour shorter.
        ("01:00-04:00", "2026-03-29 00:00:00", 7200, "2026-03-29 00:00:00"),
        ("22:00-04:00", "2026-03-28 21:00:00", 18000, "2026-03-28 21:00:00"),
        # The doubled hour: open through both, if it ends after it.
        ("02:00-03:00", "2026-10-25 00:00:00", 7200, "2026-10-25 00:00:00"),
        ("02:30-03:30", "2026-10-25 00:30:00", 7200, "2026-10-25 00:30:00"),
        ("01:00-04:00", "2026-10-24 23:00:00", 14400, "2026-10-24 23:00:00"),
        # It begins and ends in it: open once, the first time.
        ("02:15-02:45", "2026-10-25 00:15:00", 1800, "2026-10-25 00:15:00"),
        ("02:15-02:45", "2026-10-25 01:15:00", 0, "2026-10-26 01:15:00"),
        ("01:30-02:30", "2026-10-24 23:30:00", 3600, "2026-10-24 23:30:00"),
        ("01:30-02:30", "2026-10-25 01:10:00", 0, "2026-10-26 00:30:00"),
    ],
)  # fmt: skip
def test_a_window_when_the_clocks_change(span: str, now: str, left: float, opens: str) -> None:
    windows = [window(span, "Europe/Berlin")]
    assert closes_in(windows, utc(now)) == left
    assert opening(windows, now) == opens


def test_a_weekly_window_that_the_change_swallows_opens_in_the_week_after() -> None:
    windows = [window("02:00-03:00", "Europe/Berlin", "sun")]
    assert opening(windows, "2026-03-22 01:00:00") == "2026-03-22 01:00:00"
    assert opening(windows, "2026-03-22 02:00:00") == "2026-04-05 00:00:00"


def test_a_window_at_midnight_opens_although_midnight_does_not_exist_that_day() -> None:
    # In Beirut the clocks went from 00:00 to 01:00 on 2022-03-27, at 22:00 UTC of the day before.
    windows = [window("00:00-02:00", "Asia/Beirut")]
    assert opening(windows, "2022-03-26 12:00:00") == "2022-03-26 22:00:00"
    assert closes_in(windows, utc("2022-03-26 22:00:00")) == 3600


def test_a_change_is_found_to_the_second() -> None:
    # Until 1972 Monrovia was 44 minutes and 30 seconds behind; on 7 January the clocks went on by that much.
    windows = [window("00:00-02:00", "Africa/Monrovia")]
    assert opening(windows, "1972-01-06 12:00:00") == "1972-01-07 00:44:30"
    assert closes_in(windows, utc("1972-01-07 00:44:30")) == 2 * 3600 - 2670
    assert closes_in(windows, utc("1972-01-07 00:44:29")) == 0


def test_a_window_of_nearly_a_day_is_still_open_where_it_is_yesterday() -> None:
    # Tuesday 02:00 UTC is Monday 16:00 in Honolulu.
    windows = [window("18:00-17:00", "Pacific/Honolulu", "sun")]
    assert closes_in(windows, utc("2026-11-24 02:00:00")) == 3600


def test_the_day_is_that_of_the_zone() -> None:
    # In Auckland it is Tuesday while it is Monday in UTC.
    assert (
        opening([window("08:00-09:00", "Pacific/Auckland", "tue")], "2026-11-23 12:00:00")
        == "2026-11-23 19:00:00"
    )
    assert (
        opening([window("20:00-21:00", "Pacific/Honolulu", "sun")], "2026-11-23 03:00:00")
        == "2026-11-23 06:00:00"
    )


def test_windows_that_adjoin_or_overlap_are_one() -> None:
    windows = [
        window("22:00-24:00"),
        window("00:00-02:00"),
        window("01:00-03:00", "UTC"),
        window("05:00-06:00"),
    ]
    assert closes_in(windows, utc("2026-11-23 23:00:00")) == 4 * 3600
    assert opening(windows, "2026-11-24 03:00:00") == "2026-11-24 05:00:00"


def test_the_longest_of_those_that_are_open_counts() -> None:
    windows = [window("10:00-11:00"), window("10:00-14:00"), window("10:00-12:00")]
    assert closes_in(windows, utc("2026-11-23 10:30:00")) == 3.5 * 3600
    assert closes_in(windows[::-1], utc("2026-11-23 10:30:00")) == 3.5 * 3600


def test_windows_in_several_zones_are_each_in_their_own() -> None:
    windows = [window("10:00-11:00", "Europe/Berlin"), window("10:00-11:00", "America/New_York")]
    assert opening(windows, "2026-11-23 09:30:00") == "2026-11-23 09:30:00"
    assert opening(windows, "2026-11-23 10:00:00") == "2026-11-23 15:00:00"


def test_without_windows_it_is_always_open() -> None:
    assert open_now([], 0.0)
    assert closes_in([], 0.0) == math.inf
    assert next_opening([], 17.0) == 17.0


def test_a_window_without_a_day_never_opens() -> None:
    assert never_opens(Window(begin_minute=0, end_minute=60, days=()))
    assert never_opens(Window(begin_minute=0, end_minute=60, days=("Monday",)))
    assert not never_opens(Window(begin_minute=0, end_minute=60, days=("Monday", "sun")))


def test_a_zone_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        open_now([window("10:00-11:00", "Europe/Atlantis")], 0.0)


def test_a_window_agrees_with_the_clock_on_the_wall_on_every_day_without_a_change() -> None:
    windows = [window("22:15-03:45", "Europe/Berlin", "mon", "thu", "sun")]
    for hours in range(0, 24 * 366, 5):
        now = utc("2026-01-01 00:00:00") + hours * 3600 + 1234
        wall = dt.datetime.fromtimestamp(now, BERLIN)
        minute, day = wall.hour * 60 + wall.minute, wall.weekday()
        if (wall.month, wall.day) in ((3, 29), (10, 25)):
            continue
        expected = (minute >= 1335 and day in (0, 3, 6)) or (minute < 225 and (day - 1) % 7 in (0, 3, 6))
        assert open_now(windows, now) is expected, wall
