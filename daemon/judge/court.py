"""Builds everything that judges from the configuration, and rebuilds it at a reload."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from collectors.engine import Engine
from collectors.registry import engines
from daemon.alertmanager import Herald, Sender
from daemon.catalogue import catalogue
from daemon.config import Config
from daemon.judge.bench import Bench, BenchOptions
from daemon.judge.feed import Reader
from daemon.judge.judge import Judge, Judged
from daemon.judge.metrics import JudgeMetrics
from daemon.judge.saved import SavedAlerts
from daemon.peer import Peer
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
        self.judge = Judge(bench_of(config), snapshot, selfmetrics, Reader(snapshot, known), self.saved)
        self.judge.tell = self._tell
        self._herald = herald_of(config)
        self._sending: list[asyncio.Task[None]] = []
        shown = JudgeMetrics(lambda: self.judge.judged, self.judge.missed, self.senders)
        selfmetrics.registry.register(shown)

    def senders(self) -> tuple[Sender, ...]:
        """Return those who tell Alertmanagers."""
        return tuple(self._herald.senders)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to judge and to tell."""
        self._send_on(tasks)
        tasks.create_task(self.judge.run())

    async def become(self, config: Config, tasks: asyncio.TaskGroup) -> None:
        """Judge by another configuration."""
        before, self._config = self._config, config
        if (before.alertmanagers, before.rules) != (config.alertmanagers, config.rules):
            await self._end_sending()
            self._herald = herald_of(config)
            self._send_on(tasks)
        if (before.groups, before.rules) != (config.groups, config.rules):
            await self.judge.become(bench_of(config))

    async def stop(self) -> None:
        """Tell what still waits to be told, for a few seconds at the most."""
        async with asyncio.TaskGroup() as flushing:
            for sender in self._herald.senders:
                flushing.create_task(sender.flush(FLUSH_SECONDS))
        await self._end_sending()

    def _tell(self, judged: Judged) -> None:
        self._herald.tell(judged)

    def _send_on(self, tasks: asyncio.TaskGroup) -> None:
        self._sending = [tasks.create_task(sender.run()) for sender in self._herald.senders]

    async def _end_sending(self) -> None:
        for task in self._sending:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending)
        self._sending = []


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


def herald_of(config: Config) -> Herald:
    """Return the one who tells the configuration's Alertmanagers."""
    rules = config.rules
    return Herald(
        [Sender(Peer(settings)) for settings in config.alertmanagers],
        resend_seconds=rules.resend_delay,
        external_labels=rules.external_labels,
        external_url=rules.external_url,
    )
