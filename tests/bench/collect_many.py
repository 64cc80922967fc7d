"""One daemon on one core with 500 targets at 10 seconds: its share of the core, delay of the data, memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import statistics
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from daemon import fleet
from tests.bench.collect_process import Scraped, cores
from tests.bench.collect_watchers import start_ours, target
from tests.bench.collect_workload import debian15

INTERVAL_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "700",
    "shared_preload_libraries": "pg_stat_statements",
}
_BUSY = re.compile(rb'^dbarchitect_probe_skipped_total\{.*reason="busy".*\} (\d+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Many:
    """One run of the daemon."""

    uvloop: bool
    targets: int
    up: int
    series: int
    bytes: int
    core_share: float
    """Of the core, with a scrape of all targets in each interval."""
    core_share_unscraped: float
    scrape_seconds: float
    delay_p50_seconds: float
    delay_p99_seconds: float
    """From the moment a target's cycle was due to the end of its last probe of that cycle."""
    late_p99_seconds: float
    """From that moment to the start of the first one."""
    skipped: int
    rss_mb: float
    ready_seconds: float
    start_cpu_ms: float
    """CPU of the daemon for each target from its start until it has settled: until all probes ran once."""
    sessions: int
    server_cpu_share: float


async def measure_many(
    place: Place,
    room: Path,
    targets: int,
    window_seconds: float,
    loops: tuple[bool, ...],
    servers: int,
    cycles: int,
) -> list[Many]:
    """Measure with uvloop and without, one after the other; the targets are dealt out to a few servers.

    With all of them on one server each look would find hundreds of sessions that are nothing but ours.
    """
    ours, theirs = _shared_out(cores())
    async with contextlib.AsyncExitStack() as stack:
        running = []
        for number in range(servers):
            server = ScratchPostgres(
                await debian15(), place=place, name=f"many{number}", settings=_SETTINGS, deadline=120.0
            )
            running.append(await stack.enter_async_context(server))
            await server.psql(
                "CREATE EXTENSION pg_stat_statements; CREATE ROLE watcher LOGIN PASSWORD 'w' IN ROLE pg_monitor"
            )
            os.sched_setaffinity(server.pid, theirs)
        return [
            await _measure(running, room, targets, window_seconds, uvloop, ours, cycles) for uvloop in loops
        ]


def _shared_out(available: list[int]) -> tuple[int, set[int]]:
    """Return the daemon's core, and those of the server: others where there are any."""
    return available[-1], set(available[:-1]) or set(available)


async def _measure(
    servers: list[ScratchPostgres],
    room: Path,
    number: int,
    window_seconds: float,
    uvloop: bool,
    cpu: int,
    cycles: int,
) -> Many:
    targets = [
        target(
            servers[one % len(servers)],
            f"t{one:04d}",
            ("watcher", "w"),
            dbname="postgres",
            interval=f"{INTERVAL_SECONDS:g}s",
        )
        for one in range(number)
    ]
    name = "many" if uvloop else "many_asyncio"
    one = start_ours(room, name, targets, cpu=cpu, uvloop=uvloop)
    try:
        ready = await _ready(one)
        # First it connects, learns, and runs the slow probes of all targets; what that takes is in `start_cpu_ms`.
        await asyncio.sleep(fleet.SETTLE_SECONDS * number + cycles * INTERVAL_SECONDS)
        start_cpu_ms = one.cpu / number * 1000
        await one.scrape()
        quiet = await _quiet(one, window_seconds / 2)
        scraped, took, page, server_share = await _with_scrapes(
            one, [server.pid for server in servers], window_seconds / 2
        )
        sessions = sum([await _sessions(server) for server in servers])
        rss = one.rss_mb
        answers = [await _targets(one)]
        for _ in range(cycles):
            await asyncio.sleep(INTERVAL_SECONDS)
            answers.append(await _targets(one))
        delays, late = _delays(answers)
        return Many(
            uvloop=uvloop, targets=number, up=sum(bool(each["up"]) for each in answers[-1]),
            series=page.series, bytes=len(page.body), core_share=scraped, core_share_unscraped=quiet,
            scrape_seconds=took, delay_p50_seconds=statistics.median(delays), delay_p99_seconds=_p99(delays),
            late_p99_seconds=_p99(late), skipped=sum(map(int, _BUSY.findall(page.body))), rss_mb=rss,
            ready_seconds=ready, start_cpu_ms=start_cpu_ms, sessions=sessions, server_cpu_share=server_share,
        )  # fmt: skip
    finally:
        one.stop()


