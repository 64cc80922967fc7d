"""Durations as Prometheus writes them in files: 30s, 5m, 1h30m, 1y2w."""

from __future__ import annotations

import re

_UNITS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _UNITS))
_MAX_MS = (1 << 63) // 1_000_000


def duration_ms(text: str) -> int:
    """Return milliseconds; raise ValueError in Prometheus' words."""
    if not text:
        raise ValueError("empty duration string")
    if text == "0":
        return 0
    found = _DURATION.fullmatch(text)
    if not found:
        shown = text if len(text) < 40 else text[:40] + "..."  # noqa: PLR2004 - enough to find it again
        raise ValueError(f'not a valid duration string: "{shown}"')
    total = sum(
        int(count[:20]) * size for count, size in zip(found.groups(), _UNITS.values(), strict=True) if count
    )
    if total > _MAX_MS:
        raise ValueError("duration out of range")
    return total


def duration_text(ms: int) -> str:
    """Write a duration as Prometheus does."""
    if ms == 0:
        return "0s"
    parts = []
    for unit, size in _UNITS.items():
        if unit not in ("y", "w") or ms % size == 0:  # 90d is easier to read than 12w6d
            count, ms = divmod(ms, size)
            if count:
                parts.append(f"{count}{unit}")
    return "".join(parts)
