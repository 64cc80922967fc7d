"""What judging costs the daemon: feeding the window, evaluating everything, memory, the event loop's lag."""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from collectors.registry import engines
from daemon.catalogue import catalogue
from daemon.config.rule_files import _packs, packs
from daemon.judge.bench import Bench, BenchOptions, Verdict
from daemon.judge.feed import Notes, Reader
from rules.model import AlertState
from tests.bench.rules_capture import Seen
from tests.bench.rules_fleet import STEP_SECONDS, Copies

CHURN = 0.01
WARM = 5
SLOWEST = 5
CYCLES = 10
_TICK_SECONDS = 0.001
T = TypeVar("T")


@dataclass(slots=True)
class Judging:
    """CPU in seconds, of one core; memory in MB."""

    targets: int = 0
    rules: int = 0
    series: int = 0
    samples: int = 0
    alerts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    look_cpu: float = 0.0
    """Of the event loop, each step."""
    write_cpu: float = 0.0
    first_write_cpu: float = 0.0
    trim_cpu: float = 0.0
    first_cpu: float = 0.0
    warm_cpu: list[float] = field(default_factory=list)
    churn_cpu: list[float] = field(default_factory=list)
    churn_write_cpu: list[float] = field(default_factory=list)
    export_cpu: float = 0.0
    named_mb: float = 0.0
    """Added by the first samples: the series' names, and room for some samples."""
    filled_mb: float = 0.0
    """Added once the window holds what it keeps."""
    judged_mb: float = 0.0
    """Added after evaluations, with all that they remember of labels."""
    numbers_mb: float = 0.0
    """Of these: times and values."""
    lag_ms: float = 0.0
    churn_lag_ms: float = 0.0
    quiet_lag_ms: float = 0.0
    slowest: list[tuple[str, float]] = field(default_factory=list)


class Daemon:
    """Snapshot, feed and bench as the daemon has them, with a clock that the benchmark moves."""

    def __init__(self, seen: Mapping[str, Seen], targets: int, series: int, steps: int) -> None:
        _calm_collector()
        self.groups = _packs(tuple(packs()))
        options = BenchOptions(
            own_labels={"job": "dbarchitect", "instance": "127.0.0.1:8720"},
            catalogue=catalogue(engines().values(), custom=()),
        )
        self.bench = Bench(self.groups, options)
        # What is judged last is of now: Prometheus takes nothing from the future.
        began = time.time() // STEP_SECONDS * STEP_SECONDS - (steps + 60) * STEP_SECONDS
        self.copies = Copies(seen, targets, series, self.bench.window.wants, began)
        self.reader = Reader(self.copies.snapshot, engines())
        self._sight = Notes().sight

    @property
    def now_ms(self) -> int:
        return round(self.copies.now * 1000)

    def look(self) -> Notes:
        notes = self.reader.look(self.now_ms)
        self._sight = notes.sight
        return notes

    def feed(self, notes: Notes, *, trim: bool = False) -> None:
        """Write what was noted; nothing is evaluated, and no history kept."""
        self.bench.judge(notes, (), trim)
        self.bench.handed_on()

    def judge(self) -> list[Verdict]:
        """Evaluate all groups."""
        verdicts = self.bench.judge(
            Notes(at_ms=self.now_ms, sight=self._sight), list(self.bench.intervals()), False
        )
        self.bench.handed_on()
        return verdicts


def measure(daemon: Daemon, steps: int, say: Callable[[str], None]) -> Judging:
    """Fill the window, then evaluate everything: at first, again and again, and while tables come and go."""
    found = Judging(targets=daemon.copies.targets, rules=sum(len(group.rules) for group in daemon.groups))
    daemon.copies.step()
    before = _resident_mb()
    notes = daemon.look()
    found.first_write_cpu, _ = _cpu(lambda: daemon.feed(notes))
    found.named_mb = _resident_mb() - before
    _fill(daemon, steps, found, say)
    found.filled_mb = _resident_mb() - before
    say("evaluating everything ...")
    _evaluate(daemon, found)
    found.judged_mb = _resident_mb() - before
    found.numbers_mb = daemon.bench.window.bytes / 1e6
    found.series, found.samples = sum(1 for _ in daemon.bench.window.series()), daemon.bench.window.written
    found.export_cpu, _ = _cpu(daemon.bench.export)
    found.quiet_lag_ms = max(asyncio.run(_lag(lambda: time.sleep(0.3))) for _ in range(3))
    found.lag_ms = max(_cycle_lag(daemon) for _ in range(CYCLES))
    return found


