"""What scratch servers that answer HTTP have in common: a room, a free port, a start, several ways to end."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import shutil
import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import aiohttp

from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.process import ServerProcess, tail

_SEARCH = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin"
_TRIES = 5
_OK = 200


def program(name: str, package: str) -> str:
    """Return where a program is; raise NotInstalled with the package that brings it."""
    found = shutil.which(name, path=_SEARCH)
    if found is None:
        raise NotInstalled(f"{name} is not on this machine; apt-get install {package}")
    return found


class ScratchWebServer(abc.ABC):
    """A server of our own on 127.0.0.1, in a directory of its own, as an unprivileged user."""

    PROGRAM: ClassVar[str]
    PACKAGE: ClassVar[str]
    HEALTH: ClassVar[str]
    """The path that answers when it is ready."""
    HEALTHY: ClassVar[Collection[int]] = (_OK,)

    def __init__(self, *, place: Place | None, name: str, deadline: float, scheme: str = "http") -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._scheme = scheme
        self._given_place = place
        self._name = name
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
            # A certificate, where there is one, is not what is looked at here.
            connector = aiohttp.TCPConnector(ssl=False)
            self._http = await undo.enter_async_context(aiohttp.ClientSession(connector=connector))
            await asyncio.to_thread(self._write)
            await self._first_start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} on {self.url}>"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """The end of what it has to say."""
        return tail(self._room / "log")

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.running

    async def start(self) -> None:
        """Start it, also again at the same port with the same data; raises `ScratchError`."""
        self._process = await ServerProcess.start(
            program(self.PROGRAM, self.PACKAGE), *self._argv(),
            account=self._place.account, cwd=self._place.path, log=self._room / "log",
        )  # fmt: skip
        if not await self._ready(self._process):
            raise ScratchError(f"{self!r} did not start: {self.log}")

    async def end(self) -> None:
        """End it with SIGTERM; its data stay."""
        if self._process is not None:
            await self._process.stop(signal.SIGTERM, self._deadline)

    async def kill(self) -> None:
        """End it with SIGKILL; what is on disk stays."""
        if self._process is not None:
            await self._process.kill()

    def pause(self) -> None:
        """Freeze it: it accepts connections and never answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._process is not None:
            self._process.resume()

    def _write(self) -> None:  # noqa: B027 - some need no file
        """Write the files that it needs, before its first start."""

    @abc.abstractmethod
    def _argv(self) -> Sequence[str]:
        """Return the program's arguments for the room and the port as they are."""

    async def _first_start(self) -> None:
        for attempt in range(_TRIES):
            self.port = free_port()
            try:
                await self.start()
            except ScratchError:
                if attempt == _TRIES - 1 or "address already in use" not in self.log:
                    raise
            else:
                return

    async def _ready(self, process: ServerProcess) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                while process.running:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self._http.get(f"{self.url}{self.HEALTH}") as answer:
                            if answer.status in self.HEALTHY:
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
