"""How another terminal speaks to the running demo: a UNIX socket in its directory, one line each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from daemon.demo.breakage import Breakage
from daemon.demo.faults import FAULTS, CannotBreak
from daemon.demo.running import SOCKET, Running

_LONGEST_REQUEST = 4096


@contextlib.asynccontextmanager
async def controlled(room: Path, running: Running, breakage: Breakage) -> AsyncIterator[None]:
    """Listen in `room`, which nobody else can enter, for the time of the block."""
    control = _Control(running, breakage)
    path = room / SOCKET
    server = await asyncio.start_unix_server(control.serve, path, limit=_LONGEST_REQUEST)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


class _Control:
    def __init__(self, running: Running, breakage: Breakage) -> None:
        self._running = running
        self._breakage = breakage

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever asked may be gone before the answer; nobody is left to tell then.
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            request = json.loads(await reader.readline())
            try:
                answer = {"ok": True, **await self._answer(request)}
            except CannotBreak as error:
                answer = {"ok": False, "said": [str(error)]}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "break":
            return {"said": [await self._breakage.make(_known(request["what"]), request.get("seconds"))]}
        if request["do"] == "heal":
            return {"said": await self._heal(request.get("what"))}
        broken = [{"name": one.fault.name, "said": one.said} for one in self._breakage.broken]
        return {"demo": self._running.as_dict(), "broken": broken}

    async def _heal(self, what: str | None) -> list[str]:
        if what:
            return [await self._breakage.heal(_known(what))]
        # The newest first: what was broken on top of something else is repaired before it.
        names = [one.fault.name for one in reversed(self._breakage.broken)]
        return [await self._breakage.heal(name) for name in names] or ["nothing is broken"]


def _known(name: str) -> str:
    if name not in FAULTS:
        raise CannotBreak(f"there is no fault {name!r}")
    return name
