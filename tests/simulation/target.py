"""A server for simulations: statements run on its side, whatever becomes of who sent them."""

# ruff: noqa: ARG002 - the ports have these arguments
from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from actions.action import Evidence, Operation, ReadBack, Work
from actions.errors import Fenced, NotDone, OutcomeUnknown
from actions.model import Identity, StepKind
from actions.ports import ActingSession, Tag
from tests.simulation.process import Process

IDENTITY = Identity(system="7300000000000000001", timeline=1, role="primary", database="shop", database_id=5)
NOTICES_SECONDS = 5.0
"""When a server notices at the latest that the client of a running statement is gone."""


@dataclass(slots=True, eq=False)
class Job:
    """A statement that runs on the server."""

    work: Work
    undo: bool
    reply: asyncio.Future[str]
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Backend:
    """The server's side of a session."""

    tag: Tag
    process: Process
    alive: bool = True
    job: Job | None = None
    scope: str = ""


@dataclass(slots=True, kw_only=True)
class Faults:
    """How often what goes wrong, 0 to 1."""

    refuses: float = 0.0
    busy: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    slow: float = 0.0
    cancel_lost: float = 0.0
    clean_fails: float = 0.0


@dataclass(slots=True)
class Target:
    """One server. `on_begin` and `on_land` are told of each effect."""

    name: str
    chance: random.Random
    on_begin: Callable[[Target, Backend, Work, bool], None]
    on_land: Callable[[Target, Backend, Work, bool], None]
    on_fault: Callable[[str], None]
    faults: Faults = field(default_factory=Faults)
    reachable: bool = True
    fencing: bool = True
    backends: list[Backend] = field(default_factory=list)
    standing: dict[tuple[str, int], int] = field(default_factory=dict)
    """Net effects by (execution, step)."""
    size: float = 100.0

    def kill(self, backend: Backend) -> None:
        """End a backend: what it runs is rolled back, what it holds is free."""
        backend.alive = False
        if backend.job is not None:
            if backend.job.timer:
                backend.job.timer.cancel()
            if not backend.job.reply.done():
                backend.job.reply.set_result("gone")
            backend.job = None
        if backend in self.backends:
            self.backends.remove(backend)

    def begin(self, backend: Backend, work: Work, *, undo: bool) -> Job:
        """Run a statement; it lands later, if its backend lives so long."""
        loop = asyncio.get_running_loop()
        self.on_begin(self, backend, work, undo)
        seconds = self.chance.uniform(0.001, 2.0)
        if self.chance.random() < self.faults.slow:
            self.on_fault("slow effect")
            seconds = self.chance.uniform(5.0, 45.0)
        job = Job(work, undo, loop.create_future())
        backend.job = job
        job.timer = loop.call_later(seconds, self._land, backend, job)
        return job

    def leave(self, backend: Backend) -> None:
        """Let a client be gone without a word: the server notices sooner or later."""
        seconds = self.chance.uniform(0.0, NOTICES_SECONDS if self.reachable else 120.0)
        asyncio.get_running_loop().call_later(seconds, self.kill, backend)

    def _land(self, backend: Backend, job: Job) -> None:
        backend.job = None
        self.on_land(self, backend, job.work, job.undo)
        if not job.reply.done():
            job.reply.set_result("done")


