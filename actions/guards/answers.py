"""What a guard answers: a result with the inputs it rests on, fit for canonical JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.model import GuardResult, Json


def allow(guard: str, reason: str, **inputs: Json) -> GuardResult:
    """Return a yes."""
    return GuardResult(guard=guard, allowed=True, reason=reason, inputs=plain(inputs))


def refuse(guard: str, reason: str, **inputs: Json) -> GuardResult:
    """Return a no; the reason says what stands against it, where, and what to do."""
    return GuardResult(guard=guard, allowed=False, reason=reason, inputs=plain(inputs))


def pending(result: GuardResult) -> GuardResult:
    """Return a no as something that is yet to come: it does not refuse a proposal, which waits for it."""
    if result.allowed:
        return result
    return allow(result.guard, f"pending: {result.reason}", **{**result.inputs, "pending": True})


def plain(value: Json) -> Json:
    """Return a value as JSON has it: numbers that are not finite become text, tuples become lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def seconds(value: float) -> str:
    """Return a duration as people read it: `45 s`, `12.0 min`, `3.5 h`, `2.0 d`."""
    for unit, seconds_each in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if value >= 2 * seconds_each:
            return f"{value / seconds_each:.1f} {unit}"
    return f"{value:.0f} s"


def size(value: float) -> str:
    """Return a number of bytes as people read it."""
    for unit, bytes_each in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if value >= bytes_each:
            return f"{value / bytes_each:.1f} {unit}"
    return f"{value:.0f} bytes"
