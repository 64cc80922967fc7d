"""Keeps the local history from the event loop: writes, packs and forgets in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from daemon.history.planes import Ints
from daemon.history.rollup import Column
from daemon.history.sheets import Samples
from daemon.history.store import Store
from daemon.history.wanted import Query
from rules.labels import Labels
from rules.promql.values import Floats

log = structlog.get_logger()
_T = TypeVar("_T")
_TRIM_SECONDS = 300.0


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class History:
    """The store, for coroutines. `run` does the keeping; reading works without it."""

    def __init__(self, store: Store, clock_ms: Callable[[], int] = _wall_ms) -> None:
        self.store = store
        self._clock_ms = clock_ms
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._trimmed = -_TRIM_SECONDS

    def append(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        """Take samples, as `Store.append` does: the arrays and `series` are kept, and may not change."""
        self.store.append(series, times, values)

    async def run(self) -> None:
        """Write every `flush_seconds`, pack what is over and forget what is old, until cancelled."""
        while True:
            await asyncio.sleep(self.store.options.flush_seconds)
            try:
                await self._keep()
            except Exception:
                # One round that fails for a reason nobody foresaw must not end the daemon, or the history.
                log.exception("history.round_failed")

    async def read(
        self, query: Query, start_ms: int, end_ms: int, *, column: Column = Column.LAST
    ) -> list[Samples]:
        """Return what `Reader.read` gives: all of it in memory, so ask for what fits."""
        reader = self.store.reader
        return await asyncio.to_thread(lambda: list(reader.read(query, start_ms, end_ms, column=column)))

    async def read_rollup(
        self, query: Query, start_ms: int, end_ms: int, *, column: Column = Column.MEAN
    ) -> list[Samples]:
        """Return what `Reader.read_rollup` gives."""
        reader = self.store.reader
        return await asyncio.to_thread(
            lambda: list(reader.read_rollup(query, start_ms, end_ms, column=column))
        )

    async def series(self, query: Query, start_ms: int, end_ms: int) -> list[Labels]:
        """Return what `Reader.series` gives."""
        return await asyncio.to_thread(self.store.reader.series, query, start_ms, end_ms)

    async def flush(self) -> bool:
        """Make everything durable now; return whether it is."""
        return await self._in_thread(self.store.flush)

    async def close(self, deadline_seconds: float = 10.0) -> bool:
        """Make everything durable and let the files go; return whether that was done within the deadline."""
        done = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                done = await self._in_thread(self.store.close)
        self._thread.shutdown(wait=False)
        if not done:
            log.error("history.closed_unsaved", unsaved_bytes=self.store.unsaved_bytes)
        return done

    async def _keep(self) -> None:
        await self._in_thread(self.store.flush)
        flushed = began = time.monotonic()
        while await self._in_thread(self.store.seal_step, self._clock_ms()):
            # As long a rest as the work took: others have the processor half of the time.
            await asyncio.sleep(time.monotonic() - began)
            began = time.monotonic()
            if began - flushed >= self.store.options.flush_seconds:
                await self._in_thread(self.store.flush)
                flushed = began
        if began - self._trimmed >= _TRIM_SECONDS:
            self._trimmed = began
            await self._in_thread(self.store.trim, self._clock_ms())

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
