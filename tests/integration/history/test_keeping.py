"""The history as the daemon runs it: on the event loop, with its work in a thread."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from daemon.history.keeping import History
from daemon.history.options import HistoryOptions
from daemon.history.store import GRACE_MS, Store
from daemon.history.wanted import EVERYTHING
from tests.fixtures.histories import (
    SLOT_MS,
    START_MS,
    every_ten_seconds,
    expected,
    found,
    sheet_of,
    some_series,
)
from tests.fixtures.waiting import until

FAR_MS = 2**52


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_it_writes_and_packs_by_itself_and_ends_with_everything_durable(tmp_path: Path) -> None:
    now = START_MS + 10_000 * 700
    history = History(Store(tmp_path, HistoryOptions(flush_seconds=0.05)), clock_ms=lambda: now)
    running = asyncio.get_running_loop().create_task(history.run())
    sheet = sheet_of(some_series(20), every_ten_seconds(700))
    history.append(*sheet)
    await until(lambda: history.store.counts.samples == 14_000)
    assert history.store.reader.oldest_raw_ms() is None
    now = START_MS + SLOT_MS + GRACE_MS + 1
    await until(lambda: history.store.reader.oldest_raw_ms() == START_MS)
    assert found(await history.read(EVERYTHING, 0, FAR_MS)) == expected([sheet])
    assert len(await history.read_rollup(EVERYTHING, 0, FAR_MS)) == 20
    assert await history.series(EVERYTHING, 0, FAR_MS) == sorted(sheet.series)
    await ended(running)
    late = sheet_of(some_series(20), every_ten_seconds(3, now))
    history.append(*late)
    assert await history.close()
    store = Store(tmp_path)
    assert found(store.reader.read(EVERYTHING, 0, FAR_MS)) == expected([sheet, late])
    store.close()


async def test_the_loop_stays_free_while_much_is_written_and_packed(tmp_path: Path) -> None:
    history = History(
        Store(tmp_path, HistoryOptions(flush_seconds=0.05)),
        clock_ms=lambda: START_MS + SLOT_MS + GRACE_MS + 1,
    )
    series = [some_series(100, target=f"t{number}") for number in range(30)]
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 1000, (360, 100)).cumsum(axis=0).astype(float)
    for each in series:
        history.append(each, every_ten_seconds(360), rows)
    running = asyncio.get_running_loop().create_task(history.run())
    latest = 0.0
    while not history.store.reader.oldest_raw_ms() or history.store._fresh.due():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        latest = max(latest, time.monotonic() - began - 0.005)
    assert history.store.counts.samples == 30 * 100 * 360
    assert latest < 0.25
    await ended(running)
    assert await history.close()


async def test_a_round_that_fails_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(Store(tmp_path, HistoryOptions(flush_seconds=0.02)), clock_ms=lambda: START_MS)
    monkeypatch.setattr(history.store, "trim", lambda _now: 1 / 0)
    monkeypatch.setattr("daemon.history.keeping._TRIM_SECONDS", 0.0)
    running = asyncio.get_running_loop().create_task(history.run())
    for number in range(3):
        history.append(*sheet_of(some_series(2), every_ten_seconds(1, START_MS - 100_000 + 10_000 * number)))
        await until(lambda count=number: history.store.counts.samples == 2 * (count + 1))
    await ended(running)
    await history.close()
