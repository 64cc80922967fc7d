"""Shows the shop as the daemon sees it, until the time is over."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live

from actions.scratch.process import ServerProcess
from daemon.demo.breakage import Breakage
from daemon.demo.readings import Looking, Sight, Told
from daemon.demo.running import Running
from daemon.demo.screen import lines, picture
from daemon.terminal.client import Address, CannotAsk, connected

_LOOK_SECONDS = 1.0
_LINES_SECONDS = 5.0


class _Draw(Protocol):
    def __call__(
        self, sights: Mapping[str, Sight], alerts: Sequence[Told], trouble: str, *, last: bool
    ) -> None: ...


class Show:
    """The picture of one demo."""

    def __init__(
        self, console: Console, running: Running, breakage: Breakage, process: ServerProcess
    ) -> None:
        self._console = console
        self._running = running
        self._breakage = breakage
        self._process = process

    async def until_over(self, seconds: float | None) -> int:
        """Show it for so long, or until cancelled; return 1 when the daemon has died, else 0."""
        end = time.monotonic() + (math.inf if seconds is None else seconds)
        async with connected(Address(url=self._running.url)) as client:
            looking = Looking(client)
            with self._live() if self._console.is_terminal else self._plain() as draw:
                await self._look(looking, draw, end)
        if self._process.running:
            return 0
        self._console.print(
            f"the daemon has died: {self._process.last_words()}", markup=False, soft_wrap=True
        )
        return 1

    async def _look(self, looking: Looking, draw: _Draw, end: float) -> None:
        sights: Mapping[str, Sight] = {}
        while self._process.running:
            trouble = ""
            try:
                sights = await looking.look()
            except CannotAsk as error:
                trouble = str(error)
            left = end - time.monotonic()
            draw(sights, looking.alerts, trouble, last=left <= 0)
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    @contextlib.contextmanager
    def _live(self) -> Iterator[_Draw]:
        with Live(console=self._console, auto_refresh=False) as live:

            def draw(
                sights: Mapping[str, Sight], alerts: Sequence[Told], trouble: str, *, last: bool
            ) -> None:
                del last
                width = self._console.width
                shown = picture(sights, self._breakage.broken, trouble, width, alerts)
                live.update(shown, refresh=True)

            yield draw

    @contextlib.contextmanager
    def _plain(self) -> Iterator[_Draw]:
        due = time.monotonic() + _LINES_SECONDS

        def draw(sights: Mapping[str, Sight], alerts: Sequence[Told], trouble: str, *, last: bool) -> None:
            nonlocal due
            if last or time.monotonic() >= due:
                due = time.monotonic() + _LINES_SECONDS
                for line in lines(sights, self._breakage.broken, trouble, alerts):
                    self._console.print(line, markup=False, soft_wrap=True)

        yield draw
