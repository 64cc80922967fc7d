"""When groups are evaluated, what is told, and what is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from collectors.model import Frame, Target
from daemon.config.judging import HistorySettings
from daemon.history.options import HistoryOptions
from daemon.history.store import Store
from daemon.judge.bench import Bench, BenchOptions
from daemon.judge.feed import Reader
from daemon.judge.judge import Judge, Judged, Pace
from daemon.judge.keepers import Keepers
from daemon.judge.saved import FILE, SavedAlerts
from daemon.selfmetrics import SelfMetrics
from rules.labels import labels_of
from rules.load import load
from tests.fixtures.waiting import until
from tests.unit.snapshot.making import answers, give, metric, probe, snapshot_of

N = metric("pg_n", "relname")
RULES = """
groups:
  - name: quick
    rules: [{alert: TooMany, expr: pg_n > 5}]
  - name: slow
    interval: 1m
    rules: [{record: slow:n, expr: sum(pg_n)}]
"""
T0 = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


class Bar:
    """A judge with a clock of its own."""

    def __init__(self, state_dir: Path, text: str = RULES) -> None:
        state_dir.mkdir(exist_ok=True)
        self.clock = Clock()
        self.snapshot = snapshot_of(Target(name="db1", engine="postgresql"))
        self.keepers = Keepers(HistorySettings(), state_dir)
        self.saved = SavedAlerts(state_dir)
        self.judge = Judge(
            bench_of(text), self.snapshot, SelfMetrics("test"),
            Reader(self.snapshot, self.snapshot.engines), self.saved, self.keepers, self.clock,
        )  # fmt: skip
        self.told: list[Judged] = []
        self.judge.tell = self.told.append
        answers(self.snapshot, at=T0)

    async def step(self, seconds: float, value: float = 6) -> Judged:
        self.clock.now += seconds
        give(self.snapshot, Frame((N,), [("a",)], [[value]]), at=self.clock.now, info=probe("p"))
        await self.judge.cycle(self.clock.now)
        return self.judge.judged

    def evaluated(self) -> dict[str, float]:
        return {name: verdict.at - T0 for (_, name), verdict in self.judge.judged.verdicts.items()}


def bench_of(text: str = RULES) -> Bench:
    return Bench(load({"rules.yaml": text}), BenchOptions(interval_seconds=10))


@pytest.fixture
async def bar(tmp_path: Path) -> Bar:
    return Bar(tmp_path / "state")


async def test_each_group_is_evaluated_at_its_own_interval(bar: Bar) -> None:
    await bar.step(0)
    assert bar.evaluated() == {"quick": 0, "slow": 0}
    for _ in range(3):
        await bar.step(10)
    assert bar.evaluated() == {"quick": 30, "slow": 0}
    for _ in range(3):
        await bar.step(10)
    assert bar.evaluated() == {"quick": 60, "slow": 60}


async def test_evaluations_that_should_have_been_are_counted(bar: Bar) -> None:
    await bar.step(0)
    await bar.step(45)
    missed = {name: count for (_, name), count in bar.judge.missed().items()}
    assert missed == {"quick": 3, "slow": 0}
    await bar.step(5)
    assert bar.evaluated()["quick"] == 50


async def test_a_clock_that_is_set_back_stops_nothing(bar: Bar) -> None:
    await bar.step(0)
    await bar.step(10)
    await bar.step(-86_400)
    assert bar.evaluated()["quick"] == 10 - 86_400
    judged = await bar.step(10, value=7)
    [alert] = [a for v in judged.verdicts.values() for rule in v.result.rules for a in rule.alerts]
    assert (alert.state, alert.value) == ("firing", 7)
    assert alert.active_at_ms <= round(bar.clock.now * 1000)


def test_a_pace_keeps_its_beat_when_it_is_a_little_late() -> None:
    pace = Pace(10, 100)
    pace.next(103)
    assert (pace.due_at, pace.missed) == (110, 0)
    pace.next(135)
    assert (pace.due_at, pace.missed) == (140, 2)


async def test_everyone_is_told_the_whole_state_each_time(bar: Bar) -> None:
    await bar.step(0)
    await bar.step(10)
    assert [set(judged.verdicts) for judged in bar.told] == [
        {("rules.yaml", "quick"), ("rules.yaml", "slow")}
    ] * 2


async def test_a_reload_in_the_middle_of_an_evaluation_waits_for_it(bar: Bar) -> None:
    await bar.step(0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bar.step(10))
        tasks.create_task(bar.judge.become(bench_of("groups: [{name: other, rules: []}]\n")))
    await bar.step(10)
    assert set(bar.judge.judged.verdicts) == {("rules.yaml", "other")}


async def test_what_the_window_takes_is_handed_to_the_history(bar: Bar) -> None:
    async with asyncio.TaskGroup() as tasks:
        await bar.keepers.open(tasks)
        await bar.step(0)
        await bar.step(10, value=7)
        await bar.keepers.close()
    store = Store(bar.saved.path.parent, HistoryOptions())
    [found] = store.reader.read((labels_of(_labels(bar)),), 0, round(bar.clock.now * 1000))
    store.close()
    assert list(found.values) == [6.0, 7.0]
    assert list(found.times) == [round(T0 * 1000), round((T0 + 10) * 1000)]


def _labels(bar: Bar) -> dict[str, str]:
    [labels] = [each for each in bar.judge._bench.window.series() if each.name == "pg_n"]
    return labels.as_dict()


async def test_ranges_go_on_after_a_restart(bar: Bar, tmp_path: Path) -> None:
    text = "groups: [{name: g, rules: [{alert: Sum, expr: 'sum_over_time(pg_n[5m]) > 17'}]}]\n"
    await bar.judge.become(bench_of(text))
    async with asyncio.TaskGroup() as tasks:
        await bar.keepers.open(tasks)
        await bar.step(0)
        await bar.step(10)
        await bar.keepers.close()
    again = Bar(tmp_path / "state", text)
    again.clock.now = bar.clock.now + 20
    async with asyncio.TaskGroup() as tasks:
        await again.keepers.open(tasks)
        await again.judge._resume(round(again.clock.now * 1000))
        judged = await again.step(5)
        await again.keepers.close()
    [alert] = [a for v in judged.verdicts.values() for rule in v.result.rules for a in rule.alerts]
    assert alert.value == 18  # two samples of before and the one since


async def test_without_a_file_of_alerts_for_goes_on_by_the_history(bar: Bar, tmp_path: Path) -> None:
    text = "groups: [{name: g, rules: [{alert: Long, expr: pg_n > 5, for: 20m}]}]\n"
    await bar.judge.become(bench_of(text))
    async with asyncio.TaskGroup() as tasks:
        await bar.keepers.open(tasks)
        for _ in range(60):
            await bar.step(15)  # 15 of 20 minutes
        await bar.keepers.close()
    bar.saved.path.unlink()
    again = Bar(tmp_path / "state", text)
    again.clock.now = bar.clock.now + 60
    async with asyncio.TaskGroup() as tasks:
        await again.keepers.open(tasks)
        await again.judge._resume(round(again.clock.now * 1000))
        for _ in range(42):
            judged = await again.step(15)
        await again.keepers.close()
    [alert] = [a for v in judged.verdicts.values() for rule in v.result.rules for a in rule.alerts]
    # It waits for ten more minutes at least, and not for twenty.
    assert alert.state == "firing"


async def test_a_history_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    bar = Bar(tmp_path / "state")
    (tmp_path / "state" / "history").write_text("a file where the folder should be")
    async with asyncio.TaskGroup() as tasks:
        await bar.keepers.open(tasks)
        await bar.step(0)
        await bar.keepers.close()
    assert [verdict.result.failures for verdict in bar.judge.judged.verdicts.values()] == [(), ()]
    families = {family.name: family for family in bar.keepers.collect()}
    assert families["dbarchitect_history_failing"].samples[0].value == 1


async def test_a_damaged_file_of_alerts_is_set_aside(bar: Bar) -> None:
    (bar.saved.path.parent / FILE).write_text('{"saved_ms": ')
    await bar.judge._resume(round(T0 * 1000))
    judged = await bar.step(0)
    assert judged.verdicts
    assert (bar.saved.path.parent / "alerts.damaged").exists()
    assert bar.saved.path.exists()


async def test_a_file_of_alerts_that_cannot_be_written_is_tried_again(bar: Bar) -> None:
    bar.saved.path.mkdir()
    await bar.step(0)
    assert bar.saved.failures == 1
    bar.saved.path.rmdir()
    await bar.step(10)
    assert bar.saved.path.is_file()


async def test_samples_that_are_no_numbers_reach_nobody_as_numbers(bar: Bar) -> None:
    await bar.step(0, value=float("nan"))
    judged = await bar.step(10, value=float("inf"))
    values = [a.value for v in judged.verdicts.values() for rule in v.result.rules for a in rule.alerts]
    assert values == [np.inf]


async def test_a_defect_in_one_cycle_ends_neither_the_judge_nor_the_daemon(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.judge.judge.BROKEN_SECONDS", 0.01)
    good = bar.judge._bench.judge

    def broken(*_: object) -> object:
        raise RuntimeError("a defect")

    monkeypatch.setattr(bar.judge._bench, "judge", broken)
    running = asyncio.create_task(bar.judge.run())
    await until(lambda: bar.judge.judged.broken >= 2)
    assert bar.judge.trouble.startswith("rules: ")
    monkeypatch.setattr(bar.judge._bench, "judge", good)
    await until(lambda: bar.judge.judged.verdicts)
    assert bar.judge.trouble == ""
    assert bar.judge.judged.broken >= 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
