"""Go's time.Time (in UTC) and time.Duration, with the methods that templates call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rules.template.errors import CallFailed
from rules.template.values import Int64

NANOSECONDS = 10**9


class Duration(int):
    """A time.Duration, in nanoseconds."""

    go_type = "time.Duration"

    def __str__(self) -> str:
        size = abs(int(self))
        sign = "-" if self < 0 else ""
        if size < NANOSECONDS:
            return sign + _below_a_second(size)
        minutes, rest = divmod(size, 60 * NANOSECONDS)
        seconds, fraction = divmod(rest, NANOSECONDS)
        text = f"{seconds}{_fraction(fraction, 9)}s"
        if minutes:
            hours, minutes = divmod(minutes, 60)
            text = f"{minutes}m{text}"
            text = f"{hours}h{text}" if hours else text
        return sign + text

    def truncate(self, unit: int) -> Duration:
        """Return the duration cut to a multiple of the unit, towards zero."""
        return self if unit <= 0 else Duration(_towards_zero(self, unit) * unit)

    def round(self, unit: int) -> Duration:
        """Return the nearest multiple of the unit, halves away from zero."""
        if unit <= 0:
            return self
        rounded = (2 * abs(int(self)) + unit) // (2 * unit) * unit
        return Duration(-rounded if self < 0 else rounded)


class Month(int):
    """A time.Month; January is 1."""

    go_type = "time.Month"

    def __str__(self) -> str:
        return _MONTHS[int(self) - 1]


class Weekday(int):
    """A time.Weekday; Sunday is 0."""

    go_type = "time.Weekday"

    def __str__(self) -> str:
        return _DAYS[int(self)]


@dataclass(frozen=True, order=True)
class Time:
    """A moment, in nanoseconds since 1970 UTC."""

    nanoseconds: int
    go_type = "time.Time"

    def __post_init__(self) -> None:
        if not _FIRST <= self.nanoseconds <= _LAST:
            raise CallFailed("the time is not in the years 1 to 9999")

    def __str__(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    @property
    def calendar(self) -> datetime:
        """Return the second this moment is in."""
        return _EPOCH + timedelta(seconds=self.nanoseconds // NANOSECONDS)

    @property
    def fraction(self) -> int:
        """Return the nanoseconds into the second."""
        return self.nanoseconds % NANOSECONDS

    @property
    def weekday(self) -> Weekday:
        """Return the day of the week."""
        return Weekday(self.calendar.isoweekday() % 7)

    def format(self, layout: str) -> str:
        """Write the moment as the layout writes 2006-01-02 15:04:05.000000000 -0700 MST."""
        return _LAYOUT.sub(lambda match: self._piece(match.group()), layout)

    def add_date(self, years: int, months: int, days: int) -> Time:
        """Move by calendar units; a day that the month does not have runs over into the next."""
        at = self.calendar
        index = at.year * 12 + at.month - 1 + years * 12 + months
        try:
            start = at.replace(year=index // 12, month=index % 12 + 1, day=1)
            moved = start + timedelta(days=at.day - 1 + days)
        except (ValueError, OverflowError):
            raise CallFailed("the time is not in the years 1 to 9999") from None
        return Time((moved - _EPOCH) // timedelta(seconds=1) * NANOSECONDS + self.fraction)

    def _piece(self, mark: str) -> str:
        if mark[0] in ".,":
            return mark[0] + self._digits(mark[1:]) if mark[1] == "0" else self._shortened(mark)
        if mark[0] in "-Z":
            return "Z" if mark[0] == "Z" else "+" + mark[1:].replace("7", "0")
        return _PIECES[mark](self.calendar)

    def _digits(self, zeros: str) -> str:
        return f"{self.fraction:09d}".ljust(len(zeros), "0")[: len(zeros)]

    def _shortened(self, mark: str) -> str:
        digits = self._digits(mark[1:]).rstrip("0")
        return mark[0] + digits if digits else ""


def _limited(nanoseconds: int) -> Duration:
    return Duration(max(-(2**63), min(nanoseconds, 2**63 - 1)))


def seconds_of(duration: Duration) -> float:
    """Return what Go's Duration.Seconds gives."""
    whole = _towards_zero(duration, NANOSECONDS)
    return whole + (duration - whole * NANOSECONDS) / 1e9


