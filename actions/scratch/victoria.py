"""A scratch VictoriaMetrics: takes samples by remote write, answers queries, and can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.process import ServerProcess, tail

_SEARCH = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin"
_TRIES = 5


class ScratchVictoria:
    """A VictoriaMetrics of our own on 127.0.0.1."""

    def __init__(
        self,
        *,
        place: Place | None = None,
        name: str = "victoria",
        flags: Sequence[str] = (),
        deadline: float = 30.0,
    ) -> None:
        """Give `flags` to the program; `deadline` is in seconds, for each step."""
        self.host = "127.0.0.1"
        self.port = 0
        self._given_place = place
        self._name = name
        self._flags = tuple(flags)
        self._deadline = deadline
        self._process: ServerProcess | None = None
        self._exit = contextlib.AsyncExitStack()
        self._place: Place
        self._room: Path
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as undo:
            if self._given_place is None:
                self._place = await undo.enter_async_context(scratch_place())
            else:
                self._place = self._given_place
            self._room = await asyncio.to_thread(self._place.room, self._name)
            undo.push_async_callback(self._leave)
            self._http = await undo.enter_async_context(aiohttp.ClientSession())
            await self._first_start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<ScratchVictoria {self._name} on {self.url}>"

    @property
    def url(self) -> str:
        """Where it answers queries, and takes samples at `/api/v1/write`."""
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.running

    async def flush(self) -> None:
        """Let queries see what was written up to now."""
        async with self._http.get(f"{self.url}/internal/force_flush") as answer:
            answer.raise_for_status()

    async def kill(self) -> None:
        """End it with SIGKILL; its data stay."""
        if self._process is not None:
            await self._process.kill()

    async def start(self) -> None:
        """Start it again, at the same port with the same data; raises `ScratchError`."""
        program = shutil.which("victoria-metrics", path=_SEARCH)
        if program is None:
            raise NotInstalled("victoria-metrics is not on this machine; apt-get install victoria-metrics")
        self._process = await ServerProcess.start(
            program, f"-storageDataPath={self._room}/data", f"-httpListenAddr={self.host}:{self.port}",
            "-loggerLevel=WARN", "-memory.allowedBytes=64MB", *self._flags,
            account=self._place.account, cwd=self._place.path, log=self._room / "log",
        )  # fmt: skip
        if not await self._ready(self._process):
            raise ScratchError(f"{self!r} did not start: {tail(self._room / 'log')}")

    async def _first_start(self) -> None:
        for attempt in range(_TRIES):
            self.port = free_port()
            try:
                await self.start()
            except ScratchError:
                if attempt == _TRIES - 1 or "address already in use" not in tail(self._room / "log"):
                    raise
            else:
                return

    async def _ready(self, process: ServerProcess) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                while process.running:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self._http.get(f"{self.url}/health") as answer:
                            if answer.status == 200:  # noqa: PLR2004 - OK
                                return True
                    await asyncio.sleep(0.05)
        return False

    async def _leave(self) -> None:
        process, self._process = self._process, None
        try:
            if process is not None:
                await process.stop(signal.SIGTERM, self._deadline)
        finally:
            await asyncio.to_thread(self._place.discard, self._name)
