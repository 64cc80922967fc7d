"""One target under watch: its observer, its two lanes, and what is due when.

The server lane asks whether the server answers, then runs what is asked once per server. The
database lane visits the databases one after the other, so that 200 of them cost no more sessions than
two. This is the whole cycle: look, run what is due and may run, record.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from collectors.budget import Budget
from collectors.engine import AsksAhead, Observer
from collectors.model import Cost, Failure, Observation, ProbeInfo, Scope, Target, Up
from daemon.lane import Lane, Running
from daemon.selfmetrics import TargetNumbers
from daemon.snapshot import Snapshot

log = structlog.get_logger()
_ORDER = {Cost.LIGHT: 0, Cost.MEDIUM: 1, Cost.HEAVY: 2}
_EARLY = 0.1
"""A probe is due a tenth of a tick early: a tick that comes a little sooner must not cost a whole one."""
LINE_SECONDS = 60.0
_TOGETHER = 0.3
"""In a database that is being visited, one of several, a probe may come so much of its period early."""
_SPREAD = 0.1
"""Slow probes that are not light move by up to a tenth of their period: those of many targets drift apart."""
_SPREAD_TICKS = 0.5
"""A tenth of less than half a tick would move nothing but the tick that a probe waits for."""


@dataclass(slots=True)
class _Spoken:
    """What was last said about something, so that only changes are logged."""

    causes: dict[str, str] = field(default_factory=dict)
    line_at: float = float("-inf")
    kept_back: int = 0

    def too_much(self, now: float) -> bool:
        """Tell whether a line about a probe must wait: one a minute for each target, the rest is counted."""
        if now - self.line_at < LINE_SECONDS:
            self.kept_back += 1
            return True
        self.line_at = now
        return False

    def kept(self) -> dict[str, int]:
        """Return how many lines were kept back since the last one, for that line."""
        kept, self.kept_back = self.kept_back, 0
        return {"more_since_last_line": kept} if kept else {}

    def changed(self, what: str, cause: str, first: str = "") -> bool:
        before = self.causes.get(what, first)
        self.causes[what] = cause
        return before != cause


class Watch:
    """Keeps one target observed. Everything that goes wrong ends up in the snapshot."""

    def __init__(
        self,
        target: Target,
        observe: Callable[[], Observer],
        snapshot: Snapshot,
        numbers: TargetNumbers,
        rng: random.Random,
        settle_seconds: float = 0.0,
    ) -> None:
        """`settle_seconds` is the time over which slow probes are first run: not all of a fleet's at once."""
        self.target = target
        self.observer = observe()
        self.budget = Budget(target.database_seconds_per_minute, now=time.monotonic())
        self.last_up: Up | None = None
        self._identity = ""
        self._observe = observe
        self._snapshot = snapshot
        self._numbers = numbers
        self._rng = rng
        self._due: dict[tuple[str, str], float] = {}
        self._began = time.monotonic()
        self._settle_seconds = settle_seconds
        self._spoken = _Spoken()
        self._plan: Sequence[ProbeInfo] = ()
        self._in_order: dict[Scope, Sequence[ProbeInfo]] = {}
        """The plan by scope, light probes first."""
        self.lanes = self._new_lanes()

    def tick(self) -> None:
        """Start a cycle in each lane that has ended its last one."""
        for lane in self.lanes:
            if not lane.tick():
                running = lane.running
                self._snapshot.skip(self.target.name, running.probe if running else "", "busy")

    def replace(self) -> tuple[Observer, tuple[Lane, Lane]]:
        """Write off lanes that are stuck; return the old observer, to be closed, and lanes to be run."""
        old = self.observer
        for lane in self.lanes:
            lane.write_off()
        self._numbers.stuck = True
        self.observer = self._observe()
        self._due.clear()
        stuck, self.lanes = self.lanes, self._new_lanes()
        for before, lane in zip(stuck, self.lanes, strict=True):
            lane.finished_at = before.finished_at  # a new lane makes no data fresher
        return old, self.lanes

    async def close(self) -> None:
        """End the observer's sessions."""
        await self.observer.close()

    def _new_lanes(self) -> tuple[Lane, Lane]:
        return Lane("server", self._server_cycle), Lane("databases", self._database_cycle)

    async def _server_cycle(self, lane: Lane) -> None:
        observer = self.observer
        lane.running = Running("up", "", time.monotonic(), self.target.deadline_seconds)
        up = await observer.up()
        if lane.written_off():
            return
        self._looked(up)
        if not up.up:
            return
        self._numbers.stuck = False
        plan = observer.plan()
        if plan != self._plan:
            self._plan = plan
            self._in_order = {scope: _sorted(plan, scope) for scope in Scope}
            self._snapshot.keep_probes(self.target.name, [info.name for info in plan])
        self._snapshot.keep_databases(self.target.name, observer.databases())
        self._snapshot.reject(self.target.name, observer.rejections())
        await self._ask_ahead(lane, observer)
        for info in self._in_order[Scope.SERVER]:
            if self._is_due(info, "", time.monotonic()):
                await self._run(lane, observer, info, "")

    async def _ask_ahead(self, lane: Lane, observer: Observer) -> None:
        """Let an observer that can ask for the light probes of this cycle at once."""
        if not isinstance(observer, AsksAhead):
            return
        now = time.monotonic()
        light = [
            info for info in self._in_order[Scope.SERVER] if _together(info) and self._is_due(info, "", now)
        ]
        if light:
            within = max(info.within_seconds for info in light)
            lane.running = Running(light[0].name, "", now, within)
            await observer.ask_ahead([info.name for info in light])

    async def _database_cycle(self, lane: Lane) -> None:
        observer = self.observer
        if not self._is_up():
            return
        probes = self._in_order.get(Scope.DATABASE, ())
        databases = observer.databases() if probes else ()
        for database in databases:
            now = time.monotonic()
            if not any(self._is_due(info, database, now) for info in probes):
                continue
            # A visit costs a session: what is nearly due comes along, or every probe would be a visit.
            together = _TOGETHER if len(databases) > 1 else 0.0
            for info in probes:
                ahead = together * (info.every_seconds or self.target.interval_seconds)
                if not self._is_up():
                    return
                if self._is_due(info, database, time.monotonic() + ahead):
                    await self._run(lane, observer, info, database)

    def _is_up(self) -> bool:
        return self.last_up is not None and self.last_up.up

    def _is_due(self, info: ProbeInfo, database: str, now: float) -> bool:
        due = self._due.get((info.name, database))
        if due is None:
            due = self._first(info)
        return now + _EARLY * self.target.interval_seconds >= due

    def _first(self, info: ProbeInfo) -> float:
        """Return when a probe runs first, at the earliest; those of a database come in one visit."""
        if info.every_seconds <= self.target.interval_seconds:
            return 0.0
        what = info.name if info.scope is Scope.SERVER else ""
        if _together(info):
            what = f"every {info.every_seconds:g}"
        share = zlib.crc32(f"{self.target.name}/{what}".encode()) / 2**32
        return self._began + share * min(info.every_seconds, self._settle_seconds)

    async def _run(self, lane: Lane, observer: Observer, info: ProbeInfo, database: str) -> None:
        now = time.monotonic()
        if lane.written_off():
            return
        distress = self.last_up.distress if self.last_up else ""
        if refusal := self.budget.refusal(info.cost, now, distress):
            self._snapshot.skip(self.target.name, info.name, refusal)
            return
        lane.running = Running(info.name, database, now, info.within_seconds)
        due = self._due[info.name, database] = self._next(
            info, self._due.get((info.name, database), 0.0), now
        )
        self._snapshot.due(self.target.name, info.name, time.time() + due - now)
        try:
            observation = await observer.run(info.name, database)
        except Exception as error:
            log.exception("probe.broken", target=self.target.name, probe=info.name, database=database)
            observation = Observation(
                probe=info.name, database=database, at=time.time(), took_seconds=time.monotonic() - now,
                failure=Failure("internal", f"{type(error).__name__} in the probe {info.name}: see the log"),
            )  # fmt: skip
        if lane.written_off():
            return
        self.budget.spend(info.cost, observation.took_seconds, time.monotonic())
        self._note()
        self._snapshot.record(self.target.name, observation, info)
        self._say(observation)

    def _note(self) -> None:
        self._numbers.sessions = self.observer.sessions
        self._numbers.database_seconds_total = self.budget.spent_seconds_total
        self._numbers.budget_left_seconds = self.budget.left_seconds

    def _next(self, info: ProbeInfo, due: float, now: float) -> float:
        """Return when a probe that was due and runs now is due again.

        A pace that is no multiple of the interval is kept on the average: the time lost in waiting for a tick
        is not lost again and again.
        """
        tick = self.target.interval_seconds
        every = info.every_seconds or tick
        if every <= tick:
            return now + every / 2
        if _SPREAD * every >= _SPREAD_TICKS * tick and not _together(info):
            every *= 1 + self._rng.uniform(-_SPREAD, _SPREAD)
        return (due if 0 <= now - due < tick else now) + every

    def _looked(self, up: Up) -> None:
        before, self.last_up = self.last_up, up
        if self._identity and up.identity and self._identity != up.identity:
            log.info("target.restarted", target=self.target.name, identity=up.identity)
        self._identity = up.identity or self._identity
        if before is not None and before.role and up.role and before.role != up.role:
            log.warning("target.role_changed", target=self.target.name, was=before.role, role=up.role)
        self._note()
        self._snapshot.record_up(self.target.name, up)
        cause = up.failure.cause if up.failure else ""
        if up.up and (before is None or not before.up):
            self.lanes[1].tick()  # it has found nothing to do until now: not a whole interval more
        if self._spoken.changed("up", cause, first="unknown"):
            if up.failure:
                self._due.clear()  # what comes back may be another server: ask everything anew
                log.warning("target.down", target=self.target.name, cause=cause, reason=up.failure.message)
            else:
                log.info("target.up", target=self.target.name, role=up.role, version=up.version)
        if self._spoken.changed("distress", up.distress):
            log.info("target.distress", target=self.target.name, reason=up.distress or "over")

    def _say(self, observation: Observation) -> None:
        what = f"{observation.probe}/{observation.database}"
        cause = observation.failure.cause if observation.failure else ""
        if not self._spoken.changed(what, cause) or self._spoken.too_much(time.monotonic()):
            return
        place: dict[str, str | int] = {
            "target": self.target.name,
            "probe": observation.probe,
            "database": observation.database,
        }
        place |= self._spoken.kept()
        if observation.failure:
            log.warning("probe.failed", **place, cause=cause, reason=observation.failure.message)
        else:
            log.info("probe.works_again", **place)


def _together(info: ProbeInfo) -> bool:
    """Tell whether a probe keeps step with others of its pace, because they can be asked for at once."""
    return info.scope is Scope.SERVER and info.cost is Cost.LIGHT


def _sorted(plan: Iterable[ProbeInfo], scope: Scope) -> list[ProbeInfo]:
    return sorted((info for info in plan if info.scope is scope), key=lambda info: _ORDER[info.cost])
