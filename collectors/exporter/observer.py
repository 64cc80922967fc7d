"""Watches one exporter: a scrape each interval, which also answers whether it is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from collectors.engine import Finding
from collectors.errors import CollectError, NotSupported, TimedOut
from collectors.exporter.catalogue import OWN, SCRAPE
from collectors.exporter.client import Client
from collectors.exporter.options import ExporterOptions
from collectors.exporter.text import NotMetrics, Scrape, parse
from collectors.keep import Keeper
from collectors.model import (
    Failure,
    Frame,
    LabelValues,
    MetricDef,
    Observation,
    ProbeInfo,
    Rejection,
    Target,
    Up,
)

_OURS = frozenset({"target", "cluster"})


@dataclass(slots=True)
class _Got:
    scrape: Scrape
    at: float
    took_seconds: float
    size: int


class ExporterObserver:
    """Watches one target; one call at a time."""

    def __init__(self, target: Target, info: ProbeInfo) -> None:
        if not isinstance(target.options, ExporterOptions):
            raise TypeError("an exporter target needs ExporterOptions")
        self._target = target
        self._options = target.options
        self._within = target.options.timeout or target.deadline_seconds
        self._info = replace(info, within_seconds=self._within)
        self._client = Client(target.options)
        self._ours = _OURS | {name for name, _ in target.labels}
        # Room is kept for what tells how much was left out, and for whether it answers.
        room = max(1, target.series_max - len(OWN) - 1)
        self._keeper: Keeper[tuple[str, tuple[str, ...], LabelValues]] = Keeper(room)
        self._fresh: _Got | None = None
        self._metrics: dict[MetricDef, MetricDef] = {}
        self._seen = False
        self._left_out = 0

    @property
    def sessions(self) -> int:
        """Return 1 while a connection may be kept, else 0."""
        return int(self._client.connected)

    async def up(self) -> Up:
        """Scrape; the next `run` gives what came, so that the exporter is asked once."""
        self._fresh = None
        try:
            self._fresh = await self._scrape()
        except CollectError as error:
            return Up(up=False, at=time.time(), failure=Failure(error.cause, str(error)))
        self._seen = True
        return Up(
            up=True, at=self._fresh.at, role="exporter", details={"series": str(self._fresh.scrape.series)}
        )

    def plan(self) -> Sequence[ProbeInfo]:
        """Return the one probe; nothing before the first `up`."""
        wanted = self._target.wants(self._info.name, by_default=True)
        return (self._info,) if self._seen and wanted else ()

    def rejections(self) -> Sequence[Rejection]:
        """Tell of samples that cannot be exported."""
        if not self._left_out:
            return ()
        why = f"{self._left_out} samples have a name that cannot be exported, or come twice"
        return (Rejection(self._info.name, "samples", why),)

    def databases(self) -> Sequence[str]:
        """Return nothing: an exporter has none."""
        return ()

    async def run(self, probe: str, database: str = "") -> Observation:
        """Give what `up` has just fetched, or scrape anew."""
        begun = time.monotonic()
        observation = Observation(probe=probe, database=database, at=time.time(), took_seconds=0.0)
        got, self._fresh = self._fresh, None
        try:
            if probe != self._info.name:
                raise NotSupported(f"{self._options.address}: there is no probe {probe!r} here")
            if got is None or time.time() - got.at > self._target.interval_seconds:
                got = await self._scrape()
        except CollectError as error:
            observation.failure = Failure(error.cause, str(error))
            observation.took_seconds = time.monotonic() - begun
            return observation
        frames, dropped = self._capped(got.scrape.frames)
        own = Frame(OWN, [()], [[got.took_seconds], [got.size], [got.scrape.series], [dropped]])
        observation.frames = (*self._interned(frames), own)
        observation.dropped = dropped
        observation.at, observation.took_seconds = got.at, got.took_seconds
        return observation

    async def inspect(self) -> Sequence[Finding]:
        """Tell whether the exporter answers, and with how much."""
        up = await self.up()
        if up.failure:
            return [Finding("reachable", "missing", up.failure.message)]
        series = int(up.details["series"])
        found = [Finding("reachable", "ok", self._options.address), Finding("series", "ok", str(series))]
        if series > self._keeper.most:
            found.append(
                Finding(
                    "series",
                    "missing",
                    f"{series - self._keeper.most} are over the cap",
                    "use keep, drop or series_max",
                )
            )
        if self._options.tls.insecure:
            found.append(Finding("tls", "missing", "the certificate is not looked at", "set tls.ca_file"))
        return found

    def ask_anew(self) -> None:
        """Nothing is remembered: each scrape asks afresh."""

    async def close(self) -> None:
        """End the connection."""
        self._fresh = None
        await self._client.close()

    async def _scrape(self) -> _Got:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._within):
                answer = await self._client.get()
                # Seconds of reading for the largest bodies: not on the loop.
                scrape = await asyncio.to_thread(
                    parse, answer.body, open_metrics=answer.open_metrics, takes=self._takes, rename=self._ours
                )
        except TimeoutError:
            raise TimedOut(f"{self._options.address}: no answer within {self._within:g} seconds") from None
        except NotMetrics as error:
            raise NotSupported(f"{self._options.address}: {error}") from None
        self._left_out = scrape.left_out
        return _Got(scrape, time.time(), time.monotonic() - begun, len(answer.body))

    def _takes(self, name: str) -> bool:
        if name in SCRAPE:
            return False
        options = self._options
        return any(fnmatchcase(name, one) for one in options.keep) and not any(
            fnmatchcase(name, one) for one in options.drop
        )

    def _capped(self, frames: list[Frame]) -> tuple[list[Frame], int]:
        total = sum(len(frame.keys) for frame in frames)
        if total <= self._keeper.most:
            return frames, 0
        every = [
            (frame.metrics[0].name, frame.metrics[0].labels, key) for frame in frames for key in frame.keys
        ]
        kept = self._keeper.choose(every, [0.0] * len(every))
        smaller = []
        for frame in frames:
            metric = frame.metrics[0]
            rows = [row for row, key in enumerate(frame.keys) if (metric.name, metric.labels, key) in kept]
            if rows:
                column = frame.columns[0]
                smaller.append(
                    Frame(frame.metrics, [frame.keys[row] for row in rows], [[column[row] for row in rows]])
                )
        return smaller, total - len(kept)

    def _interned(self, frames: list[Frame]) -> list[Frame]:
        """Give each metric the object that it had last time, so that others can know it by that."""
        before, self._metrics = self._metrics, {}
        for frame in frames:
            (metric,) = frame.metrics
            known = self._metrics[metric] = before.get(metric, metric)
            frame.metrics = (known,)
        return frames
