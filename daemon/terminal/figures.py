"""Numbers as people read them: three or four places, and `-` for what is not known."""

from __future__ import annotations

import math

UNKNOWN = "-"
_SIZES = (" B", " kB", " MB", " GB", " TB", " PB")
_COUNTS = ("", "k", "M", "G", "T")
_FULL_BELOW = 100_000
"""Counts below are written in full."""
_LENGTHS = (
    (365 * 86400, "y", 86400, "d"),
    (86400, "d", 3600, "h"),
    (3600, "h", 60, "m"),
    (60, "m", 1, "s"),
)


def count(value: float | None) -> str:
    """Return a plain number: 0.25, 12.3, 9,876, 123k."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if abs(value) >= _FULL_BELOW:
        return _scaled(value, 1000, _COUNTS)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.{_places(value)}f}"


def size(value: float | None) -> str:
    """Return bytes: 512 B, 16.0 MB; a kB has 1024 of them, as in PostgreSQL."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return _scaled(value, 1024, _SIZES)


def share(value: float | None) -> str:
    """Return a ratio of 0 to 1 in percent; never 100 % for what is a little less."""
    if value is None or math.isnan(value):
        return UNKNOWN
    percent = value * 100
    return f"{math.floor(percent * 10) / 10:.1f} %" if value < 1 else "100 %"


def per_second(text: str) -> str:
    """Return a figure as a rate; what is not known stays so."""
    return text if text == UNKNOWN else f"{text}/s"


def seconds(value: float | None) -> str:
    """Return a length of time: 850 us, 3.2 ms, 12 s, 4m 10s, 3h 5m, 12d 4h, 2y 30d."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    value = max(value, 0.0)
    for large, name, small, small_name in _LENGTHS:
        if value >= large:
            first, rest = divmod(int(value), large)
            return f"{first}{name} {rest // small}{small_name}" if rest // small else f"{first}{name}"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")):
        if value * factor >= 1:
            # Rounded down: 59.96 s must not become "60 s".
            places = 1 if value * factor < 10 else 0  # noqa: PLR2004 - two digits
            return f"{math.floor(value * factor * 10**places) / 10**places:.{places}f} {unit}"
    return "0 s"


def _scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    if math.isinf(value):
        return "inf"
    step = 0
    while abs(value) >= base and step < len(names) - 1:
        value /= base
        step += 1
    return f"{value:.{1 if step and _places(value) else 0}f}{names[step]}"


def _places(value: float) -> int:
    """Return the decimals that keep about three digits."""
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 - digits
