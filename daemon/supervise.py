"""Keeps the daemon going: signals, readiness, and a watchdog that judges the freshness of data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog

from daemon.fleet import Fleet
from daemon.notify import SystemdNotifier

log = structlog.get_logger()
OVERSEE_SECONDS = 5.0
GIVE_UP_SECONDS = 15.0
LATE_SHARE_MAX = 0.5


class Signals:
    """SIGTERM and SIGINT end the daemon, SIGHUP reloads it."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Listen while the block runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self.stop.is_set():
            log.warning("daemon.stopping_at_once")
            os._exit(130)
        self.stop.set()
        # A task that ignores cancellation must not keep the process: what is not given back by
        # then is given back by the server's own time-outs.
        asyncio.get_running_loop().call_later(GIVE_UP_SECONDS, _give_up)


def _give_up() -> None:
    log.error("daemon.did_not_end", after_seconds=GIVE_UP_SECONDS)
    sys.stderr.flush()
    os._exit(70)


async def oversee(fleet: Fleet, notifier: SystemdNotifier, lag: Callable[[float], None]) -> None:
    """Rescue stuck lanes, measure the loop's lag, and keep systemd's watchdog quiet while data are fresh.

    The watchdog is not fed when more than half of the targets are late: one that hangs is the
    server's trouble, most of them is ours.
    """
    pause = min(OVERSEE_SECONDS, notifier.watchdog_seconds / 3 or OVERSEE_SECONDS)
    while True:
        before = time.monotonic()
        await asyncio.sleep(pause)
        lag(max(0.0, time.monotonic() - before - pause))
        fleet.rescue()
        late = fleet.late()
        if len(late) <= LATE_SHARE_MAX * len(fleet.watches):
            notifier.alive()
        else:
            log.error("daemon.stale", late=len(late), targets=len(fleet.watches))


async def reload_on_signal(signals: Signals, reload: Callable[[], Awaitable[None]]) -> None:
    """Reload each time SIGHUP asks for it."""
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        await reload()
