"""Everything per table and statement, well over 100,000 series: the same SQL for the exporter and for us."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.collect_default import Measured, measure
from tests.bench.collect_process import Scraped
from tests.bench.collect_watchers import (
    SAME,
    exporter_queries,
    only,
    our_queries,
    start_exporter,
    start_ours,
    target,
)
from tests.bench.collect_workload import Workload

INTERVAL_SECONDS = 15.0
_SLOWER = "statements"
"""Our own probe of statements has a pace of 30 s: every other scrape finds it anew. In the wall time it counts
each time."""
_LIFTED = {"series_max": 2_000_000, "database_time_per_minute": "1m", "interval": f"{INTERVAL_SECONDS:g}s"}
_BUILT_IN = ("every_table", "every_table_io")


@dataclass(frozen=True, slots=True)
class Everything:
    measured: Measured
    collect_ms: float
    """Wall time of the probes of one cycle, one after the other; 0 where the scrape itself collects."""

    @property
    def wall_ms(self) -> float:
        return self.collect_ms + self.measured.wall_ms


async def measure_everything(made: Workload, room: Path, scrapes: int) -> dict[str, Everything]:
    server = made.server
    names = ("exporter_all", "ours_all", "ours_builtin")
    logins = {name: (f"bench_{name}", await made.role(f"bench_{name}")) for name in names}
    queries = {"exporter": exporter_queries(), "ours": our_queries(), "builtin": our_queries(_BUILT_IN)}
    for name, text in queries.items():
        (room / f"{name}-queries.yaml").write_text(text)
    exposition = {"series_max_total": 10_000_000}
    with contextlib.ExitStack() as stack:
        ours = start_ours(
            room, "ours_all",
            [target(server, "bench", logins["ours_all"], **_LIFTED,
                    collect=only(*SAME, "every_statement", *_BUILT_IN))],
            metrics_files=[str(room / "ours-queries.yaml")], exposition=exposition,
        )  # fmt: skip
        builtin = start_ours(
            room, "ours_builtin",
            [target(server, "bench", logins["ours_builtin"], **_LIFTED, statements_max=0,
                    collect=only(*SAME, "statements", *_BUILT_IN))],
            metrics_files=[str(room / "builtin-queries.yaml")], exposition=exposition,
        )  # fmt: skip
        exporter = start_exporter(
            server, room, "exporter_all", logins["exporter_all"],
            f"--extend.query-path={room / 'exporter-queries.yaml'}",
        )  # fmt: skip
        watchers = [exporter, ours, builtin]
        for one in watchers:
            stack.callback(one.stop)
        async with asyncio.TaskGroup() as tasks:
            for one in watchers:
                tasks.create_task(one.warm_up(INTERVAL_SECONDS + 3, pace=1.0))
        measured = await measure(made, watchers, scrapes, INTERVAL_SECONDS)
        return {
            name: Everything(one, 0.0 if name == "exporter_all" else await _collect_ms(_of(watchers, name)))
            for name, one in measured.items()
        }


def _of(watchers: Sequence[Scraped], name: str) -> Scraped:
    return next(one for one in watchers if one.name == name)


async def _collect_ms(one: Scraped) -> float:
    """Return what the last runs of the probes that run in every cycle took together."""
    answer = json.loads((await one.scrape("/api/v1/targets")).body)
    probes = answer["targets"][0]["probes"]
    return (
        sum(
            probe["took_seconds"] or 0.0
            for probe in probes
            if probe["name"] == _SLOWER or 0 < (probe["every_seconds"] or 0) <= INTERVAL_SECONDS
        )
        * 1000
    )
