"""Calls that may hang for ever, each in a thread of its own, with a deadline.

A dead NFS server holds whoever asks for it in the kernel, where nothing can end him. So the thread is
left behind (it never keeps the daemon from ending), and what it hangs on is not asked again until
it has come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class Hanging(Exception):
    """The call has not come back; `since_seconds` ago it was made."""

    def __init__(self, since_seconds: float) -> None:
        super().__init__(f"hangs since {since_seconds:.0f} seconds")
        self.since_seconds = since_seconds


class Aside:
    """Runs blocking calls beside the loop; for each key one at a time."""

    def __init__(self) -> None:
        self._out: dict[Hashable, tuple[threading.Thread, float]] = {}

    @property
    def hanging(self) -> dict[Hashable, float]:
        """Return what has not come back, with the seconds since it was asked."""
        now = time.monotonic()
        return {key: now - begun for key, (thread, begun) in self._out.items() if thread.is_alive()}

    async def call(self, key: Hashable, function: Callable[[], T], within_seconds: float) -> T:
        """Return what `function` gives, raise what it raises, or Hanging."""
        thread, begun = self._out.get(key, (None, 0.0))
        if thread is not None and thread.is_alive():
            raise Hanging(time.monotonic() - begun)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        begun = time.monotonic()
        thread = threading.Thread(
            target=_work, args=(function, loop, answer), name=f"aside {key}", daemon=True
        )
        self._out[key] = (thread, begun)
        thread.start()
        try:
            async with asyncio.timeout(within_seconds):
                return await answer
        except TimeoutError:
            if answer.done() and not answer.cancelled():
                raise  # the call's own
            raise Hanging(time.monotonic() - begun) from None


def _work(function: Callable[[], T], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T]) -> None:
    result: list[T] = []
    failure: Exception | None = None
    try:
        result.append(function())
    except Exception as error:  # noqa: BLE001 - it goes to whoever asked
        failure = error

    def deliver() -> None:
        if answer.done():
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(result[0])

    # When the loop has ended meanwhile, nobody waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(deliver)
