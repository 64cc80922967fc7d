"""A lane: does one thing after the other for one target, and says what it is doing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Running:
    """What a lane is doing right now."""

    probe: str
    database: str
    since: float
    """Monotonic seconds."""
    within_seconds: float


class Lane:
    """Runs a cycle for each tick; a tick that finds it busy is refused, so that nothing queues."""

    def __init__(self, name: str, cycle: Callable[[Lane], Awaitable[None]]) -> None:
        self.name = name
        self.running: Running | None = None
        self.busy = False
        self._written_off = False
        self.finished_at = time.monotonic()
        """When the last cycle ended, monotonic seconds: what freshness is judged by."""
        self._cycle = cycle
        self._ticks = asyncio.Event()

    def write_off(self) -> None:
        """Whatever the lane is stuck in, let it do nothing afterwards."""
        self._written_off = True

    def written_off(self) -> bool:
        """Tell whether another lane has taken this one's place."""
        return self._written_off

    def tick(self) -> bool:
        """Ask for a cycle; return False when the last one is still under way."""
        if self.busy:
            return False
        self._ticks.set()
        return True

    async def run(self) -> None:
        """Run cycles as they are asked for, until cancelled or abandoned."""
        while not self._written_off:
            await self._ticks.wait()
            self._ticks.clear()
            self.busy = True
            try:
                await self._cycle(self)
            finally:
                self.running = None
                self.busy = False
                self.finished_at = time.monotonic()

    def stuck(self, now: float) -> bool:
        """Tell whether what runs has ignored twice its deadline: cancelling did not help."""
        one = self.running
        return one is not None and now - one.since > 2 * one.within_seconds + GRACE_SECONDS


GRACE_SECONDS = 5.0
"""On top of twice the deadline: the time in which a session is given back in good order."""
