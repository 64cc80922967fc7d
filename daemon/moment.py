"""Times as programs write them to each other."""

from __future__ import annotations

import datetime as dt


def moment(seconds: float) -> str:
    """Write Unix seconds as RFC 3339 does, in UTC, to the millisecond."""
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
