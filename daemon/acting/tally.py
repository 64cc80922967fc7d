"""Counts executions that ended, and how long they took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds, seconds."""


@dataclass(slots=True)
class Durations:
    """A histogram."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    """By bucket, smaller ones not counted in larger ones."""
    total: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.total += 1
        self.seconds += seconds
        for index, bound in enumerate(BUCKETS):
            if seconds <= bound:
                self.counts[index] += 1
                return


@dataclass(slots=True)
class Tally:
    """Since the daemon began."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action and state."""
    durations: dict[str, Durations] = field(default_factory=dict)
    """By action: from the claim to the end, of those that were begun."""

    def ended(self, action: str, state: str, seconds: float | None = None) -> None:
        """Count one that has ended, or that needs a person now."""
        self.outcomes[action, state] += 1
        if seconds is not None:
            self.durations.setdefault(action, Durations()).add(seconds)