async def _sessions(server: ScratchPostgres) -> int:
    return int(await server.psql("select count(*) from pg_stat_activity where usename = 'watcher'"))


async def _ready(one: Scraped) -> float:
    """Return the seconds from the start until every target was asked; infinite when that does not come."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + _PATIENCE_SECONDS:
        with contextlib.suppress(OSError, RuntimeError):
            await one.scrape("/readyz")
            return loop.time() - began
        await asyncio.sleep(0.2)
    return float("inf")


async def _quiet(one: Scraped, seconds: float) -> float:
    before, began = one.cpu, asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    return (one.cpu - before) / (asyncio.get_running_loop().time() - began)


async def _with_scrapes(
    one: Scraped, postmasters: list[int], seconds: float
) -> tuple[float, float, Any, float]:
    """Return shares of a core with a scrape in each interval, the median scrape, the last page."""
    loop = asyncio.get_running_loop()
    before, before_server, began = one.cpu, sum(map(_tree_ticks, postmasters)), loop.time()
    pages = []
    for number in range(max(1, round(seconds / INTERVAL_SECONDS))):
        if loop.time() - began > seconds:
            break  # on a machine that is short of time a scrape may take longer than its interval
        pages.append(await one.scrape())
        await asyncio.sleep(max(0.0, began + (number + 1) * INTERVAL_SECONDS - loop.time()))
    past = loop.time() - began
    server = (sum(map(_tree_ticks, postmasters)) - before_server) / os.sysconf("SC_CLK_TCK") / past
    took = statistics.median(page.took_seconds for page in pages)
    return (one.cpu - before) / past, took, pages[-1], server


def _tree_ticks(postmaster: int) -> int:
    """Return the CPU ticks of all of a server's processes: living and ended children."""
    total = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(entry.name) == postmaster:
                total += sum(map(int, words[11:15]))
            elif int(words[1]) == postmaster:
                total += sum(map(int, words[11:13]))
    return total


async def _targets(one: Scraped) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await one.scrape("/api/v1/targets")).body)["targets"]
    return found


def _delays(answers: list[list[dict[str, Any]]]) -> tuple[list[float], list[float]]:
    """Return for each target and answer how late its last cycle ended, and how late it began.

    The daemon gives each target a phase that follows from its name; the moment that all phases start
    from is taken as the earliest that any cycle fits to.
    """
    cycles = [
        (begin - _phase(target["name"], len(targets)), end - begin)
        for targets in answers
        for target in targets
        for begin, end in _last_cycle(target)
    ]
    # Modulo the interval, seen from a moment half an interval before the middle of all.
    first = cycles[0][0]
    shifts = [(begin - first + INTERVAL_SECONDS / 2) % INTERVAL_SECONDS for begin, _ in cycles]
    earliest = min(shifts)
    late = [shift - earliest for shift in shifts]
    return [one + took for one, (_, took) in zip(late, cycles, strict=True)], late


def _last_cycle(target: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Give the beginning and end of the last whole cycle: of the probes that run at the target's interval."""
    light = [
        probe
        for probe in target["probes"]
        if probe["every_seconds"] == INTERVAL_SECONDS and probe["last_run"] and probe["took_seconds"]
    ]
    begins = [probe["last_run"] - probe["took_seconds"] for probe in light]
    ends = [probe["last_run"] for probe in light]
    # Asked in the middle of a cycle, some of the probes are still of the one before.
    if begins and max(ends) - min(begins) < INTERVAL_SECONDS / 2:
        yield min(begins), max(ends)


def _phase(name: str, targets: int) -> float:
    """Return what the daemon adds to a target's first look, so that they do not come together."""
    spread = min(fleet.CONNECT_SECONDS * targets, 2 * INTERVAL_SECONDS)
    return zlib.crc32(name.encode()) / 2**32 * spread


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]