def _towards_zero(value: int, unit: int) -> int:
    return -(-value // unit) if value < 0 else value // unit


def _in_units(unit: int) -> Callable[[Duration], float]:
    def convert(duration: Duration) -> float:
        whole = _towards_zero(duration, unit)
        return whole + (duration - whole * unit) / unit

    return convert


@dataclass(frozen=True)
class Method:
    """A method that templates can call: what it takes, by Go's types, and what it does."""

    takes: tuple[str, ...]
    call: Callable[..., object]


TIME_METHODS: dict[str, Method] = {
    "Format": Method(("string",), Time.format),
    "String": Method((), str),
    "Unix": Method((), lambda t: Int64(t.nanoseconds // NANOSECONDS)),
    "UnixMilli": Method((), lambda t: Int64(t.nanoseconds // 10**6)),
    "UnixMicro": Method((), lambda t: Int64(t.nanoseconds // 10**3)),
    "UnixNano": Method((), lambda t: Int64(t.nanoseconds)),
    "Year": Method((), lambda t: t.calendar.year),
    "Month": Method((), lambda t: Month(t.calendar.month)),
    "Day": Method((), lambda t: t.calendar.day),
    "Hour": Method((), lambda t: t.calendar.hour),
    "Minute": Method((), lambda t: t.calendar.minute),
    "Second": Method((), lambda t: t.calendar.second),
    "Nanosecond": Method((), lambda t: t.fraction),
    "Weekday": Method((), lambda t: t.weekday),
    "YearDay": Method((), lambda t: t.calendar.timetuple().tm_yday),
    "UTC": Method((), lambda t: t),
    "IsZero": Method((), lambda _: False),
    "Add": Method(("time.Duration",), lambda t, d: Time(t.nanoseconds + d)),
    "Sub": Method(("time.Time",), lambda t, other: _limited(t.nanoseconds - other.nanoseconds)),
    "AddDate": Method(("int", "int", "int"), Time.add_date),
    "Before": Method(("time.Time",), lambda t, other: t < other),
    "After": Method(("time.Time",), lambda t, other: t > other),
    "Equal": Method(("time.Time",), lambda t, other: t == other),
}

DURATION_METHODS: dict[str, Method] = {
    "String": Method((), str),
    "Seconds": Method((), seconds_of),
    "Minutes": Method((), _in_units(60 * NANOSECONDS)),
    "Hours": Method((), _in_units(3600 * NANOSECONDS)),
    "Milliseconds": Method((), lambda d: Int64(_towards_zero(d, 10**6))),
    "Microseconds": Method((), lambda d: Int64(_towards_zero(d, 10**3))),
    "Nanoseconds": Method((), lambda d: Int64(int(d))),
    "Round": Method(("time.Duration",), Duration.round),
    "Truncate": Method(("time.Duration",), Duration.truncate),
    "Abs": Method((), lambda d: Duration(abs(int(d)))),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * NANOSECONDS
_LAST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * NANOSECONDS
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905 - reads better
)
_DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()  # noqa: SIM905 - reads better
_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|_(?=2006)2006|_2(?!006)|__2|3|4|5|PM|pm"
    r"|[-Z](?:070000|07:00:00|0700|07:00|07)|[.,](?:0+|9+)(?![0-9])"
)
_PIECES: dict[str, Callable[[datetime], str]] = {
    "January": lambda t: _MONTHS[t.month - 1],
    "Jan": lambda t: _MONTHS[t.month - 1][:3],
    "Monday": lambda t: _DAYS[t.isoweekday() % 7],
    "Mon": lambda t: _DAYS[t.isoweekday() % 7][:3],
    "MST": lambda _: "UTC",
    "01": lambda t: f"{t.month:02d}",
    "02": lambda t: f"{t.day:02d}",
    "03": lambda t: f"{(t.hour + 11) % 12 + 1:02d}",
    "04": lambda t: f"{t.minute:02d}",
    "05": lambda t: f"{t.second:02d}",
    "06": lambda t: f"{t.year % 100:02d}",
    "002": lambda t: f"{t.timetuple().tm_yday:03d}",
    "15": lambda t: f"{t.hour:02d}",
    "1": lambda t: str(t.month),
    "2006": lambda t: f"{t.year:04d}",
    "_2006": lambda t: f"_{t.year:04d}",
    "2": lambda t: str(t.day),
    "_2": lambda t: f"{t.day:2d}",
    "__2": lambda t: f"{t.timetuple().tm_yday:3d}",
    "3": lambda t: str((t.hour + 11) % 12 + 1),
    "4": lambda t: str(t.minute),
    "5": lambda t: str(t.second),
    "PM": lambda t: "AM" if t.hour < 12 else "PM",  # noqa: PLR2004 - noon
    "pm": lambda t: "am" if t.hour < 12 else "pm",  # noqa: PLR2004 - noon
}


def _fraction(value: int, digits: int) -> str:
    text = f"{value:0{digits}d}".rstrip("0")
    return f".{text}" if text else ""


def _below_a_second(size: int) -> str:
    if size == 0:
        return "0s"
    for unit, digits in (("ns", 0), ("µs", 3), ("ms", 6)):
        if size < 10 ** (digits + 3):
            whole, rest = divmod(size, 10**digits)
            return f"{whole}{_fraction(rest, digits) if digits else ''}{unit}"
    raise AssertionError
