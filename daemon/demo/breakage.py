"""What is broken in the running demo right now; each fault is held by a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from actions.scratch.errors import ScratchError
from daemon.demo.faults import FAULTS, CannotBreak, Fault
from daemon.demo.servers import Servers
from daemon.demo.workload import UNAVAILABLE

_MAKING_SECONDS = 60.0
_ENDING = "the demo is ending"


@dataclass(slots=True)
class Broken:
    """A fault that is being held."""

    fault: Fault
    since: float = field(default_factory=time.monotonic)
    """Monotonic seconds."""
    said: str = ""
    """What was done; empty while it is being done."""
    heal: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[str] | None = None


class Breakage:
    """Breaks and heals; its tasks belong to the demo's group and end with it."""

    def __init__(self, servers: Servers, group: asyncio.TaskGroup) -> None:
        self._servers = servers
        self._group = group
        self._broken: dict[str, Broken] = {}
        self._over = False

    @property
    def broken(self) -> tuple[Broken, ...]:
        """What is broken now, the oldest first."""
        return tuple(self._broken.values())

    async def make(self, name: str, seconds: float | None = None) -> str:
        """Break something, for so long or until it is healed; return what was done, raise `CannotBreak`."""
        if self._over:
            raise CannotBreak(_ENDING)
        if name in self._broken:
            raise CannotBreak(f"{name} is broken already; repair it with: dbarchitect demo heal {name}")
        one = self._broken[name] = Broken(FAULTS[name])
        made: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        one.task = self._group.create_task(self._hold(one, made, seconds))
        await asyncio.wait((made, one.task), return_when=asyncio.FIRST_COMPLETED)
        if not made.done():
            raise CannotBreak(_failure(one.task))
        return made.result()

    async def heal(self, name: str) -> str:
        """Repair one thing and return what was done; raise `CannotBreak` when that fails."""
        one = self._broken.get(name)
        if one is None or one.task is None:
            raise CannotBreak(f"{name} is not broken")
        one.heal.set()
        await asyncio.wait((one.task,))
        if failure := _failure(one.task):
            raise CannotBreak(failure)
        return f"{name} is healed"

    def let_go(self) -> None:
        """Cancel every fault, as the servers are about to go: only what would outlive them is undone.

        From then on nothing is broken any more: its task would keep the demo from ending.
        """
        self._over = True
        for one in self._broken.values():
            if one.task is not None:
                one.task.cancel()

    async def _hold(self, one: Broken, made: asyncio.Future[str], seconds: float | None) -> str:
        """Break, wait, heal; return why it could not be done or healed."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(_MAKING_SECONDS):
                    one.said = await stack.enter_async_context(one.fault.hold(self._servers))
                made.set_result(one.said)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await one.heal.wait()
        except (CannotBreak, ScratchError, ExceptionGroup, *UNAVAILABLE) as error:
            reason = str(error) if isinstance(error, CannotBreak) else f"{type(error).__name__}: {error}"
            return f"{one.fault.name} could not be healed: {reason}" if made.done() else reason
        finally:
            self._broken.pop(one.fault.name, None)
        return ""


def _failure(task: asyncio.Task[str]) -> str:
    # A fault's task is cancelled, or fails, only together with the demo.
    return _ENDING if task.cancelled() or task.exception() else task.result()
