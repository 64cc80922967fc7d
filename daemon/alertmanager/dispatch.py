"""Keeps the configured Alertmanagers told; a reload changes only those that are different now."""

from __future__ import annotations

import asyncio

from daemon.alertmanager.herald import Herald
from daemon.alertmanager.sender import Sender
from daemon.config import Config
from daemon.config.judging import AlertmanagerSettings
from daemon.judge.judge import Judged
from daemon.peer import Peer


class Dispatch:
    """The herald and its senders, each with a task of its own: one that hangs delays no other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._running: dict[AlertmanagerSettings, tuple[Sender, asyncio.Task[None] | None]] = {
            settings: (Sender(Peer(settings)), None) for settings in config.alertmanagers
        }
        self._herald = self._new_herald()

    @property
    def senders(self) -> tuple[Sender, ...]:
        """Return those who tell, in the order of the configuration."""
        return tuple(sender for sender, _ in self._running.values())

    def tell(self, judged: Judged) -> None:
        """Offer to all what is due; never waits."""
        self._herald.tell(judged)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to send."""
        for settings, (sender, task) in self._running.items():
            if task is None:
                self._running[settings] = (sender, tasks.create_task(sender.run()))

    async def become(self, config: Config, tasks: asyncio.TaskGroup) -> None:
        """Send by another configuration; whoever stays keeps what waits for it.

        Everything is told anew then: labels may be others, and a new one has heard of nothing.
        """
        before, self._config = self._config, config
        if (before.alertmanagers, before.rules) == (config.alertmanagers, config.rules):
            return
        gone = [each for settings, each in self._running.items() if settings not in config.alertmanagers]
        self._running = {
            settings: self._running.get(settings) or (Sender(Peer(settings)), None)
            for settings in config.alertmanagers
        }
        self._herald = self._new_herald()
        self.start(tasks)
        for sender, task in gone:
            await _end(sender, task)

    async def stop(self, within_seconds: float) -> None:
        """Send what still waits, for so long at the most, and end."""
        async with asyncio.TaskGroup() as ending:
            for sender, task in self._running.values():
                ending.create_task(_end(sender, task, within_seconds))

    def _new_herald(self) -> Herald:
        rules = self._config.rules
        return Herald(
            self.senders,
            resend_seconds=rules.resend_delay,
            external_labels=rules.external_labels,
            external_url=rules.external_url,
        )


async def _end(sender: Sender, task: asyncio.Task[None] | None, within_seconds: float = 0.0) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
    if within_seconds:
        await sender.flush(within_seconds)
    await sender.close()
