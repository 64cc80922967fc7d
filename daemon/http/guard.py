"""Drops connections of clients that are too slow to ask or to read, and those that are too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from daemon.http.options import HttpOptions


class Door:
    """Lets connections in: at most so many, each with a guard."""

    def __init__(self, options: HttpOptions, make: Callable[[], asyncio.Protocol]) -> None:
        self.options = options
        self._make = make
        self.inside: dict[object, Guard] = {}

    def __call__(self) -> Guard:
        """Make the protocol of a new connection."""
        return Guard(self, self._make())

    def asked(self, protocol: object) -> None:
        """Note that a client has sent a whole request: from here on the server has the word."""
        if (guard := self.inside.get(protocol)) is not None:
            guard.rest()


class Guard(asyncio.Protocol):
    """Stands between a connection and the protocol that serves it."""

    def __init__(self, door: Door, inner: asyncio.Protocol) -> None:
        self._door = door
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many already."""
        # A stream's transport, by asyncio's word; uvloop's own class does not inherit from it.
        stream = cast(asyncio.Transport, transport)
        self._transport = stream
        if len(self._door.inside) >= self._door.options.connections_max:
            self._refused = True
            stream.abort()
            return
        self._door.inside[self._inner] = self
        self._wake_after(self._door.options.header_seconds)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sent."""
        if not self._refused:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the client has said everything."""
        return None if self._refused else self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.rest()
        if not self._refused:
            self._door.inside.pop(self._inner, None)
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to count: the client does not read."""
        self._wake_after(self._door.options.stall_seconds)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Stop counting: it reads again."""
        self.rest()
        self._inner.resume_writing()

    def rest(self) -> None:
        """Stop waiting for the client."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _wake_after(self, seconds: float) -> None:
        self.rest()
        if self._transport is not None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._transport.abort)
