"""Keeps one Alertmanager told: newest word on each alert, in batches, with back-off while it is away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable, Sequence

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
_ABOUT_THE_BODY = (400, 413, 422)
"""It will never take this. All else is mended by people or by time: what waits still counts then."""
_REFUSED_KNOWN_MAX = 1000


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
        self._refused: set[Labels] = set()
        """Alerts of which the log has said that they are refused."""
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
        """Tell whether the last request got an answer about what was sent."""
        return not self._down

    def offer(self, messages: Iterable[Message]) -> None:
        """Take messages; a newer word on an alert replaces the one that still waits."""
        for message in messages:
            self._waiting.pop(message.labels, None)
            self._waiting[message.labels] = message
        self._give_up(len(self._waiting) - QUEUE_MAX)
        self._wake.set()

    async def run(self) -> None:
        """Send what is offered."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._send()
                if self._pause:
                    await asyncio.sleep(self._pause)

    async def flush(self, within_seconds: float) -> None:
        """Send what waits, once, before the end; not while `run` does the same."""
        try:
            async with asyncio.timeout(within_seconds):
                while self._waiting and not self._down:
                    await self._send()
        except TimeoutError:
            pass
        if self._waiting:
            log.warning("alertmanager.not_told", address=self.peer.address, alerts=len(self._waiting))

    async def close(self) -> None:
        """End the connection; `run` has ended."""
        await self.peer.close()

    def _give_up(self, too_many: int) -> None:
        if too_many <= 0:
            return
        # What fires comes again by itself; that something is over is said for a while only.
        order = sorted(self._waiting.values(), key=lambda message: message.resolved)
        for message in order[:too_many]:
            del self._waiting[message.labels]
        self.dropped += too_many

    async def _send(self) -> None:
        batch = list(self._waiting.values())[:BATCH_MAX]
        before = self.sent
        try:
            await self._send_these(batch)
        except PeerFailed as error:
            self._failed(error)
        else:
            # Nothing of many is taken: it may be something else that answers there.
            self._pause = PAUSE_FIRST_SECONDS if self.sent == before and len(batch) > 1 else 0.0
            if self._down:
                self._down = False
                log.info("alertmanager.reachable", address=self.peer.address)

    async def _send_these(self, batch: Sequence[Message]) -> None:
        """Send a batch; what is refused for itself is left out. Raises PeerFailed for all other failures."""
        body = json.dumps([message.as_json() for message in batch]).encode()
        try:
            await self.peer.post(PATH, body, {"Content-Type": "application/json"})
        except PeerFailed as error:
            if error.status not in _ABOUT_THE_BODY:
                raise
            self.failed += 1
            if len(batch) == 1:
                self._drop(batch[0], error)
                return
            # One message that it does not take must not cost the others.
            middle = len(batch) // 2
            await self._send_these(batch[:middle])
            await self._send_these(batch[middle:])
            return
        self.sent += len(batch)
        for message in batch:
            self._refused.discard(message.labels)
            self._done(message)

    def _drop(self, message: Message, error: PeerFailed) -> None:
        self.dropped += 1
        self._done(message)
        if message.labels not in self._refused:
            if len(self._refused) >= _REFUSED_KNOWN_MAX:
                self._refused.clear()
            self._refused.add(message.labels)
            labels = message.labels.as_dict()
            log.warning("alertmanager.refused", address=self.peer.address, labels=labels, reason=str(error))

    def _failed(self, error: PeerFailed) -> None:
        self.failed += 1
        if not self._down:
            self._down = True
            log.warning("alertmanager.failed", address=self.peer.address, reason=str(error))
        grown = min(PAUSE_MAX_SECONDS, max(PAUSE_FIRST_SECONDS, 2 * self._pause))
        asked = min(PAUSE_MAX_SECONDS, error.retry_after_seconds)
        self._pause = max(asked, grown * self._rng.uniform(0.8, 1.0))

    def _done(self, message: Message) -> None:
        if self._waiting.get(message.labels) is message:
            del self._waiting[message.labels]
