"""All targets under watch: added, removed, replaced when stuck, judged by the freshness of their data."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import structlog

from collectors.definition import ProbeDef
from collectors.engine import Engine, Observer
from collectors.model import Target
from daemon.lane import Lane
from daemon.schedule import Schedule
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from daemon.watch import Watch

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
LATE_CYCLES = 3.0
CONNECT_SECONDS = 0.04
"""Between one first look and the next: a connection and its first questions cost a server some 20 ms, and
many targets can be on one."""
SETTLE_SECONDS = 0.1
"""So much longer for each target do the slow probes take to come round first."""
Custom = Mapping[str, Sequence[ProbeDef]]
"""What users declared themselves, by engine."""


class Fleet:
    """Runs the lanes of every target in one TaskGroup."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        snapshot: Snapshot,
        selfmetrics: SelfMetrics,
        schedule: Schedule,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._engines = engines
        self._snapshot = snapshot
        self._selfmetrics = selfmetrics
        self._schedule = schedule
        self._tasks = tasks
        self._running: dict[str, list[asyncio.Task[None]]] = {}
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self.watches: dict[str, Watch] = {}

    async def become(self, targets: Sequence[Target], custom: Custom, *, renew: bool = False) -> None:
        """Watch exactly these targets; those that did not change go on undisturbed.

        `renew` starts all of them anew, because what they share (own probes) has changed.
        """
        wanted = {target.name: target for target in targets}
        gone = [name for name, watch in self.watches.items() if renew or wanted.get(name) != watch.target]
        async with asyncio.TaskGroup() as closing:
            for name in gone:
                closing.create_task(self._remove(name))
        for watch in self.watches.values():
            watch.observer.ask_anew()
        new = [target for name, target in wanted.items() if name not in self.watches]
        for target in new:
            self._add(target, custom.get(target.engine, ()), len(new))

    async def close(self) -> None:
        """Stop watching; sessions are given back, in good order where the server lets us."""
        await self.become((), {})

    def rescue(self) -> None:
        """Write off every lane that has ignored twice its deadline, and put a new one in its place."""
        now = time.monotonic()
        for name, watch in self.watches.items():
            for lane in watch.lanes:
                if lane.stuck(now) and lane.running is not None:
                    log.error(
                        "lane.stuck", target=name, lane=lane.name, probe=lane.running.probe,
                        for_seconds=round(now - lane.running.since, 1),
                    )  # fmt: skip
                    self._snapshot.skip(name, lane.running.probe, "stuck")
                    self._replace(name, watch)
                    break

    def late(self) -> list[str]:
        """Return the targets whose data are older than they may be: no cycle ended in three intervals."""
        now = time.monotonic()
        return [
            name
            for name, watch in self.watches.items()
            if now - watch.lanes[0].finished_at
            > LATE_CYCLES * watch.target.interval_seconds + 2 * watch.target.deadline_seconds
        ]

    def _add(self, target: Target, custom: Sequence[ProbeDef], among: int) -> None:
        engine = self._engines[target.engine]

        def observe() -> Observer:
            return engine.observe(target, custom)

        self._snapshot.add_target(target)
        numbers = self._selfmetrics.target(target.name)
        settle = SETTLE_SECONDS * (among - 1)
        watch = Watch(target, observe, self._snapshot, numbers, self._rng, settle)
        self.watches[target.name] = watch
        self._start(target.name, watch.lanes)
        spread = CONNECT_SECONDS * among
        self._schedule.add(target.name, target.interval_seconds, watch.tick, spread)

    async def _remove(self, name: str) -> None:
        self._schedule.remove(name)
        watch = self.watches.pop(name)
        tasks = self._running.pop(name, [])
        for lane in watch.lanes:
            lane.write_off()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        await _closed(name, watch.observer)
        self._snapshot.remove_target(name)
        self._selfmetrics.forget(name)

    def _replace(self, name: str, watch: Watch) -> None:
        for task in self._running.pop(name, []):
            task.cancel()
        old, lanes = watch.replace()
        self._tasks.create_task(_closed(name, old))
        self._start(name, lanes)

    def _start(self, name: str, lanes: Sequence[Lane]) -> None:
        self._running[name] = [
            self._tasks.create_task(self._run(lane), name=f"{name}/{lane.name}") for lane in lanes
        ]

    async def _run(self, lane: Lane) -> None:
        while not lane.written_off():
            try:
                await lane.run()
            except Exception:
                # A mistake of ours in one target must not take the others with it.
                log.exception("lane.broken", lane=lane.name)
                await asyncio.sleep(1)


async def _closed(name: str, observer: Observer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await observer.close()
    except TimeoutError:
        log.warning("target.not_closed", target=name)
