"""Measures the exposition of metrics beside prometheus_client, in one run on one machine.

    .venv/bin/python tests/bench/bench_exposition.py [SERIES]

CPU time of the process, best of several runs. Each shape runs in a process of its own, so that its
peak memory is its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import random
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rich.console import Console
from rich.table import Table

from collectors.model import Frame, Kind, MetricDef, Observation, ProbeInfo, Target, Up
from daemon.http.exposition import families_of, render
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot

METRICS = 20
SERIES = 100_000
RUNS = 5
INFO = ProbeInfo(name="tables", every_seconds=10, within_seconds=2)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def timed(work: Callable[[], Any]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def data(series: int, *, whole: bool) -> tuple[list[tuple[str, str, str]], list[list[float]]]:
    rows = series // METRICS
    keys = [(f"db{i % 7:02d}", "public", f"table_{i:05d}") for i in range(rows)]
    rng = random.Random(1)
    draw = (lambda: rng.randrange(10**9)) if whole else (lambda: rng.random() * 1e6)
    return keys, [[draw() for _ in range(rows)] for _ in range(METRICS)]


def changed(columns: list[list[float]], share: float) -> list[list[float]]:
    """Return the values with some rows, spread evenly at random, one higher."""
    rng = random.Random(2)
    rows = len(columns[0])
    fresh = [list(column) for column in columns]
    for row in rng.sample(range(rows), int(rows * share)):
        for column in fresh:
            column[row] += 1
    return fresh


class Ours:
    """One target with all the series in one probe."""

    def __init__(self, series: int, *, whole: bool) -> None:
        self.metrics = tuple(
            MetricDef(name=f"pg_m{i}", kind=Kind.GAUGE, help="help", labels=("db", "schema", "rel"))
            for i in range(METRICS)
        )
        self.keys, self.columns = data(series, whole=whole)
        self.loop = asyncio.new_event_loop()
        self.renew()

    def renew(self) -> None:
        self.snapshot = Snapshot({})
        self.snapshot.add_target(Target(name="db1", engine="postgresql", series_max=10**7))
        self.record(self.columns)

    def record(self, columns: list[list[float]]) -> None:
        frame = Frame(self.metrics, list(self.keys), columns)
        self.snapshot.record("db1", Observation(probe="tables", at=1, took_seconds=0, frames=(frame,)), INFO)

    def page(self) -> bytes:
        return self.loop.run_until_complete(self._page())

    async def _page(self) -> bytes:
        self.snapshot.scraped(["db1"])
        return b"".join([piece async for piece in render(families_of(self.snapshot.states().values()))])


def ours(series: int, whole: bool) -> dict[str, float]:
    before = resident_mb()
    it = Ours(series, whole=whole)
    cold = []
    for _ in range(RUNS):
        it.renew()
        cold.append(timed(it.page))
    result = {"cold": min(cold), "warm": min(timed(it.page) for _ in range(RUNS))}
    for name, share in (("1%", 0.01), ("10%", 0.1), ("all", 1.0)):
        runs = []
        columns = it.columns
        for _ in range(RUNS):
            columns = changed(columns, share)
            began = timed(lambda columns=columns: it.record(columns))
            runs.append((began + timed(it.page), began))
        result[name], result[f"{name} record"] = min(runs)
    body = it.page()
    result["gzip"] = min(timed(lambda: zlib.compress(body, 1)) for _ in range(3))
    result["MB"] = len(body) / 1e6
    result["zipped MB"] = len(zlib.compress(body, 1)) / 1e6
    result["resident MB"] = resident_mb() - before
    result["peak MB"] = peak_mb()
    return result


def theirs(series: int, whole: bool) -> dict[str, float]:
    before = resident_mb()
    keys, columns = data(series, whole=whole)
    registry = CollectorRegistry()
    gauges = [Gauge(f"pg_m{i}", "help", ["db", "schema", "rel"], registry=registry) for i in range(METRICS)]

    def put(columns: list[list[float]]) -> None:
        for gauge, column in zip(gauges, columns, strict=True):
            for key, value in zip(keys, column, strict=True):
                gauge.labels(*key).set(value)

    first = timed(lambda: put(columns)) + timed(lambda: generate_latest(registry))
    warm = min(timed(lambda: generate_latest(registry)) for _ in range(3))
    again = timed(lambda: put(columns)) + timed(lambda: generate_latest(registry))
    body = generate_latest(registry)
    return {
        "cold": first, "warm": warm, "1%": again, "10%": again, "all": again,
        "MB": len(body) / 1e6, "resident MB": resident_mb() - before, "peak MB": peak_mb(),
    }  # fmt: skip


def many(targets: int, series: int) -> dict[str, float]:
    """Hold many small targets: 25 probes each, a third of the series in frames of a single row."""
    from tests.bench.small_targets import frames_of

    snapshot = Snapshot({})
    before = resident_mb()
    loop = asyncio.new_event_loop()
    own = SelfMetrics("bench")

    def fill(step: int) -> None:
        for number in range(targets):
            name = f"target{number:03d}"
            snapshot.record_up(name, Up(up=True, at=step))
            for probe, frame in frames_of(series, number, step):
                info = ProbeInfo(name=probe, every_seconds=10, within_seconds=2)
                snapshot.record(
                    name, Observation(probe=probe, at=step, took_seconds=0.01, frames=(frame,)), info
                )

    async def scrape() -> int:
        await own.refresh(snapshot)
        snapshot.scraped(list(snapshot.states()))
        families = families_of(snapshot.states().values(), (), own.process_lines())
        return sum([len(piece) async for piece in render(families)])

    for number in range(targets):
        snapshot.add_target(Target(name=f"target{number:03d}", engine="x"))
    fill(1)
    held = resident_mb() - before
    size = loop.run_until_complete(scrape())
    for step in (2, 3):
        fill(step)
        loop.run_until_complete(scrape())
    result = {
        "series": sum(state.series for state in snapshot.states().values()),
        "unscraped MB": held,
        "resident MB": resident_mb() - before,
        "MB": size / 1e6,
        "record": timed(lambda: fill(4)),
        "changed": timed(lambda: loop.run_until_complete(scrape())),
        "warm": timed(lambda: loop.run_until_complete(scrape())),
    }
    result["bytes each"] = result["resident MB"] * 1e6 / result["series"]
    return result


def apart(work: Callable[..., dict[str, float]], *args: Any) -> dict[str, float]:
    """Run in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, args)


def main() -> None:
    series = int(sys.argv[1]) if len(sys.argv) > 1 else SERIES
    columns = {
        "ours, real numbers": apart(ours, series, False),
        "ours, whole numbers": apart(ours, series, True),
        "prometheus_client": apart(theirs, series, False),
    }
    table = Table(title=f"{series:,} series, one target, CPU ms (memory MB)")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    seconds = ("cold", "warm", "1%", "1% record", "10%", "10% record", "all", "all record", "gzip")
    for name in (*seconds, "MB", "zipped MB", "resident MB", "peak MB"):
        shown = [column.get(name) for column in columns.values()]
        scale = 1000 if name in seconds else 1
        table.add_row(name, *("" if value is None else f"{value * scale:.1f}" for value in shown))
    Console().print(table)
    found = apart(many, 500, 1000)
    print("500 targets x 1,000 series:", json.dumps({key: round(value, 3) for key, value in found.items()}))


if __name__ == "__main__":
    main()
