"""Keeps a target's screen on the terminal until somebody presses q."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from daemon.terminal.client import CannotAsk
from daemon.terminal.draw import draw
from daemon.terminal.figures import seconds
from daemon.terminal.look import Look
from daemon.terminal.looker import Looker, UnknownTarget
from daemon.terminal.section import Screen

_FOOT = "q quit   s sort statements   t sort tables"
_FOOT_GENERIC = "q quit"
_KEY_BYTES = 64


class _Quit(Exception):
    """Somebody pressed q."""


class Display:
    """What is on the terminal, and the keys that change it."""

    def __init__(self, looker: Looker, console: Console, every_seconds: float) -> None:
        self._looker = looker
        self._console = console
        self._every_seconds = every_seconds
        self._look: Look | None = None
        self._trouble = ""
        self._trouble_since = 0.0
        self._changed = asyncio.Event()
        self._quit = False

    async def run(self, first: Look) -> None:
        """Draw until q; raise UnknownTarget when the target leaves the daemon's configuration."""
        self._look = first
        self._changed.set()
        screen = Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop")
        try:
            with self._keys(), screen:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep_looking())
                    tasks.create_task(self._keep_drawing(screen))
        except* _Quit:
            pass
        except* UnknownTarget as group:
            raise group.exceptions[0] from None

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                self._look = await self._looker.look()
                self._trouble = ""
            except UnknownTarget:
                raise
            except CannotAsk as error:
                self._trouble_since = self._trouble_since if self._trouble else time.monotonic()
                self._trouble = str(error)
            self._changed.set()

    async def _keep_drawing(self, live: Live) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._quit:
                raise _Quit
            if self._look is None:
                continue
            width, height = self._console.size
            screen = self._with_trouble(self._looker.screen(self._look))
            foot = _FOOT if len(screen.facts) else _FOOT_GENERIC
            live.update(draw(screen, width, height, foot), refresh=True)

    def _with_trouble(self, screen: Screen) -> Screen:
        if not self._trouble:
            return screen
        old = seconds(time.monotonic() - self._trouble_since)
        return replace(screen, note=f"no answer from the daemon for {old}: {self._trouble}")

    @contextlib.contextmanager
    def _keys(self) -> Iterator[None]:
        """React to keys and to a new size of the terminal."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        keyboard = sys.stdin.fileno() if sys.stdin.isatty() else -1
        before = termios.tcgetattr(keyboard) if keyboard >= 0 else None
        try:
            if keyboard >= 0:
                tty.setcbreak(keyboard)
                loop.add_reader(keyboard, self._pressed, keyboard)
            yield
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            if before is not None:
                loop.remove_reader(keyboard)
                termios.tcsetattr(keyboard, termios.TCSADRAIN, before)

    def _pressed(self, keyboard: int) -> None:
        keys = os.read(keyboard, _KEY_BYTES)
        for key in keys.decode("latin-1").lower():
            if key == "q":
                self._quit = True
            elif key == "s":
                self._looker.next_statement_order()
            elif key == "t":
                self._looker.next_table_order()
        if not keys:  # the terminal is gone
            self._quit = True
        self._changed.set()
