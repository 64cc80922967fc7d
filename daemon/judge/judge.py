"""Evaluates rule groups over what was collected, each at its own interval.

Window, groups and alert state belong to one thread of their own: evaluating a large fleet takes a good
part of a second, and the event loop must not wait for it. The loop hands over notes of what changed and
gets back what was found.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple, Unpack

import structlog

from daemon.garbage import settle
from daemon.judge.bench import Bench, GroupKey, Verdict
from daemon.judge.feed import Notes, Reader
from daemon.judge.keepers import Keepers
from daemon.judge.past import past, remembered
from daemon.judge.saved import SavedAlerts
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from rules.model import ALERTS

log = structlog.get_logger()
SELF_SECONDS = 30.0
"""How often the daemon's own metrics are looked at for the rules."""
TRIM_SECONDS = 60.0
BROKEN_SECONDS = 5.0
"""A pause after a defect, so that it fills neither the log nor the processor."""
T = TypeVar("T")
Given = TypeVarTuple("Given")


@dataclass(slots=True)
class Pace:
    """When a group is due."""

    interval_seconds: float
    due_at: float
    missed: int = 0

    def next(self, now: float) -> None:
        """Set the next due time; evaluations that should have been by now are missed, and counted."""
        behind = math.floor((now - self.due_at) / self.interval_seconds)
        self.missed += max(0, behind)
        self.due_at += (max(0, behind) + 1) * self.interval_seconds


@dataclass(slots=True)
class Judged:
    """What stands after the newest evaluations; replaced as a whole, so readers see one moment."""

    at: float = 0.0
    """Unix time, seconds."""
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    """By the group's file and name."""
    window_samples: int = 0
    """Taken since the start."""
    window_bytes: int = 0
    broken: int = 0
    """Looks and evaluations that a defect of ours broke off."""


class Judge:
    """Runs the bench in its thread."""

    def __init__(
        self,
        bench: Bench,
        snapshot: Snapshot,
        selfmetrics: SelfMetrics,
        reader: Reader,
        saved: SavedAlerts,
        keepers: Keepers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bench = bench
        self._snapshot = snapshot
        self._selfmetrics = selfmetrics
        self._reader = reader
        self._saved = saved
        self._keepers = keepers
        self.tell: Callable[[Judged], None] | None = None
        """Gets each new state of things, on the event loop."""
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._paces: dict[tuple[str, str], Pace] = {}
        self._self_at = self._trim_at = float("-inf")
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()
        self._settled = False
        self.trouble = ""
        """Why what is shown cannot be relied on; empty while all is well."""
        self.judged = Judged()

    async def become(self, bench: Bench) -> None:
        """Judge by other rules from now on; alerts of rules that stayed go on."""
        async with self._busy:
            await self._in_thread(bench.inherit, self._bench, round(self._clock() * 1000))
            self._bench = bench
            self._paces = {}
        self._changed.set()

    async def run(self) -> None:
        """Judge until cancelled; alerts go on where they were when the daemon ended."""
        try:
            await self._guarded(lambda: self._resume(round(self._clock() * 1000)))
            while True:
                await self._wait()
                if not await self._guarded(lambda: self.cycle(self._clock())):
                    await asyncio.sleep(BROKEN_SECONDS)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do it; a defect in it ends neither the daemon nor what it watches. Tell whether all went well."""
        try:
            await work()
        except Exception:
            self.judged.broken += 1
            self.trouble = "rules: the last evaluation broke off; the log has the reason"
            log.exception("judge.broken")
            return False
        self.trouble = ""
        return True

    async def cycle(self, now: float) -> None:
        """Take in what changed and evaluate the groups that are due."""
        async with self._busy:
            due = self._due(now)
            notes = await self._look(now)
            trim = now - self._trim_at >= TRIM_SECONDS
            if trim:
                self._trim_at = now
            verdicts = await self._in_thread(self._judge, self._bench, notes, due, trim)
            self._keepers.take(self._bench.handed_on())
            for key in due:
                self._paces[key].next(self._clock())
            self._publish(now, verdicts)
            if due and not self._settled:
                # The names of all series have just been made, and stay.
                self._settled = True
                settle()

    def missed(self) -> dict[tuple[str, str], int]:
        """Return how many evaluations of each group were left out because others took too long."""
        return {key: pace.missed for key, pace in self._paces.items()}

    async def _resume(self, now_ms: int) -> None:
        reader = self._keepers.reader
        if reader is not None:
            found = await past(reader, self._bench.past_wanted(), now_ms, self._keepers.names_at_once)
            await self._in_thread(self._bench.load, found)
        exported, saved_ms = await self._in_thread(self._saved.load)
        if not exported and reader is not None:
            await self._in_thread(self._bench.remember, await remembered(reader, now_ms))
        try:
            await self._in_thread(self._bench.take, exported, saved_ms, now_ms)
        except ValueError as error:
            log.error("alerts.state_refused", file=str(self._saved.path), reason=str(error))  # noqa: TRY400

    def _judge(self, bench: Bench, notes: Notes, due: Sequence[GroupKey], trim: bool) -> list[Verdict]:
        verdicts = bench.judge(notes, due, trim)
        if verdicts:
            self._saved.save(bench.export(), notes.at_ms)
        return verdicts

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._rest(self._clock())):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _rest(self, now: float) -> float | None:
        """Return the seconds until there is something to do; None when that takes other rules."""
        if not self._paces:
            # Not looked at since the rules are these, or there are none: nobody needs what is collected.
            return 0.0 if self._bench.intervals() or not self.judged.at else None
        soonest = min(pace.due_at for pace in self._paces.values())
        return max(0.0, min(soonest - now, TRIM_SECONDS))

    def _due(self, now: float) -> list[tuple[str, str]]:
        intervals = self._bench.intervals()
        for key, seconds in intervals.items():
            # The clock may have been set back: nothing waits longer than its interval.
            if key not in self._paces or self._paces[key].due_at > now + seconds:
                self._paces[key] = Pace(seconds, now)
        return [key for key in intervals if self._paces[key].due_at <= now]

    async def _look(self, now: float) -> Notes:
        fresh = now - self._self_at >= SELF_SECONDS
        if fresh:
            self._self_at = now
            await self._selfmetrics.refresh(self._snapshot)
        notes = self._reader.look(round(now * 1000))
        if fresh:
            own = self._selfmetrics.process_samples()
            notes.own = [each for each in own if not each[0].name.startswith(ALERTS)]
        return notes

    def _publish(self, now: float, verdicts: Sequence[Verdict]) -> None:
        kept = {key: self.judged.verdicts[key] for key in self._paces if key in self.judged.verdicts}
        verdicts_by_key = kept | {verdict.key: verdict for verdict in verdicts}
        window = self._bench.window
        self.judged = Judged(now, verdicts_by_key, window.written, window.bytes, self.judged.broken)
        if self.tell is not None:
            self.tell(self.judged)

    async def _in_thread(self, work: Callable[[Unpack[Given]], T], *given: *Given) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
