"""Acting as a part of the daemon: opens the store, and again when it cannot; watching never waits for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import structlog
from prometheus_client.registry import CollectorRegistry

from actions.errors import StoreUnavailable
from daemon.acting.clerk import Clerk
from daemon.acting.firing import Firing
from daemon.acting.house import House, Rules
from daemon.acting.leader import LeaseTimes
from daemon.acting.metrics import ActingMetrics, Standing
from daemon.acting.office import OfficeRefused
from daemon.acting.steady import SteadyClock
from daemon.config import Config
from daemon.config.targets import targets
from daemon.judge.judge import Judged
from daemon.received.store import Received
from daemon.snapshot import Snapshot
from daemon.store.configured import options_of
from daemon.store.opening import open_store

log = structlog.get_logger()
OPEN_AGAIN_SECONDS = 10.0
CLOSE_SECONDS = 10.0
AT_START = ("enabled", "store", "anchor_file", "stop_file", "commands")
"""Keys of `acting` that take effect only with the next start."""
SIGNAL = signal.SIGUSR1


class Acting:
    """Started, stopped and reloaded with the daemon."""

    def __init__(
        self,
        config: Config,
        snapshot: Snapshot,
        registry: CollectorRegistry,
        times: LeaseTimes | None = None,
    ) -> None:
        self._rules = Rules(config, lambda one: {each.name: each for each in targets(one)})
        self._snapshot = snapshot
        self._times = times
        self._firing = Firing(config.rules.external_labels)
        self._house: House | None = None
        self._pressed = False
        """The signal came while the store was not open."""
        self._trouble = "the journal is not open yet"
        self._task: asyncio.Task[None] | None = None
        self._metrics = ActingMetrics(self._standing)
        registry.register(self._metrics)

    @property
    def trouble(self) -> str:
        """Return why nothing can be done, for /readyz; empty while all is well or acting is off."""
        if not self._rules.config.acting.enabled:
            return ""
        if self._house is None:
            return f"acting: {self._trouble}"
        return f"acting: {self._house.lease.trouble}" if self._house.lease.trouble else ""

    @property
    def office(self) -> Clerk:
        """Return what the API and commands ask; raise OfficeRefused while there is none."""
        if not self._rules.config.acting.enabled:
            raise OfficeRefused(503, "acting is switched off", "set `acting.enabled: true`")
        if self._house is None:
            raise OfficeRefused(503, self._trouble)
        return self._house.clerk

    def judged(self, judged: Judged) -> None:
        """Take what our rules found; never waits."""
        self._firing.judged(judged)

    def received(self, firing: Sequence[Received]) -> None:
        """Take what Alertmanagers have told; never waits."""
        self._firing.received(firing)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin; SIGUSR1 stops all actions from now on."""
        asyncio.get_running_loop().add_signal_handler(SIGNAL, self._press)
        if self._rules.config.acting.enabled:
            self._task = tasks.create_task(self._run())

    def become(self, config: Config) -> None:
        """Go by another configuration; the store and the stop file stay as they are until a restart."""
        self._rules.become(config)
        self._firing.external_labels = config.rules.external_labels

    async def stop(self) -> None:
        """End what runs, for some seconds at the most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        asyncio.get_running_loop().remove_signal_handler(SIGNAL)

    async def _run(self) -> None:
        while True:
            try:
                await self._open()
            except StoreUnavailable as error:
                self._say(str(error))
            except OSError as error:
                self._say(f"the journal cannot be opened: {error}")
            except Exception:
                log.exception("acting.broken")
                self._trouble = "acting broke off by a defect; the log has the reason"
            await asyncio.sleep(OPEN_AGAIN_SECONDS)

    async def _open(self) -> None:
        clock = SteadyClock()
        store = await open_store(options_of(self._rules.config), clock)
        try:
            self._house = House(
                store, self._rules, self._snapshot, self._firing, clock=clock, times=self._times
            )
            if self._pressed:
                self._press()
            log.info("acting.open", store=store.where)
            self._trouble = ""
            await self._house.run()
        finally:
            self._house = None
            await store.close()

    def _press(self) -> None:
        self._pressed = True
        if self._house is not None:
            self._pressed = False
            self._house.switch.press("signal", "SIGUSR1")
        else:
            log.warning("actions.stopped", by="signal", reason="kept until the journal is open")

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("acting.no_store", reason=trouble)
        self._trouble = trouble

    def _standing(self) -> Standing | None:
        if not self._rules.config.acting.enabled:
            return None
        return self._house.standing() if self._house is not None else Standing()
