"""Keeps one Alertmanager told: newest word on each alert, in batches, with back-off while it is away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable

import structlog

from daemon.alertmanager.message import Message
from daemon.peer import Peer, PeerFailed
from rules.labels import Labels

log = structlog.get_logger()
PATH = "/api/v2/alerts"
BATCH_MAX = 256
QUEUE_MAX = 10_000
PAUSE_FIRST_SECONDS = 1.0
PAUSE_MAX_SECONDS = 60.0
_NOT_FINAL = (401, 403, 404, 408, 429)
"""A wrong token or address is mended by people: the message still counts then."""
_CLIENT_ERRORS = range(400, 500)


class Sender:
    """Sends to one Alertmanager until cancelled."""

    def __init__(self, peer: Peer, *, rng: random.Random | None = None) -> None:
        self.peer = peer
        self.sent = 0
        self.failed = 0
        """Requests that gave an error."""
        self.dropped = 0
        """Messages given up: refused by the Alertmanager, or too many waited."""
        self._waiting: dict[Labels, Message] = {}
        self._wake = asyncio.Event()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._pause = 0.0
        self._down = False

    @property
    def waiting(self) -> int:
        """Return how many messages are not sent yet."""
        return len(self._waiting)

    @property
    def reachable(self) -> bool:
        """Tell whether the last request went well."""
        return not self._down

    def offer(self, messages: Iterable[Message]) -> None:
        """Take messages; a newer word on an alert replaces the one that still waits."""
        for message in messages:
            self._waiting.pop(message.labels, None)
            self._waiting[message.labels] = message
        while len(self._waiting) > QUEUE_MAX:
            # What fires comes again by itself; that something is over is said for a while only.
            oldest = next((key for key, each in self._waiting.items() if not each.resolved), None)
            del self._waiting[oldest if oldest is not None else next(iter(self._waiting))]
            self.dropped += 1
        self._wake.set()

    async def run(self) -> None:
        """Send what is offered."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._send()
                    if self._pause:
                        await asyncio.sleep(self._pause)
        finally:
            await self.peer.close()

    async def flush(self, within_seconds: float) -> None:
        """Send what waits, once, before the end."""
        try:
            async with asyncio.timeout(within_seconds):
                while self._waiting and not self._down:
                    await self._send()
        except TimeoutError:
            log.warning("alertmanager.not_told", address=self.peer.address, alerts=len(self._waiting))

    async def _send(self) -> None:
        await self._send_these(list(self._waiting.values())[:BATCH_MAX])

    async def _send_these(self, batch: list[Message]) -> None:
        body = json.dumps([message.as_json() for message in batch]).encode()
        try:
            await self.peer.post(PATH, body, {"Content-Type": "application/json"})
        except PeerFailed as error:
            if _refused(error) and len(batch) > 1:
                # One message that it does not take must not cost the others.
                middle = len(batch) // 2
                await self._send_these(batch[:middle])
                await self._send_these(batch[middle:])
            else:
                self._failed(error, batch)
            return
        self.sent += len(batch)
        self._done(batch)
        self._pause = 0.0
        if self._down:
            self._down = False
            log.info("alertmanager.reachable", address=self.peer.address)

    def _failed(self, error: PeerFailed, batch: list[Message]) -> None:
        self.failed += 1
        if _refused(error):
            self.dropped += len(batch)
            self._done(batch)
        if not self._down:
            self._down = True
            log.warning("alertmanager.failed", address=self.peer.address, reason=str(error))
        grown = min(PAUSE_MAX_SECONDS, max(PAUSE_FIRST_SECONDS, 2 * self._pause))
        self._pause = max(error.retry_after_seconds, grown * self._rng.uniform(0.8, 1.0))

    def _done(self, batch: list[Message]) -> None:
        for message in batch:
            if self._waiting.get(message.labels) is message:
                del self._waiting[message.labels]


def _refused(error: PeerFailed) -> bool:
    """Tell whether it will never take this: waiting does not help."""
    return error.status in _CLIENT_ERRORS and error.status not in _NOT_FINAL
