"""Takes notices, and answers what is known of received alerts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple, Unpack

import structlog
from prometheus_client import Metric
from prometheus_client.registry import Collector

from collectors.model import Kind, MetricDef
from collectors.secret import redact
from daemon.moment import moment
from daemon.received.notice import NotANotice, Notice, problems_text, read
from daemon.received.store import SILENT_SECONDS, Counts, Received, ReceivedStore, StoreFailed

log = structlog.get_logger()
TAKEN = MetricDef(
    name="dbarchitect_received_alerts_total",
    kind=Kind.COUNTER,
    help="Alerts in notices of Alertmanagers: new, resolved, repeated, refused, truncated.",
    labels=("outcome",),
)
NOTICES = MetricDef(
    name="dbarchitect_received_notices_total",
    kind=Kind.COUNTER,
    help="Notices of Alertmanagers: taken, garbage, or not stored.",
    labels=("outcome",),
)
FIRING = MetricDef(
    name="dbarchitect_received_alerts_firing", kind=Kind.GAUGE, help="Received alerts that fire."
)
RECEIVED_METRICS = (TAKEN, NOTICES, FIRING)
T = TypeVar("T")
Given = TypeVarTuple("Given")


@dataclass(slots=True, eq=False)
class Desk(Collector):
    """One thread writes and reads; what is shown was read after the last write."""

    state_dir: Path
    clock: Callable[[], float] = time.time
    taken: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("new", "resolved", "repeated", "refused", "truncated"), 0)
    )
    notices: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("taken", "garbage", "not_stored"), 0)
    )
    tell: Callable[[Sequence[Received]], None] | None = None
    """Gets what fires whenever something was taken, on the event loop; never waits."""
    _store: ReceivedStore = field(init=False)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="received")
    )
    _known: Sequence[Received] = ()

    def __post_init__(self) -> None:
        self._store = ReceivedStore(self.state_dir)

    async def open(self) -> None:
        """Open the store and read what is in it; a store that cannot be used is said, and tried again."""
        try:
            await self._in_thread(self._look)
        except StoreFailed as error:
            log.error("received.no_store", reason=str(error))  # noqa: TRY400 - the reason says it all
        self._say()

    async def close(self) -> None:
        """Close the store; nothing is taken any more."""
        await self._in_thread(self._store.close)
        self._thread.shutdown(wait=False)

    async def take(self, body: bytes, sender: str) -> tuple[Notice, Counts]:
        """Take a message; when this returns it is on disk. Raises NotANotice and StoreFailed."""
        try:
            notice, counts = await self._in_thread(self._take, body, sender)
        except NotANotice:
            self.notices["garbage"] += 1
            raise
        except StoreFailed as error:
            self.notices["not_stored"] += 1
            log.error("received.not_stored", reason=str(error))  # noqa: TRY400
            raise
        self._count(notice, counts, notice.external_url or sender)
        self._say()
        return notice, counts

    def shown(self) -> list[dict[str, Any]]:
        """Return received alerts that fire, in the shape of Prometheus' API."""
        return [_shown(each) for each in self._firing()]

    def collect(self) -> Iterator[Metric]:
        """Give what was taken as metrics."""
        for metric, counted in ((TAKEN, self.taken), (NOTICES, self.notices)):
            family = Metric(metric.name.removesuffix("_total"), metric.help, "counter")
            for outcome, count in counted.items():
                family.add_sample(metric.name, {"outcome": outcome}, float(count))
            yield family
        firing = Metric(FIRING.name, FIRING.help, "gauge")
        firing.add_sample(FIRING.name, {}, float(len(self._firing())))
        yield firing

    def _firing(self) -> list[Received]:
        silent = self.clock() - SILENT_SECONDS
        return [each for each in self._known if each.last_heard >= silent]

    def _say(self) -> None:
        if self.tell is not None:
            self.tell(self._firing())

    def _look(self) -> None:
        self._known = self._store.firing(self.clock())

    def _take(self, body: bytes, sender: str) -> tuple[Notice, Counts]:
        notice = read(body)
        counts = self._store.take(notice.alerts, notice.external_url or sender, self.clock())
        self._look()
        return notice, counts

    async def _in_thread(self, work: Callable[[Unpack[Given]], T], *given: *Given) -> T:
        # Not even a request that is given up lets the next one in before its work is done.
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    def _count(self, notice: Notice, counts: Counts, source: str) -> None:
        self.notices["taken"] += 1
        for outcome, count in (
            ("new", counts.new),
            ("resolved", counts.resolved),
            ("repeated", counts.repeated),
            ("refused", notice.refused),
            ("truncated", notice.truncated),
        ):
            self.taken[outcome] += count
        if notice.truncated:
            log.warning("received.truncated", source=source, left_out=notice.truncated, hint="set max_alerts")
        if notice.problems:
            log.warning("received.refused", source=source, problems=redact(problems_text(notice.problems)))


def _shown(each: Received) -> dict[str, Any]:
    return {
        "labels": dict(each.alert.labels),
        "annotations": dict(each.alert.annotations),
        "state": "firing",
        "activeAt": moment(each.alert.starts_at),
        "value": "",
        "sources": ["alertmanager"],
        "fingerprint": each.alert.fingerprint,
        "generatorURL": each.alert.generator_url,
        "receivedFrom": each.source,
    }
