"""Ends the demo on a signal, once: further ones wait until everything is cleared away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """What signals have asked for."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that came; 0 before."""
        self.ready = False
        """Whether everything was up by then."""
        self.deaf = False
        """Whether the end has begun without a signal."""

    @property
    def code(self) -> int:
        """Return the exit code after a signal."""
        return 0 if self.ready else 128 + self.number

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Cancel the block when a signal comes, and go on after it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("signals are for a task")
        # Ctrl-C in a script's background job, or after nohup, is not for us.
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        for number in heard:
            loop.add_signal_handler(number, self._heard, number, task)
        try:
            yield
        except asyncio.CancelledError:
            if not self.number:
                raise
            task.uncancel()
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    def _heard(self, number: int, task: asyncio.Task[object]) -> None:
        if not self.number and not self.deaf:
            self.number = number
            task.cancel()
