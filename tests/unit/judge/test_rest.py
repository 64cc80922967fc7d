"""The judge does nothing while there is nothing to judge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from daemon.config.judging import HistorySettings
from daemon.judge.bench import Bench, BenchOptions
from daemon.judge.feed import Notes, Reader
from daemon.judge.judge import Judge
from daemon.judge.keepers import Keepers
from daemon.judge.saved import SavedAlerts
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from rules.load import load

RULES = """
groups:
  - name: g
    interval: 1s
    rules: [{alert: Down, expr: up == 0}]
"""


class CountingReader(Reader):
    looks = 0

    def look(self, now_ms: int) -> Notes:
        self.looks += 1
        return super().look(now_ms)


@contextlib.asynccontextmanager
async def judging(tmp_path: Path) -> AsyncIterator[tuple[Judge, CountingReader]]:
    snapshot = Snapshot({})
    reader = CountingReader(snapshot, {})
    keepers = Keepers(HistorySettings(enabled=False), tmp_path)
    bench = Bench([], BenchOptions())
    judge = Judge(bench, snapshot, SelfMetrics("1"), reader, SavedAlerts(tmp_path), keepers)
    task = asyncio.create_task(judge.run())
    try:
        await asyncio.sleep(0.3)
        yield judge, reader
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_without_rules_it_looks_once_and_rests(tmp_path: Path) -> None:
    async with judging(tmp_path) as (judge, reader):
        assert reader.looks == 1
        assert judge.judged.at > 0


async def test_rules_that_come_with_a_reload_are_judged_at_once_and_then_at_their_interval(
    tmp_path: Path,
) -> None:
    async with judging(tmp_path) as (judge, reader):
        await judge.become(Bench(load({"r.yaml": RULES}), BenchOptions()))
        await asyncio.sleep(0.5)
        assert list(judge.judged.verdicts) == [("r.yaml", "g")]
        assert reader.looks == 2
        await judge.become(Bench([], BenchOptions()))
        await asyncio.sleep(1.5)
        assert judge.judged.verdicts == {}
        assert reader.looks == 3
