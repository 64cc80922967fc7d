"""Sends samples to a Prometheus remote write receiver; what cannot be sent waits, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import numpy as np
import structlog

from daemon.history.planes import Ints
from daemon.history.remote import Answer, RemoteFailed, RemoteOptions, RemoteSession
from daemon.history.sheets import Sheet
from daemon.history.wire import write_request
from rules.labels import Labels
from rules.promql.values import ABSENT_BITS, Floats

log = structlog.get_logger()
_HEADERS = {
    "Content_Type": "application/x-protobuf",
    "Content_Encoding": "snappy",
    "X_Prometheus_Remote_Write_Version": "0.1.0",
}
_ANSWER_BYTES = 100_000
_FIRST_SECONDS, _CAP_SECONDS = 0.5, 60.0
_LONGEST_ASKED = 300.0
_CLOSING_SECONDS = 1.0
_TOO_MANY, _SERVER_ERROR, _OK, _NOT_OK = 429, 500, 200, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How much waits, and how much goes at once."""

    max_samples: int = 500_000
    """The oldest are lost first."""
    batch_samples: int = 5_000
    batch_seconds: float = 5.0
    """How long a batch that is not full waits for more."""


class RemoteWriter:
    """A queue of samples, and the one that sends them in order."""

    def __init__(
        self, options: RemoteOptions, queue: QueueOptions | None = None, rng: random.Random | None = None
    ) -> None:
        self.sent = 0
        """Samples that the receiver took."""
        self.sent_bytes = 0
        self.retries = 0
        self.lost: Counter[str] = Counter()
        """Samples lost, by reason: `queue_full`, `refused`, `shutdown`."""
        self.trouble = ""
        """Why the last request failed; empty while all is well."""
        self._options = queue or QueueOptions()
        self._session = RemoteSession(options)
        self._address = options.address
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._queue: deque[Sheet] = deque()
        self._queued = 0
        self._sending = 0
        self._more = asyncio.Event()
        self._failures = 0

    @property
    def queued(self) -> int:
        """Return how many samples wait, or are on their way."""
        return self._queued + self._sending

    def append(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        """Take samples, as `Store.append` does; call it on the event loop."""
        columns = max(1, self._options.batch_samples // max(1, len(times)))
        for first in range(0, len(series), columns):
            some = slice(first, first + columns)
            self._queue.append(Sheet(series[some], times, values[:, some]))
            self._queued += _samples(self._queue[-1])
        self._bound()
        self._more.set()

    async def run(self) -> None:
        """Send what comes, until cancelled; what was being sent then is queued again."""
        while True:
            self._more.clear()
            if not self._queue:
                await self._more.wait()
            await self._gather()
            wait = await self._send_one()
            if wait:
                await asyncio.sleep(wait)

    async def _gather(self) -> None:
        """Wait for more, but no longer than a batch may wait, nor until the queue runs over."""
        enough = min(self._options.batch_samples, self._options.max_samples // 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.batch_seconds):
                while self._queued < enough:
                    self._more.clear()
                    await self._more.wait()

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Send what is left within the deadline; the rest is lost, and counted."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while self._queue:  # noqa: ASYNC110 - each round sends
                    await asyncio.sleep(min(await self._send_one(), _CLOSING_SECONDS))
        except TimeoutError:
            pass
        finally:
            if self._queued:
                self.lost["shutdown"] += self._queued
                log.warning("remote_write.lost", samples=self._queued, reason="shutdown", url=self._address)
                self._queue.clear()
                self._queued = 0
            await self._session.close()

    async def _send_one(self) -> float:
        """Send the next batch; return how many seconds to wait before the next."""
        sheets = self._taken()
        settled = False
        try:
            body = await asyncio.to_thread(write_request, sheets)
            answer = await self._session.post("", data=body, max_bytes=_ANSWER_BYTES, **_HEADERS)
            wait = self._judge(answer, self._sending)
            settled = wait is None
            if settled:
                self.sent_bytes += len(body)
        except RemoteFailed as error:
            wait = self._failed(str(error), 0.0)
        finally:
            if not settled:
                self._queue.extendleft(reversed(sheets))
                self._queued += self._sending
            self._sending = 0
            self._bound()
        return wait or 0.0

    def _judge(self, answer: Answer, samples: int) -> float | None:
        """Return how long to wait before these samples are sent again; None when they are settled."""
        status = answer.status
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            return self._failed(f"{self._address}: it answers {status}: {answer.text}", _asked_wait(answer))
        self._failures = 0
        if _OK <= status < _NOT_OK:
            self.sent += samples
            if self.trouble:
                log.info("remote_write.sends_again", url=self._address)
            self.trouble = ""
            return None
        said = f"{self._address}: it refuses samples with {status}: {answer.text}"
        if not self.trouble:
            log.error("remote_write.refused", reason=said, samples=samples)
        self.trouble = said
        self.lost["refused"] += samples
        return None

    def _failed(self, reason: str, asked: float) -> float:
        if not self.trouble:
            log.warning("remote_write.waits", reason=reason)
        self.trouble = reason
        self.retries += 1
        span = min(_CAP_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return max(asked, self._rng.uniform(span / 2, span))

    def _taken(self) -> list[Sheet]:
        taken = [self._queue.popleft()]
        size = _samples(taken[0])
        while self._queue and size + _samples(self._queue[0]) <= self._options.batch_samples:
            taken.append(self._queue.popleft())
            size += _samples(taken[-1])
        self._queued -= size
        self._sending = size
        return taken

    def _bound(self) -> None:
        while self._queued > self._options.max_samples and self._queue:
            gone = _samples(self._queue.popleft())
            self._queued -= gone
            if not self.lost["queue_full"]:
                log.warning("remote_write.lost", reason="queue_full", url=self._address)
            self.lost["queue_full"] += gone


def _samples(sheet: Sheet) -> int:
    return int(np.count_nonzero(sheet.values.view(np.uint64) != ABSENT_BITS))


def _asked_wait(answer: Answer) -> float:
    """Return the seconds of Retry-After: a number of seconds, or a date."""
    asked = answer.headers.get("Retry-After", "")
    try:
        seconds = float(asked) if asked.isdigit() else parsedate_to_datetime(asked).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_ASKED)
