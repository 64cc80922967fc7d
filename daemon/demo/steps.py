"""Tells what is being made while the demo starts: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape

_WIDTH = 10


class Steps:
    """Prints one line per step when it is done, with the time it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Show that `name` is under way; what is given to the callable is said when it is done."""
        said: list[str] = []
        began = time.monotonic()
        with self._spinner(name):
            yield said.append
        took = time.monotonic() - began
        self._console.print(
            f"  [bold]{name:<{_WIDTH}}[/]{escape(' '.join(said))} [dim]({took:.1f} s)[/]",
            highlight=False,
            soft_wrap=True,
        )

    @contextlib.contextmanager
    def _spinner(self, name: str) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(f"{name} ..."):
            yield
