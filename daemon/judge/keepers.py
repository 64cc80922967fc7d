"""Those who keep what the judge took in: the history on disk, and receivers far away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from prometheus_client import Metric
from prometheus_client.registry import Collector

from collectors.model import Kind, MetricDef
from daemon.config.judging import HistorySettings, TenantSettings
from daemon.history.errors import HistoryError
from daemon.history.keeping import History
from daemon.history.options import HistoryOptions
from daemon.history.remote import RemoteOptions
from daemon.history.remote_read import RemoteReader
from daemon.history.remote_write import QueueOptions, RemoteWriter
from daemon.history.sheets import Sheet
from daemon.history.store import Store
from daemon.judge.past import PastReader

log = structlog.get_logger()
NAMES_AT_ONCE = 500


def _of(name: str, kind: Kind, text: str, *labels: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"dbarchitect_{name}", kind=kind, help=text, labels=labels, unit=unit)


KEPT = _of("history_samples_total", Kind.COUNTER, "Samples that were written to the history.")
WRITTEN = _of("history_written_bytes_total", Kind.COUNTER, "Bytes written to the history.", unit="bytes")
LOST = _of("history_samples_lost_total", Kind.COUNTER, "Samples that the history lost, by reason.", "reason")
DAMAGED = _of("history_damaged_total", Kind.COUNTER, "Files and parts of files that could not be read.")
FAILING = _of("history_failing", Kind.GAUGE, "1 while the history cannot be written.")
UNSAVED = _of("history_unsaved_bytes", Kind.GAUGE, "Samples that wait to be written.", unit="bytes")
REMOTE_SENT = _of("remote_write_samples_total", Kind.COUNTER, "Samples that a receiver took.", "url")
REMOTE_LOST = _of(
    "remote_write_samples_lost_total", Kind.COUNTER, "Samples that were not sent, by reason.", "url", "reason"
)
REMOTE_QUEUED = _of("remote_write_samples_waiting", Kind.GAUGE, "Samples that wait to be sent.", "url")
REMOTE_FAILING = _of("remote_write_failing", Kind.GAUGE, "1 while a receiver does not take samples.", "url")
KEEPER_METRICS = (
    KEPT,
    WRITTEN,
    LOST,
    DAMAGED,
    FAILING,
    UNSAVED,
    REMOTE_SENT,
    REMOTE_LOST,
    REMOTE_QUEUED,
    REMOTE_FAILING,
)


class Keepers(Collector):
    """Opens, feeds and closes them. A history that cannot be opened is said; the daemon goes on without."""

    def __init__(self, settings: HistorySettings, state_dir: Path) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._remote_reader = RemoteReader(remote_options(settings.query)) if settings.query else None
        self._writers = [
            RemoteWriter(remote_options(each), QueueOptions(max_samples=each.queue_max))
            for each in settings.remote_write
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._unopened = False
        self.history: History | None = None

    @property
    def names_at_once(self) -> int:
        """Return how many metrics the reader is asked for in one question.

        Our own store goes through its blocks for each question; the answer of a far side is bounded.
        """
        return 1 if self._remote_reader is not None else NAMES_AT_ONCE

    @property
    def reader(self) -> PastReader | None:
        """Return the one who can be asked about the past."""
        return self._remote_reader or self.history

    async def open(self, tasks: asyncio.TaskGroup) -> None:
        """Open the history and begin to send."""
        if self._settings.enabled and self._remote_reader is None:
            try:
                store = await asyncio.to_thread(Store, self._state_dir, _options(self._settings))
            except HistoryError as error:
                self._unopened = True
                log.error("history.not_kept", reason=str(error))  # noqa: TRY400 - the reason says it all
            else:
                self.history = History(store)
                self._tasks.append(tasks.create_task(self.history.run()))
        self._tasks += [tasks.create_task(writer.run()) for writer in self._writers]

    def take(self, kept: Sequence[Sheet]) -> None:
        """Hand samples on; never waits."""
        for sheet in kept:
            if self.history is not None:
                self.history.append(*sheet)
            for writer in self._writers:
                writer.append(*sheet)

    async def close(self) -> None:
        """Write and send what waits, within a few seconds."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.TaskGroup() as closing:
            if self.history is not None:
                closing.create_task(self.history.close())
            for writer in self._writers:
                closing.create_task(writer.close())
            if self._remote_reader is not None:
                closing.create_task(self._remote_reader.close())
        self._tasks, self.history = [], None

    def collect(self) -> Iterator[Metric]:
        """Give what was kept and lost as metrics."""
        if self.history is not None:
            store = self.history.store
            yield _family(KEPT, [({}, store.counts.samples)])
            yield _family(WRITTEN, [({}, store.counts.written_bytes)])
            yield _family(LOST, [({"reason": reason}, count) for reason, count in store.counts.lost.items()])
            yield _family(DAMAGED, [({}, store.counts.damaged)])
            yield _family(UNSAVED, [({}, store.unsaved_bytes)])
        if self._settings.enabled and self._remote_reader is None:
            failing = self._unopened or bool(self.history and self.history.store.trouble)
            yield _family(FAILING, [({}, float(failing))])
        yield _family(REMOTE_SENT, [(self._url(place), each.sent) for place, each in self._numbered()])
        yield _family(
            REMOTE_LOST,
            [
                ({**self._url(place), "reason": reason}, count)
                for place, each in self._numbered()
                for reason, count in each.lost.items()
            ],
        )
        yield _family(REMOTE_QUEUED, [(self._url(place), each.queued) for place, each in self._numbered()])
        yield _family(
            REMOTE_FAILING,
            [(self._url(place), float(bool(each.trouble))) for place, each in self._numbered()],
        )

    def _numbered(self) -> Iterator[tuple[int, RemoteWriter]]:
        return enumerate(self._writers)

    def _url(self, place: int) -> dict[str, str]:
        return {"url": remote_options(self._settings.remote_write[place]).address}


def remote_options(settings: TenantSettings) -> RemoteOptions:
    """Return what the history's clients need to know of a service."""
    return RemoteOptions(
        url=settings.url,
        bearer_token=settings.bearer_token,
        user=settings.user,
        password=settings.password,
        ca_file=Path(settings.tls.ca_file) if settings.tls.ca_file else None,
        cert_file=Path(settings.tls.cert_file) if settings.tls.cert_file else None,
        key_file=Path(settings.tls.key_file) if settings.tls.key_file else None,
        insecure=settings.tls.insecure,
        tenant=settings.tenant,
        timeout_seconds=settings.timeout,
    )


def _options(settings: HistorySettings) -> HistoryOptions:
    return HistoryOptions(
        raw_ms=round(settings.raw * 1000),
        rollup_ms=round(settings.rollups * 1000),
        max_bytes=settings.size_max,
    )


def _family(metric: MetricDef, samples: Sequence[tuple[dict[str, str], float]]) -> Metric:
    counter = metric.kind is Kind.COUNTER
    family = Metric(metric.name.removesuffix("_total"), metric.help, "counter" if counter else "gauge")
    for labels, value in samples:
        family.add_sample(metric.name, labels, float(value))
    return family
