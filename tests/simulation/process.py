"""A process among others on one event loop: it can be frozen, and killed at any await as by kill -9."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any

_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)
_STUBBORN = 100


class Killed(BaseException):
    """Nothing of this process runs any more."""


class Process:
    """What runs in it is whatever its first task begins, and all tasks that come of that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self._frozen = False
        self._gates: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._main: asyncio.Task[None] | None = None

    @property
    def frozen(self) -> bool:
        """Tell whether it is stopped, as by SIGSTOP."""
        return self._frozen and not self.dead

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in it."""
        token = _CURRENT.set(self)
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        finally:
            _CURRENT.reset(token)
        self._main = self._main or task
        return task

    def freeze(self) -> None:
        """Let nothing of it run until `thaw`."""
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on; it finds that time has passed."""
        self._frozen = False
        gates, self._gates = self._gates, []
        for gate in gates:
            if not gate.done():
                gate.set_result(None)

    def kill(self) -> None:
        """End it here and now; what it is about to clean up stays as it is."""
        self.dead = True
        for task in list(self._tasks):
            task.cancel()
        self.thaw()

    def check(self) -> None:
        """Raise Killed when it is dead: everything that reaches outside asks this first."""
        if self.dead:
            raise Killed(self.name)

    def hold(self, task: asyncio.Task[Any]) -> None:
        """Know a task as one of its own."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Tell it to end, as by SIGTERM."""
        if self._main is not None:
            self._main.cancel()

    def gate(self) -> asyncio.Future[None]:
        """Return what a frozen task waits for."""
        gate = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        return gate


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop's tasks belong to the process that makes them."""
    loop.set_task_factory(_make)


def _make(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None) -> asyncio.Task[Any]:
    process = _CURRENT.get()
    if process is None:
        return asyncio.Task(coroutine, loop=loop, context=context)
    task = asyncio.Task(_inside(coroutine, process), loop=loop, context=context)
    process.hold(task)
    return task


async def _inside(coroutine: Coroutine[Any, Any, Any], process: Process) -> Any:
    try:
        return await _Steps(coroutine, process)
    except Killed:
        return None


class _Steps:
    """Goes through a coroutine step by step, and looks before each whether its process lives."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], process: Process) -> None:
        self._coroutine = coroutine
        self._process = process

    def __await__(self) -> Generator[Any, None, Any]:
        error: BaseException | None = None
        while True:
            while self._process.frozen:
                try:
                    yield from self._process.gate()
                except asyncio.CancelledError as cancelled:
                    error = cancelled
            if self._process.dead:
                return self._bury()
            try:
                waits_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as done:
                return done.value
            error = None
            if not self._process.dead:
                try:
                    yield waits_for
                except GeneratorExit:
                    raise
                except BaseException as thrown:
                    error = thrown

    def _bury(self) -> None:
        """End the coroutine: each await of its cleaning up fails at once."""
        for _ in range(_STUBBORN):
            try:
                self._coroutine.throw(Killed(self._process.name))
            except (StopIteration, Killed, asyncio.CancelledError):
                return
        raise AssertionError(f"{self._process.name}: something does not die")
