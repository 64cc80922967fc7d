"""Watches one pgBouncer through one kept session on its admin console."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from collectors.backoff import Backoff
from collectors.engine import Finding
from collectors.errors import BadCredentials, CollectError, NotSupported, TimedOut, Unreachable
from collectors.keep import Keeper
from collectors.model import (
    Failure,
    Frame,
    LabelValues,
    Observation,
    ProbeInfo,
    Rejection,
    Target,
    Up,
)
from collectors.pgbouncer.client import Console
from collectors.pgbouncer.options import PgbouncerOptions
from collectors.pgbouncer.read import read
from collectors.pgbouncer.tables import SHOWS, Show

WITHIN_SECONDS = 2.0


class PgbouncerObserver:
    """Watches one target; one call at a time."""

    def __init__(self, target: Target, infos: Sequence[ProbeInfo]) -> None:
        if not isinstance(target.options, PgbouncerOptions):
            raise TypeError("a pgbouncer target needs PgbouncerOptions")
        self._target = target
        self._options = target.options
        self._infos = {info.name: info for info in infos}
        self._shows = {show.name: show for show in SHOWS if target.wants(show.name, show.default)}
        self._console: Console | None = None
        self._identity = ""
        self._version = ""
        self._backoff = Backoff()
        self._last = Failure("unreachable", "not asked yet")
        self._gone: dict[str, str] = {}
        self._missing: dict[str, tuple[str, ...]] = {}
        self._keepers: dict[str, Keeper[LabelValues]] = {}

    @property
    def sessions(self) -> int:
        """Return 1 while there is a session, else 0."""
        return int(self._console is not None and not self._console.closed)

    async def up(self) -> Up:
        """Ask for the version, connecting first if there is no session."""
        try:
            async with asyncio.timeout(self._target.deadline_seconds):
                console = await self._session()
                table = await console.show("VERSION")
            self._version = _version(table.rows[0][0] if table.rows and table.rows[0] else "")
        except (CollectError, TimeoutError) as error:
            return Up(up=False, at=time.time(), failure=self._failed(error), version=self._version)
        return Up(
            up=True,
            at=time.time(),
            role="pooler",
            version=self._version,
            identity=self._identity,
            details={"tls": "on" if console.encrypted else "off"},
        )

    def plan(self) -> Sequence[ProbeInfo]:
        """Return the commands that this pgBouncer has; empty before the first `up`."""
        if not self._identity:
            return ()
        return [self._infos[name] for name in self._shows if name not in self._gone]

    def rejections(self) -> Sequence[Rejection]:
        """Return the commands and columns that this pgBouncer does not have."""
        whole = [Rejection(name, "", reason) for name, reason in self._gone.items()]
        single = [
            Rejection(name, metric, "this pgBouncer has no such column")
            for name, metrics in self._missing.items()
            for metric in metrics
        ]
        return [*whole, *single]

    def databases(self) -> Sequence[str]:
        """Return nothing: the console knows all databases."""
        return ()

    async def run(self, probe: str, database: str = "") -> Observation:
        """Ask one command of the console."""
        begun = time.monotonic()
        frames: tuple[Frame, ...] = ()
        dropped, failure = 0, None
        show, info = self._shows.get(probe), self._infos.get(probe)
        if show is None or info is None or not self._identity or probe in self._gone:
            failure = Failure("unsupported", f"{self._options.address}: there is no probe {probe!r} here")
        else:
            try:
                async with asyncio.timeout(info.within_seconds):
                    frame, dropped = await self._ask(show, info.rows_max)
                frames = (frame,)
            except (CollectError, TimeoutError) as error:
                failure = self._failed(error, show)
        return Observation(
            probe=probe,
            database=database,
            at=time.time(),
            took_seconds=time.monotonic() - begun,
            frames=frames,
            failure=failure,
            dropped=dropped,
        )

    async def inspect(self) -> Sequence[Finding]:
        """Tell what works here and what does not."""
        up = await self.up()
        if up.failure:
            return [Finding("reachable", "missing", up.failure.message)]
        tls = up.details.get("tls", "")
        found = [
            Finding("version", "ok", up.version),
            Finding("tls", "ok" if tls == "on" else "info", f"TLS is {tls}"),
        ]
        for name, show in self._shows.items():
            answer = await self.run(name)
            state, detail = "ok", show.help
            if answer.failure:
                # A command that this version does not know is nothing to mend.
                state = "info" if answer.failure.cause == "unsupported" else "missing"
                detail = answer.failure.message
            found.append(Finding(f"SHOW {show.command}", state, detail))
        return found

    def ask_anew(self) -> None:
        """Try commands again that the console did not know."""
        self._gone.clear()
        self._missing.clear()

    async def close(self) -> None:
        """End the session."""
        console, self._console = self._console, None
        if console is not None:
            await console.close()

    async def _session(self) -> Console:
        if self._console is not None and not self._console.closed:
            return self._console
        if not self._backoff.ready(time.monotonic()):
            raise _again(self._last)
        await self.close()
        try:
            self._console = await Console.open(self._options)
        except (CollectError, TimeoutError, asyncio.CancelledError) as error:
            self._backoff.failed(time.monotonic(), refused=isinstance(error, BadCredentials))
            raise
        self._backoff.succeeded()
        self._gone.clear()
        self._missing.clear()
        # Its counters live in its process: a restart ends our session.
        self._identity = f"{self._options.address}/{time.time():.3f}"
        return self._console

    async def _ask(self, show: Show, rows_max: int) -> tuple[Frame, int]:
        if self._console is None or self._console.closed:
            raise Unreachable(f"{self._options.address}: there is no session")
        table = await self._console.show(show.command)
        frame, missing = read(show, table)
        self._missing[show.name] = tuple(metric.name for metric in missing)
        return _capped(frame, self._keepers.setdefault(show.name, Keeper(rows_max)))

    def _failed(self, error: CollectError | TimeoutError, show: Show | None = None) -> Failure:
        if isinstance(error, TimeoutError):
            error = TimedOut(f"{self._options.address}: no answer within the deadline")
            if self._console is not None:
                self._console.abort()
        if show is not None and isinstance(error, NotSupported):
            self._gone[show.name] = f"this pgBouncer has no SHOW {show.command}"
        failure = Failure(error.cause, str(error))
        if show is None:
            self._last = failure
        return failure


def _again(last: Failure) -> CollectError:
    error = CollectError(last.message)
    error.cause = last.cause
    return error


def _version(text: str | None) -> str:
    return (text or "").removeprefix("PgBouncer ").strip()


def _capped(frame: Frame, keeper: Keeper[LabelValues]) -> tuple[Frame, int]:
    ranks = [float(number or 0) for number in frame.columns[0]] if frame.columns else []
    if len(frame.keys) <= keeper.most or not ranks:
        return frame, 0
    kept = keeper.choose(frame.keys, ranks)
    rows = [row for row, key in enumerate(frame.keys) if key in kept]
    smaller = Frame(
        frame.metrics,
        [frame.keys[row] for row in rows],
        [[column[row] for row in rows] for column in frame.columns],
    )
    return smaller, (len(frame.keys) - len(rows)) * len(frame.metrics)