class Session(ActingSession):
    """A client's side."""

    def __init__(self, target: Target, backend: Backend) -> None:
        self.target = target
        self.backend = backend

    async def identity(self) -> Identity:
        await self._trip()
        return IDENTITY

    async def fence(self, scope: str, within_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), False
        while True:
            await self._trip()
            mine = self.backend.tag
            others = [each for each in self.target.backends if each is not self.backend]
            if not self.target.fencing:
                return
            if any(each.tag.epoch > mine.epoch for each in others):
                raise Fenced("a newer epoch is at work")
            holders = [each for each in others if each.scope == scope]
            if not holders:
                self.backend.scope = scope
                return
            if loop.time() - began >= within_seconds:
                raise Fenced(f"{scope} is held")
            if loop.time() - began >= within_seconds / 2 and not ended:
                ended = True
                for each in holders:
                    if each.tag.epoch < mine.epoch or each.tag == mine:
                        loop.call_later(self.target.chance.uniform(0, 1), self.target.kill, each)
            await asyncio.sleep(0.5)

    async def fenced(self) -> bool:
        await self._trip()
        return bool(self.backend.scope) or not self.target.fencing

    async def look(self) -> dict[str, float]:
        """Read something."""
        await self._trip()
        return {"size": self.target.size}

    async def effect(self, work: Work, *, undo: bool = False) -> Evidence:
        """Have an effect, or fail as things fail."""
        self._there()
        faults, chance = self.target.faults, self.target.chance
        for again, share in ((False, faults.refuses), (True, faults.busy)):
            if chance.random() < share:
                self.target.on_fault("refused")
                raise NotDone("the target says no", again=again)
        if chance.random() < faults.request_lost:
            self.target.on_fault("request lost")
            self.target.leave(self.backend)
            raise OutcomeUnknown("the connection was lost")
        job = self.target.begin(self.backend, work, undo=undo)
        if chance.random() < faults.answer_lost:
            self.target.on_fault("answer lost")
            await asyncio.sleep(chance.uniform(0, 3))
            self.target.leave(self.backend)
            raise OutcomeUnknown("the connection was lost")
        return await self._answer(job)

    async def _answer(self, job: Job) -> Evidence:
        try:
            said = await asyncio.shield(job.reply)
        except asyncio.CancelledError:
            if self.target.reachable and self.target.chance.random() >= self.target.faults.cancel_lost:
                self.target.kill(self.backend)
            else:
                self.target.on_fault("cancel lost")
            raise
        if said != "done" or not self.target.reachable:
            raise OutcomeUnknown("the connection was lost")
        return {"done": True}

    async def _trip(self) -> None:
        self._there()
        await asyncio.sleep(self.target.chance.uniform(0.0, 0.02))
        self._there()

    def _there(self) -> None:
        self.backend.process.check()
        if not self.target.reachable or not self.backend.alive:
            raise OutcomeUnknown("the session is gone")


class Hands:
    """Opens sessions for one process."""

    def __init__(self, targets: dict[str, Target], process: Process) -> None:
        self._targets = targets
        self._process = process

    @asynccontextmanager
    async def open(self, target: str, database: str, tag: Tag) -> AsyncIterator[Session]:
        self._process.check()
        there = self._targets[target]
        if not there.reachable:
            await asyncio.sleep(there.chance.uniform(0, 10))
            raise NotDone(f"{target} cannot be reached", again=True)
        backend = Backend(tag, self._process)
        there.backends.append(backend)
        try:
            yield Session(there, backend)
        finally:
            gone = self._process.dead or backend.job is not None
            if gone or not there.reachable:
                there.leave(backend)
            else:
                there.kill(backend)


async def _read_back(work: Work) -> ReadBack:
    session: Session = work.session
    await session.look()
    count = session.target.standing.get((work.execution, work.plan.steps.index(work.step)), 0)
    return ReadBack(answer="done" if count else "not_done", evidence={"count": count})


async def _clean(work: Work) -> Evidence:
    session: Session = work.session
    await session.look()
    if session.target.chance.random() < session.target.faults.clean_fails:
        raise NotDone("debris is held by somebody")
    return {"cleaned": True}


async def _capture(work: Work) -> Evidence:
    return await work.session.look()  # type: ignore[no-any-return]


async def _perform(work: Work) -> Evidence:
    if work.step.kind is StepKind.READ:
        return await work.session.look()  # type: ignore[no-any-return]
    return await work.session.effect(work)  # type: ignore[no-any-return]


async def _undo(work: Work) -> Evidence:
    return await work.session.effect(work, undo=True)  # type: ignore[no-any-return]


OPERATIONS: dict[str, Any] = {
    "tell": Operation(perform=_perform, capture=_capture, read_back=_read_back, clean=_clean, undo=_undo),
    "mute": Operation(perform=_perform, capture=_capture, undo=_undo),
}
"""`tell`: the target can be asked what became of it."""