def churn(daemon: Daemon, found: Judging, minutes: int) -> None:
    """Let some tables be replaced by others every minute, and evaluate everything after that."""
    daemon.copies.churn = CHURN
    for _ in range(minutes):
        for number in range(6):
            daemon.copies.step()
            notes = daemon.look()
            took, _ = _cpu(lambda notes=notes, number=number: daemon.feed(notes, trim=number == 0))  # type: ignore[misc]
            found.churn_write_cpu.append(took)
        found.churn_cpu.append(_cpu(daemon.judge)[0])
    for _ in range(CYCLES):
        found.churn_lag_ms = max(found.churn_lag_ms, _cycle_lag(daemon))
    daemon.copies.churn = 0.0


def _fill(daemon: Daemon, steps: int, found: Judging, say: Callable[[str], None]) -> None:
    looks, writes, trims = [], [], []
    for number in range(1, steps):
        if number % 60 == 0:
            say(f"window: {number * STEP_SECONDS // 60} minutes of {steps * STEP_SECONDS // 60}")
        daemon.copies.step()
        took, notes = _cpu(daemon.look)
        looks.append(took)
        trim = number % 6 == 0
        took, _ = _cpu(lambda notes=notes, trim=trim: daemon.feed(notes, trim=trim))  # type: ignore[misc]
        (trims if trim else writes).append(took)
    found.look_cpu, found.write_cpu = statistics.fmean(looks), statistics.fmean(writes)
    found.trim_cpu = max(0.0, statistics.fmean(trims) - found.write_cpu)


def _cycle_lag(daemon: Daemon) -> float:
    """Return how long a loop waited while the judge's thread did all that can be due at a time."""
    daemon.copies.step()
    notes = daemon.look()

    def cycle() -> None:
        daemon.feed(notes, trim=True)
        daemon.judge()
        daemon.bench.export()

    return asyncio.run(_lag(cycle))


def _evaluate(daemon: Daemon, found: Judging) -> None:
    found.first_cpu, verdicts = _cpu(daemon.judge)
    for number in range(WARM + 2):
        daemon.copies.step()
        daemon.feed(daemon.look())
        took, verdicts = _cpu(daemon.judge)
        if number > 1:  # rules that look at what others record find that only now
            found.warm_cpu.append(took)
    results = [(verdict.result.group.name, rule) for verdict in verdicts for rule in verdict.result.rules]
    alive = [alert for _, rule in results for alert in rule.alerts if alert.state is not AlertState.INACTIVE]
    found.alerts = dict(Counter(alert.labels.get("alertname") for alert in alive).most_common())
    found.failures = [f"{group}/{rule.rule.name}: {rule.failure}" for group, rule in results if rule.failure]
    ranked = sorted(results, key=lambda one: -one[1].seconds)
    found.slowest = [(f"{group}/{rule.rule.name}", rule.seconds) for group, rule in ranked[:SLOWEST]]


async def _lag(work: Callable[[], object]) -> float:
    """Return the longest, in milliseconds, that a loop was kept from running while a thread works."""
    loop, worst = asyncio.get_running_loop(), 0.0
    with ThreadPoolExecutor(1) as threads:
        working = loop.run_in_executor(threads, work)
        while not working.done():
            before = time.perf_counter()
            await asyncio.sleep(_TICK_SECONDS)
            worst = max(worst, time.perf_counter() - before - _TICK_SECONDS)
        await working
    return worst * 1000


def _cpu(work: Callable[[], T]) -> tuple[float, T]:
    before = time.process_time()
    done = work()
    return time.process_time() - before, done


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _calm_collector() -> None:
    """Look for cycles as seldom as the daemon does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
