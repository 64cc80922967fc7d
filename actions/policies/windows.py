"""Reads maintenance windows, and says on which dates a change of the clock makes one shorter or longer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from actions.policies.cron import next_time
from actions.policies.fields import Fields
from actions.policy import Schedule
from actions.window import DAYS, Window, closes_in, next_opening, open_now
from collectors.strict_yaml import did_you_mean

KEYS = ("days", "begin", "end", "zone")
MINUTES_A_DAY = 24 * 60
AHEAD_DAYS = 370
"""How far ahead changes of the clock are looked for: a year and some days."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_SPAN = re.compile(r"([a-z]+)-([a-z]+)")


def read(policy: Fields) -> tuple[Window, ...]:
    """Return the windows of a policy; mistakes are noted, and the windows that have them left out."""
    windows = []
    for index, value in policy.items("windows"):
        if not isinstance(value, dict):
            hint = 'write it as {days: [sat, sun], begin: "22:00", end: "04:00", zone: Europe/Berlin}'
            policy.wrong("windows", "should be keys with values", hint, index)
            continue
        window = _window(policy.entry("windows", index, value))
        if window:
            windows.append(window)
    return tuple(windows)


def zone_of(fields: Fields, key: str = "zone") -> str:
    """Return a time zone's name; one that nobody knows is a mistake."""
    name = fields.text(key, "UTC")
    if name in _zones():
        return name
    hint = did_you_mean(name, _zones()) or "write it as in the time zone database, e.g. Europe/Berlin"
    fields.wrong(key, f"there is no time zone {name!r}", hint)
    return "UTC"


def changed_days(window: Window, now: float) -> list[tuple[date, int]]:
    """Return the days of the next year on which a window is longer or shorter, with the minutes."""
    return list(
        _changed_days(window, datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(window.zone)).date())
    )


@lru_cache(maxsize=1024)
def _changed_days(window: Window, first: date) -> tuple[tuple[date, int], ...]:
    zone = ZoneInfo(window.zone)
    days = [first + timedelta(days=ahead) for ahead in range(AHEAD_DAYS)]
    near = dict.fromkeys(
        day
        for before, after in pairwise(days)
        if _noon(before, zone).utcoffset() != _noon(after, zone).utcoffset()
        for day in (before, after)
    )
    gained = ((day, _gain(window, day, zone)) for day in near if DAYS[day.weekday()] in window.days)
    return tuple((day, minutes) for day, minutes in gained if minutes)


def meets(schedule: Schedule, windows: Sequence[Window], now: float) -> bool:
    """Tell whether a schedule comes within a year while one of the windows is open."""
    at = next_time(schedule, now)
    while at is not None and at < now + AHEAD_DAYS * 86400:
        if open_now(windows, at):
            return True
        opens = next_opening(windows, at)
        at = next_time(schedule, opens - 1) if opens is not None else None
    return False


def length_minutes(window: Window) -> int:
    """Return how long a window is open on a day like any other."""
    length = (window.end_minute - window.begin_minute) % MINUTES_A_DAY
    return length or MINUTES_A_DAY


def _gain(window: Window, day: date, zone: ZoneInfo) -> int:
    """Return by how many minutes the window that begins on a day is longer than usual."""
    alone = [replace(window, days=(DAYS[day.weekday()],))]
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    opens = next_opening(alone, midnight)
    if opens is None or datetime.fromtimestamp(opens, zone).date() != day:
        return -length_minutes(window)
    return round(closes_in(alone, opens) / 60) - length_minutes(window)


def _noon(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=zone)


def _window(fields: Fields) -> Window | None:
    fields.only(KEYS)
    begin, end = _minute(fields, "begin", most=MINUTES_A_DAY - 1), _minute(fields, "end", most=MINUTES_A_DAY)
    days = _days(fields)
    zone = zone_of(fields)
    if begin is None or end is None or not days:
        return None
    if begin == end:
        hint = 'for the whole day write begin: "00:00", end: "24:00"'
        fields.wrong("end", "is when the window begins, so it never opens", hint)
        return None
    return Window(begin_minute=begin, end_minute=end, zone=zone, days=days)


def _minute(fields: Fields, key: str, most: int) -> int | None:
    if key not in fields:
        fields.missing(key, f'write {key}: "22:00"')
        return None
    text = fields.raw(key)
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    minute = (int(found[1]) * 60 + int(found[2]) if found[1] else MINUTES_A_DAY) if found else None
    if minute is not None and minute <= most:
        return minute
    last = "24:00" if most == MINUTES_A_DAY else "23:59"
    if text is not None:
        fields.wrong(key, f'should be a time from "00:00" to "{last}"', "two digits each, in quotes")
    return None


def _days(fields: Fields) -> tuple[str, ...]:
    """Return the days in the order of the week; none when one of them is wrong."""
    written = fields.raw("days")
    if written is None:
        return DAYS
    parts = [(None, part.strip()) for part in written.split(",")] if isinstance(written, str) else None
    listed = fields.texts("days") if parts is None else parts
    found: set[str] = set()
    for index, part in listed:
        span = _day_span(part.lower())
        if not span:
            near = "" if "-" in part else did_you_mean(part.lower(), DAYS)
            hint = near or f"days are {', '.join(DAYS)}, or a span such as mon-fri"
            fields.wrong("days", f"there is no day {part!r}", hint, index)
            return ()
        found.update(span)
    return tuple(day for day in DAYS if day in found)


def _day_span(part: str) -> tuple[str, ...]:
    if part in DAYS:
        return (part,)
    span = _SPAN.fullmatch(part)
    if not span or span[1] not in DAYS or span[2] not in DAYS:
        return ()
    first, last = DAYS.index(span[1]), DAYS.index(span[2])
    return tuple(DAYS[(first + step) % 7] for step in range((last - first) % 7 + 1))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
