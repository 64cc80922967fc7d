"""Time as acting takes it, and whether it can be trusted: a jump or a pause means a while of no actions."""

from __future__ import annotations

import asyncio
import time

import structlog

log = structlog.get_logger()
GAP_SECONDS = 2.0
EVERY_SECONDS = 0.5


class SteadyClock:
    """The machine's clocks.

    `monotonic` asks the kernel each time: an event loop may answer with the time at which it woke, and a
    process that was stopped in between would take an old time for now.
    """

    def now(self) -> float:
        """Return Unix time, seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def awake(self) -> float:
        """Return monotonic seconds that also count while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Tilt:
    """Notices when the wall clock was set, or when the process or the machine did not run for a while."""

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._wall, self._steady = clock.now(), clock.awake()
        self._since: float | None = None

    def seconds(self) -> float | None:
        """Return how long ago the last jump or pause was noticed; None when there was none."""
        self.look()
        return None if self._since is None else self._clock.awake() - self._since

    def look(self) -> None:
        """Compare the clocks with those of the last look; called often, so a long gap is a pause of ours."""
        wall, steady = self._clock.now(), self._clock.awake()
        passed = steady - self._steady
        jumped = wall - self._wall - passed
        self._wall, self._steady = wall, steady
        if abs(jumped) > GAP_SECONDS or passed > GAP_SECONDS + EVERY_SECONDS:
            self._since = steady
            log.warning("acting.tilt", clock_jumped_seconds=round(jumped, 3), pause_seconds=round(passed, 3))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.look()
