"""Default metrics at the pace of one scrape in 10 seconds: the exporter, ours with the same, ours with all."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.bench.collect_process import Page, Scraped
from tests.bench.collect_server_side import Cost, cost, ledger
from tests.bench.collect_watchers import SAME, only, start_exporter, start_ours, target
from tests.bench.collect_workload import Workload

INTERVAL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one watcher cost per scrape."""

    name: str
    series: int
    bytes: int
    wall_ms: float
    cpu_ms: float
    rss_mb: float
    start_seconds: float | None
    server: Cost
    families: frozenset[str]


async def measure_default(
    made: Workload, room: Path, window_seconds: float, warm_up_seconds: float
) -> dict[str, Measured]:
    """Measure all of them in the same window, each scraped at its own second."""
    server = made.server
    logins = {name: (f"bench_{name}", await made.role(f"bench_{name}")) for name in _NAMES}
    with contextlib.ExitStack() as stack:
        watchers = [
            start_exporter(server, room, "exporter", logins["exporter"]),
            start_ours(
                room, "same", [target(server, "bench", logins["same"], collect=only(*SAME))],
                exposition={"aliases": True},
            ),
            start_ours(room, "full", [target(server, "bench", logins["full"])]),
            start_ours(room, "full_asyncio", [target(server, "bench", logins["full_asyncio"])], uvloop=False),
        ]  # fmt: skip
        for one in watchers:
            stack.callback(one.stop)
        async with asyncio.TaskGroup() as tasks:
            for one in watchers:
                tasks.create_task(one.warm_up(warm_up_seconds))
        scrapes = max(2, round(window_seconds / INTERVAL_SECONDS))
        return await measure(made, watchers, scrapes, INTERVAL_SECONDS)


_NAMES = ("exporter", "same", "full", "full_asyncio")


async def measure(
    made: Workload, watchers: list[Scraped], scrapes: int, interval_seconds: float
) -> dict[str, Measured]:
    """Scrape each of them so often, spread over the interval; all CPU in between counts."""
    roles = {one.name: f"bench_{one.name}" for one in watchers}
    before = {name: await ledger(made.admin, role) for name, role in roles.items()}
    cpu = {one.name: one.cpu for one in watchers}
    pages: dict[str, list[Page]] = {one.name: [] for one in watchers}
    loop = asyncio.get_running_loop()
    began = loop.time()
    step = interval_seconds / len(watchers)
    for number in range(scrapes):
        for place, one in enumerate(watchers):
            await asyncio.sleep(max(0.0, began + number * interval_seconds + place * step - loop.time()))
            pages[one.name].append(await one.scrape())
    await asyncio.sleep(max(0.0, began + scrapes * interval_seconds - loop.time()))
    cpu = {one.name: one.cpu - cpu[one.name] for one in watchers}
    after = {name: await ledger(made.admin, role) for name, role in roles.items()}
    return {
        one.name: Measured(
            name=one.name,
            series=pages[one.name][-1].series,
            bytes=len(pages[one.name][-1].body),
            wall_ms=statistics.median(page.took_seconds for page in pages[one.name]) * 1000,
            cpu_ms=cpu[one.name] / scrapes * 1000,
            rss_mb=one.rss_mb,
            start_seconds=one.complete_after(pages[one.name][-1].series),
            server=cost(before[one.name], after[one.name], scrapes, interval_seconds),
            families=frozenset(pages[one.name][-1].families),
        )
        for one in watchers
    }
