"""When to try a connection again: exponential, full jitter, a cap; refused passwords three a minute."""

from __future__ import annotations

import random
from collections import deque

CAP_SECONDS = 60.0
FIRST_SECONDS = 1.0
REFUSED_PER_MINUTE = 3


class Backoff:
    """Tells when the next attempt may be made. Times are monotonic seconds, given by the caller."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._failures = 0
        self._next = 0.0
        self._refused: deque[float] = deque(maxlen=REFUSED_PER_MINUTE)

    def ready(self, now: float) -> bool:
        """Tell whether an attempt may be made."""
        return now >= self._next

    @property
    def not_before(self) -> float:
        """Return the monotonic time of the next attempt."""
        return self._next

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self._next = 0.0
        self._refused.clear()

    def failed(self, now: float, *, refused: bool = False) -> None:
        """Count a failure; `refused` means the server did not take our credentials."""
        span = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._next = now + self._rng.uniform(0, span)
        if refused:
            self._refused.append(now)
            if len(self._refused) == REFUSED_PER_MINUTE:
                self._next = max(self._next, self._refused[0] + 60.0)
