"""Takes notices, and answers what is known of received alerts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Metric
from prometheus_client.registry import Collector

from collectors.model import Kind, MetricDef
from collectors.secret import redact
from daemon.moment import moment
from daemon.received.notice import NotANotice, Notice, problems_text, read
from daemon.received.store import Counts, Received, ReceivedStore, StoreFailed

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
_SHOW_SECONDS = 15.0


@dataclass(slots=True, eq=False)
class Desk(Collector):
    """One thread at a time writes; what is shown was read after the last write."""

    state_dir: Path
    clock: Callable[[], float] = time.time
    taken: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("new", "resolved", "repeated", "refused", "truncated"), 0)
    )
    notices: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("taken", "garbage", "not_stored"), 0)
    )
    _store: ReceivedStore = field(init=False)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: Sequence[Received] = ()

    def __post_init__(self) -> None:
        self._store = ReceivedStore(self.state_dir)

    async def open(self) -> None:
        """Open the store and read what is in it; a store that cannot be used is said, and tried again."""
        try:
            await asyncio.to_thread(self._store.open)
            await self._look()
        except StoreFailed as error:
            log.error("received.no_store", reason=str(error))  # noqa: TRY400 - the reason says it all

    async def close(self) -> None:
        """Close the store."""
        async with self._busy:
            await asyncio.to_thread(self._store.close)

    async def take(self, body: bytes, sender: str) -> tuple[Notice, Counts]:
        """Take a message; when this returns it is on disk. Raises NotANotice and StoreFailed."""
        try:
            notice = read(body)
        except NotANotice:
            self.notices["garbage"] += 1
            raise
        source = notice.external_url or sender
        async with self._busy:
            try:
                counts = await asyncio.to_thread(self._store.take, notice.alerts, source, self.clock())
                await self._look()
            except StoreFailed as error:
                self.notices["not_stored"] += 1
                log.error("received.not_stored", reason=str(error), alerts=len(notice.alerts))  # noqa: TRY400
                raise
        self._count(notice, counts, source)
        return notice, counts

    def shown(self) -> list[dict[str, Any]]:
        """Return received alerts that fire, in the shape of Prometheus' API."""
        now = self.clock()
        return [_shown(each) for each in self._known if _fires(each, now)]

    def collect(self) -> Iterator[Metric]:
        """Give what was taken as metrics."""
        now = self.clock()
        for metric, counted in ((TAKEN, self.taken), (NOTICES, self.notices)):
            family = Metric(metric.name.removesuffix("_total"), metric.help, "counter")
            for outcome, count in counted.items():
                family.add_sample(metric.name, {"outcome": outcome}, float(count))
            yield family
        firing = Metric(FIRING.name, FIRING.help, "gauge")
        firing.add_sample(FIRING.name, {}, float(sum(_fires(each, now) for each in self._known)))
        yield firing

    async def _look(self) -> None:
        self._known = await asyncio.to_thread(self._store.all, self.clock())

    def _count(self, notice: Notice, counts: Counts, source: str) -> None:
        self.notices["taken"] += 1
        for outcome, count in (
            ("new", counts.new),
            ("resolved", counts.resolved),
            ("repeated", counts.repeated),
            ("refused", len(notice.problems)),
            ("truncated", notice.truncated),
        ):
            self.taken[outcome] += count
        if notice.truncated:
            log.warning("received.truncated", source=source, left_out=notice.truncated, hint="set max_alerts")
        if notice.problems:
            log.warning("received.refused", source=source, problems=redact(problems_text(notice.problems)))


def _fires(each: Received, now: float) -> bool:
    ends_at = each.alert.ends_at
    return ends_at is None or ends_at > now


def _shown(each: Received) -> dict[str, Any]:
    return {
        "labels": dict(each.alert.labels),
        "annotations": dict(each.alert.annotations),
        "state": "firing",
        "activeAt": moment(each.alert.starts_at),
        "value": "",
        "source": "alertmanager",
        "fingerprint": each.alert.fingerprint,
        "generatorURL": each.alert.generator_url,
        "receivedFrom": each.source,
    }
