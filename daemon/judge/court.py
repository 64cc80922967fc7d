"""Builds everything that judges from the configuration, and rebuilds it at a reload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from collectors.engine import Engine
from collectors.registry import engines
from daemon.alertmanager.dispatch import Dispatch
from daemon.catalogue import catalogue
from daemon.config import Config
from daemon.judge.bench import Bench, BenchOptions
from daemon.judge.feed import Reader
from daemon.judge.judge import Judge, Judged
from daemon.judge.keepers import Keepers
from daemon.judge.metrics import JudgeMetrics
from daemon.judge.saved import SavedAlerts
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot

log = structlog.get_logger()
FLUSH_SECONDS = 5.0


class Court:
    """The judge with those whom it tells."""

    def __init__(
        self, config: Config, snapshot: Snapshot, selfmetrics: SelfMetrics, known: Mapping[str, Engine]
    ) -> None:
        self._config = config
        self.saved = SavedAlerts(Path(config.daemon.state_dir))
        self.keepers = Keepers(config.history, Path(config.daemon.state_dir))
        selfmetrics.registry.register(self.keepers)
        self.judge = Judge(
            bench_of(config), snapshot, selfmetrics, Reader(snapshot, known), self.saved, self.keepers
        )
        self._dispatch = Dispatch(config)
        self.also: Callable[[Judged], None] | None = None
        """Gets each new state of things too, after those who are told of alerts; never waits."""
        self.judge.tell = self._tell
        self._judging: asyncio.Task[None] | None = None
        shown = JudgeMetrics(
            lambda: self.judge.judged,
            self.judge.missed,
            lambda: self._dispatch.senders,
            lambda: self.saved.failures,
        )
        selfmetrics.registry.register(shown)

    def external_labels(self) -> Mapping[str, str]:
        """Return what alerts carry besides their own labels once they are sent on."""
        return self._config.rules.external_labels

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to judge, to tell and to keep."""
        await self.keepers.open(tasks)
        self._dispatch.start(tasks)
        self._judging = tasks.create_task(self.judge.run())

    async def become(self, config: Config, tasks: asyncio.TaskGroup) -> None:
        """Judge by another configuration."""
        before, self._config = self._config, config
        await self._dispatch.become(config, tasks)
        if (before.groups, before.rules) != (config.groups, config.rules):
            await self.judge.become(bench_of(config))

    async def stop(self) -> None:
        """End judging; tell and keep what still waits, for a few seconds at the most."""
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.wait([self._judging])
        async with asyncio.TaskGroup() as flushing:
            flushing.create_task(self._dispatch.stop(FLUSH_SECONDS))
            flushing.create_task(self.keepers.close())

    def _tell(self, judged: Judged) -> None:
        self._dispatch.tell(judged)
        if self.also is not None:
            self.also(judged)


def bench_of(config: Config) -> Bench:
    """Return a desk for the configuration's rules."""
    rules = config.rules
    options = BenchOptions(
        interval_seconds=rules.interval,
        external_labels=rules.external_labels,
        external_url=rules.external_url,
        own_labels={"job": "dbarchitect", "instance": config.daemon.listen},
        catalogue=catalogue(engines().values(), custom=config.custom_probes),
    )
    return Bench(config.groups, options)
