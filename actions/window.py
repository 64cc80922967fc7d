"""Maintenance windows: when they are open, and for how long they stay so, in a time zone of their own.

A window opens once a day, also when the clocks change: in the hour that exists twice, both its begin and its
end mean the first time that the clock shows them; in the hour that does not exist, the moment of the change.
A window that lies wholly in the hour that does not exist stays closed that day.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD_DAYS = 15
"""A weekly window that a change of the clocks swallows opens in the week after: within 15 days."""
_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A daily span on some days; an end before the begin is on the next day."""

    begin_minute: int
    """Minutes after midnight, 0 to 1439."""
    end_minute: int
    """Minutes after midnight, 0 to 1440; not equal to `begin_minute` unless the window is the whole day."""
    zone: str = "UTC"
    """Name in the time zone database, e.g. `Europe/Berlin`."""
    days: tuple[str, ...] = DAYS
    """Of the window's begin."""


def open_now(windows: Sequence[Window], now: float) -> bool:
    """Tell whether one of them is open; no windows at all means at any time."""
    return closes_in(windows, now) > 0


def closes_in(windows: Sequence[Window], now: float) -> float:
    """Return for how many seconds they stay open, windows that adjoin taken as one; 0 when closed.

    Infinite when there are none, or when they stay open for two weeks and more.
    Raises ZoneInfoNotFoundError for a zone that is not in the database.
    """
    if not windows:
        return math.inf
    spans = list(_spans(windows, now))
    until = now
    while ends := [end for begin, end in spans if begin <= until < end]:
        until = max(ends)
    return math.inf if until >= now + (_AHEAD_DAYS - 1) * 86400 else until - now


def next_opening(windows: Sequence[Window], now: float) -> float | None:
    """Return when they are open next, Unix seconds: `now` if they are; None if they never are."""
    if open_now(windows, now):
        return now
    return min((begin for begin, _ in _spans(windows, now) if begin > now), default=None)


def never_opens(window: Window) -> bool:
    """Tell whether there is no day on which it opens."""
    return not any(day in DAYS for day in window.days)


def _spans(windows: Sequence[Window], now: float) -> Iterator[tuple[float, float]]:
    """Yield begin and end of all openings from yesterday's on."""
    for window in windows:
        zone = ZoneInfo(window.zone)
        today = dt.datetime.fromtimestamp(now, zone).date()
        for ahead in range(-1, _AHEAD_DAYS + 1):
            day = today + dt.timedelta(days=ahead)
            if DAYS[day.weekday()] not in window.days:
                continue
            begin = _instant(day, window.begin_minute, zone)
            overnight = window.end_minute <= window.begin_minute
            end = _instant(day, window.end_minute + _DAY_MINUTES * overnight, zone)
            if begin < end:
                yield begin, end


def _instant(day: dt.date, minutes: int, zone: ZoneInfo) -> float:
    """Return when the clock there first shows a time of a day, or passes over it."""
    wall = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minutes)
    first = wall.replace(tzinfo=zone).timestamp()
    second = wall.replace(tzinfo=zone, fold=1).timestamp()
    # In the doubled hour `fold=1` is later; in the skipped one it is earlier, and the change lies in between.
    return first if second >= first else _change(second, first, zone)


def _change(before: float, after: float, zone: ZoneInfo) -> float:
    """Return the moment, to the second, between two at which the clocks change."""
    low, high = math.floor(before), math.ceil(after)
    old = dt.datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if dt.datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return float(high)
