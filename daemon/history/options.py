"""How much of the past is kept, and how often it goes to disk."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """What bounds the store."""

    raw_ms: int = DAY_MS
    """How long samples are kept as they came."""
    rollup_ms: int = 30 * DAY_MS
    """How long their minutes are kept."""
    max_bytes: int = 2_000_000_000
    """What all files together may take; the oldest go first."""
    flush_seconds: float = 30.0
    """How often what came is made durable: this much can be lost, and the time that a write takes."""
    unsaved_max_bytes: int = 64_000_000
    """What may wait in memory while the disk takes nothing; the oldest is lost first."""
