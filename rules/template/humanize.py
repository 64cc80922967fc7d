"""Numbers, durations and times for people, as Prometheus writes them."""

from __future__ import annotations

import math
import re

from rules.template.errors import CallFailed
from rules.template.floats import format_float
from rules.template.literals import BadLiteral, parse_float
from rules.template.quoting import quote
from rules.template.times import Duration, Time, seconds_of
from rules.template.values import Int64, Pointer, type_of


def number_of(value: object) -> float:
    """Return a number, a text that is one, or a duration in seconds, as a float."""
    if isinstance(value, Duration):
        return seconds_of(value)
    if isinstance(value, float) or type(value) in (int, Int64):
        return float(value)  # type: ignore[arg-type]
    if type(value) is str:
        try:
            return parse_float(value)
        except BadLiteral as error:
            raise CallFailed(str(error)) from None
    raise CallFailed(f"can't convert {type_of(value)} to float")


def humanize(value: object) -> str:
    """Write with a metric prefix."""
    number = number_of(value)
    if number == 0 or not math.isfinite(number):
        return _short(number)
    if abs(number) >= 1:
        return _scaled(number, 1000.0, ("k", "M", "G", "T", "P", "E", "Z", "Y"))
    return _small(number)


def humanize_1024(value: object) -> str:
    """Write with a binary prefix."""
    number = number_of(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _short(number)
    return _scaled(number, 1024.0, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"))


def humanize_percentage(value: object) -> str:
    """Write a ratio as a percentage."""
    return _short(number_of(value) * 100) + "%"


def humanize_duration(value: object) -> str:
    """Write seconds as days, hours, minutes and seconds, or with a prefix if below one."""
    number = number_of(value)
    if not math.isfinite(number):
        return _short(number)
    if number == 0:
        return _short(number) + "s"
    if abs(number) < 1:
        return _small(number) + "s"
    sign, number = ("-", -number) if number < 0 else ("", number)
    # What is too large for Go's int64 becomes the least one, and its parts negative.
    whole, unit = (int(number), 1) if number < 2.0**63 else (2**63, -1)
    minutes, seconds = divmod(whole, 60)
    if not minutes:
        return f"{sign}{_short(number)}s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    days, hours, minutes, seconds = days * unit, hours * unit, minutes * unit, seconds * unit
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    return f"{sign}{hours}h {minutes}m {seconds}s" if hours else f"{sign}{minutes}m {seconds}s"


def humanize_timestamp(value: object) -> str:
    """Write Unix seconds as a date and a time in UTC."""
    number = number_of(value)
    return str(_moment(number)) if math.isfinite(number) else _short(number)


def to_time(value: object) -> Pointer:
    """Return the time at these Unix seconds."""
    number = number_of(value)
    if not math.isfinite(number):
        raise CallFailed("value is NaN or Inf")
    return Pointer(_moment(number))


def to_duration(value: object) -> Pointer:
    """Return the duration of these seconds."""
    nanoseconds = number_of(value) * 1e9
    if not -(2.0**63) <= nanoseconds < 2.0**63:
        return Pointer(Duration(-(2**63)))
    return Pointer(Duration(int(nanoseconds)))


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Prometheus writes it, such as 1h30m."""
    if text == "0":
        return 0.0
    if not text:
        raise CallFailed("empty duration string")
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CallFailed(f"not a valid duration string: {quote(text)}")
    milliseconds = sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True))
    if milliseconds * 10**6 > 2**63 - 1:
        raise CallFailed("duration out of range")
    return milliseconds * 1e6 / 1e9


_DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?",
    re.ASCII,
)
_DAY = 86_400_000
_UNITS = (365 * _DAY, 7 * _DAY, _DAY, 3_600_000, 60_000, 1000, 1)


def _short(number: float) -> str:
    return format_float(number, "g", 4)


def _scaled(number: float, step: float, prefixes: tuple[str, ...]) -> str:
    shown = ""
    for prefix in prefixes:
        if abs(number) < step:
            break
        shown = prefix
        number /= step
    return _short(number) + shown


def _small(number: float) -> str:
    shown = ""
    for prefix in ("m", "u", "n", "p", "f", "a", "z", "y"):
        if abs(number) >= 1:
            break
        shown = prefix
        number *= 1000
    return _short(number) + shown


def _moment(seconds: float) -> Time:
    nanoseconds = seconds * 1e9
    if not -(2.0**63) <= nanoseconds <= 2.0**63:
        shown = format_float(seconds)
        raise CallFailed(f"{shown} cannot be represented as a nanoseconds timestamp since it overflows int64")
    # Prometheus keeps milliseconds, cut towards zero.
    size = abs(int(nanoseconds)) // 10**6 * 10**6
    return Time(-size if nanoseconds < 0 else size)
