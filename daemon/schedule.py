"""When each target is looked at: APScheduler says when, lanes do the work."""

from __future__ import annotations

import datetime as dt
import time
import zlib
from collections.abc import Callable

import structlog
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger()
_STEP_SECONDS = 0.5
"""Clocks that are slewed differ by less from one tick to the next."""


class _SteadyScheduler(AsyncIOScheduler):  # type: ignore[misc]  # it has no types
    """A scheduler whose jobs do not notice when the wall clock is set.

    Jobs are due at wall-clock times: after a step back by an hour nothing would run for an hour, after a step
    forward by years every missed run would be counted one by one.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._offset = time.time() - time.monotonic()

    def wakeup(self) -> None:
        """Run what is due; timers of the loop lead here at steady times."""
        before, self._offset = self._offset, time.time() - time.monotonic()
        step = self._offset - before
        if abs(step) > _STEP_SECONDS:
            log.warning("clock.stepped", by_seconds=round(step, 3))
            for job in self.get_jobs():
                job.modify(next_run_time=job.next_run_time + dt.timedelta(seconds=step))
        super().wakeup()


class Schedule:
    """Ticks for every target, each with a phase of its own so that they do not come together."""

    def __init__(self) -> None:
        self._scheduler = _SteadyScheduler(timezone=dt.UTC, executors={"default": AsyncIOExecutor()})

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def stop(self) -> None:
        """Tick no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def add(
        self, name: str, interval_seconds: float, tick: Callable[[], None], spread_seconds: float
    ) -> None:
        """Tick for a target at its interval, first within `spread_seconds` (at most two intervals)."""

        async def job() -> None:
            tick()

        # The phase follows from the name: after a restart of the daemon the same targets come at
        # the same distance from each other, and no two daemons need to agree on anything.
        phase = zlib.crc32(name.encode()) / 2**32
        wait = phase * min(spread_seconds, 2 * interval_seconds)
        first = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=wait)
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=interval_seconds, start_date=first, timezone=dt.UTC),
            id=name,
            next_run_time=first,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=max(1, int(interval_seconds)),
        )

    def remove(self, name: str) -> None:
        """Tick no more for a target."""
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)
