"""How much of a server's time slow probes may take."""

from __future__ import annotations

from collectors.model import Cost

SECONDS_PER_MINUTE = 3.0
"""Default: 5 % of one backend, counting only medium and heavy probes."""


class Budget:
    """A bucket of database seconds, refilled evenly. Times are monotonic seconds."""

    def __init__(self, seconds_per_minute: float = SECONDS_PER_MINUTE, *, now: float = 0.0) -> None:
        self.seconds_per_minute = seconds_per_minute
        self._left = seconds_per_minute
        self._at = now
        self.spent_seconds_total = 0.0

    def refusal(self, cost: Cost, now: float, distress: str = "") -> str:
        """Return why a probe of this cost must wait, or an empty string.

        Light probes always run. A heavy one waits whenever the server suffers; a medium one too,
        unless the bucket is still more than half full.
        """
        if cost is Cost.LIGHT:
            return ""
        self._refill(now)
        if distress and (cost is Cost.HEAVY or self._left < self.seconds_per_minute / 2):
            return "distress"
        return "budget" if self._left <= 0 else ""

    def spend(self, cost: Cost, took_seconds: float, now: float) -> None:
        """Charge a run; it may overdraw the bucket, which then takes longer to fill."""
        self.spent_seconds_total += took_seconds
        if cost is not Cost.LIGHT:
            self._refill(now)
            self._left -= took_seconds

    @property
    def left_seconds(self) -> float:
        """Return what is left; negative when the last probe overran."""
        return self._left

    def _refill(self, now: float) -> None:
        gained = max(0.0, now - self._at) * self.seconds_per_minute / 60.0
        self._left = min(self.seconds_per_minute, self._left + gained)
        self._at = max(now, self._at)
