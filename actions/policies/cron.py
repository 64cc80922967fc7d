"""Schedules as crontab writes them: five fields, in a time zone, with days of the week from 0 (Sunday) on.

APScheduler finds the times. Where it differs from cron, we follow cron: its Sunday is 6, and a fixed time in
the hour that comes twice, when clocks go back, would come twice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from actions.policy import Schedule

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_HOUR = 1
_DAY = "[0-7]|sun|mon|tue|wed|thu|fri|sat"
_SPAN = re.compile(rf"({_DAY})(?:-({_DAY}))?(?:/([0-9]+))?", re.IGNORECASE)


class BadCron(ValueError):
    """Text that is no schedule; `hint` says what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Cron(CronTrigger):  # type: ignore[misc] # APScheduler has no types
    """Names the moments of a schedule; a fixed time comes once on each day, also when clocks change."""

    def __init__(self, schedule: Schedule) -> None:
        minute, hour, day, month, weekday = fields_of(schedule.cron)
        zone = ZoneInfo(schedule.zone)
        super().__init__(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=zone)
        self._every_hour = hour.startswith("*")

    def get_next_fire_time(self, previous_fire_time: Any, now: datetime) -> datetime | None:  # noqa: ANN401
        """Return the first moment from `now` on and after the previous one; None: there is none."""
        found: datetime | None = super().get_next_fire_time(previous_fire_time, now)
        while found is not None and self._comes_again(found):
            found = super().get_next_fire_time(found, found)
        return found

    def _comes_again(self, moment: datetime) -> bool:
        return moment.fold == 1 and not self._every_hour


def next_time(schedule: Schedule, after: float) -> float | None:
    """Return the first moment of a schedule after one, as Unix time; None when it never comes."""
    start = datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(schedule.zone))
    found = Cron(schedule).get_next_fire_time(start, start)
    return None if found is None else found.timestamp()


def check(schedule: Schedule, now: float) -> None:
    """Raise BadCron when a schedule cannot be understood, or never comes."""
    fields = fields_of(schedule.cron)
    if fields[2] != "*" and fields[4] != "*":
        raise BadCron(
            f"{schedule.cron!r} names days of the month and days of the week",
            "cron would take either of the two: make it two policies, one for each",
        )
    try:
        Cron(schedule)
    except ValueError as error:
        reason = str(error).removeprefix("Error validating expression ")
        raise BadCron(f"{schedule.cron!r} is no schedule: {reason}", _how()) from None
    if next_time(schedule, now) is None:
        raise BadCron(f"{schedule.cron!r} never comes: no month has this day", "")


def fields_of(text: str) -> tuple[str, str, str, str, str]:
    """Return the five fields as APScheduler takes them; raise BadCron."""
    fields = _ALIASES.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise BadCron(f"{text!r} has {len(fields)} fields, a schedule has five", _how())
    minute, hour, day, month, weekday = fields
    return minute, hour, day, month, ",".join(_weekday(part) for part in weekday.split(","))


def _weekday(part: str) -> str:
    """Return days by name, Sunday as 0 or 7; what is no number stays as it is."""
    found = _SPAN.fullmatch(part)
    if not found:
        return part
    first, last = _number(found[1]), _number(found[2] or found[1])
    last = last or 7 * bool(first)  # Sunday ends a week as well as it begins one
    step = int(found[3] or 1)
    if first > last or step < 1:
        return part  # refused by APScheduler, in its words
    return ",".join(_DAYS[day] for day in range(first, last + 1, step))


def _number(day: str) -> int:
    return int(day) if day.isdecimal() else _DAYS.index(day.lower())


def _how() -> str:
    return f"five fields: {', '.join(_FIELDS)}; e.g. `30 2 * * 0` for Sundays at half past two"
