"""Maintenance windows: when they are open, and for how long they stay so, in a time zone of their own."""

from __future__ import annotations

from dataclasses import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


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
