"""A scratch pgBouncer in front of a scratch PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from actions.scratch.process import ServerProcess, tail

_TRIES = 5
_SEARCH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class ScratchPgbouncer:
    """A pool of our own on 127.0.0.1; `admin` may use its console, the database `pgbouncer`.

    `users` are further logins, name to password; they must exist on the server with the same password.
    """

    def __init__(
        self,
        server: ScratchPostgres,
        *,
        place: Place | None = None,
        name: str = "pgbouncer",
        pool_mode: str = "transaction",
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        deadline: float = 20.0,
    ) -> None:
        """Take `settings` for the section [pgbouncer]; `deadline` is in seconds, for each step."""
        self.server = server
        self.host = "127.0.0.1"
        self.port = 0
        self.admin = "pooladmin"
        self.password = secrets.token_urlsafe(18)
        self._given_place = place
        self._name = name
        self._users = {server.superuser: server.password, self.admin: self.password, **(users or {})}
        self._settings = {
            "pool_mode": pool_mode,
            "ignore_startup_parameters": "extra_float_digits",
            **(settings or {}),
        }
        self._deadline = deadline
        self._process: ServerProcess | None = None
        self._exit = contextlib.AsyncExitStack()
        self._place: Place
        self._room: Path

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as undo:
            if self._given_place is None:
                self._place = await undo.enter_async_context(scratch_place())
            else:
                self._place = self._given_place
            self._room = await asyncio.to_thread(self._place.room, self._name)
            undo.push_async_callback(self._leave)
            self.port = free_port()
            await self.start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<ScratchPgbouncer {self._name} on {self.host}:{self.port} for {self.server!r}>"

    def dsn(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """Return a URL for clients; for the database `pgbouncer` the console user's unless one is named."""
        who = user or (self.admin if database == "pgbouncer" else self.server.superuser)
        known = password or self._users.get(who, "")
        return (
            f"postgresql://{quote(who, safe='')}:{quote(known, safe='')}@{self.host}:{self.port}"
            f"/{quote(database, safe='')}"
        )

    async def start(self) -> None:
        """Start it and wait until it accepts connections; a taken port is picked anew."""
        program = shutil.which("pgbouncer", path=_SEARCH)
        if program is None:
            raise NotInstalled("pgbouncer is not on this machine; apt-get install pgbouncer")
        for attempt in range(_TRIES):
            await asyncio.to_thread(self._write_settings)
            self._process = await ServerProcess.start(
                program, self._room / "pgbouncer.ini",
                account=self._place.account, cwd=self._place.path, log=self._room / "log",
            )  # fmt: skip
            if await self._accepts(self._process):
                return
            if attempt == _TRIES - 1 or "ddress already in use" not in self._process.last_words():
                raise ScratchError(f"{self!r} did not start: {tail(self._room / 'log')}")
            self.port = free_port()

    async def stop(self) -> None:
        """Stop it at once."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop(signal.SIGTERM, self._deadline)

    async def kill(self) -> None:
        """`kill -9`."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()

    def pause(self) -> None:
        """Freeze it: it accepts connections and never answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let a paused one go on."""
        if self._process is not None:
            self._process.resume()

    async def _accepts(self, process: ServerProcess) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                while process.running:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(self.host, self.port)
                        writer.close()
                        await writer.wait_closed()
                        # Somebody else may be the one who answers there: ours has ended then.
                        return not await process.wait(0.05)
                    await asyncio.sleep(0.02)
        return False

    def _write_settings(self) -> None:
        settings = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self._room / "users.txt"),
            "admin_users": self.admin,
            **self._settings,
        }
        lines = [f"* = host={self.server.host} port={self.server.port}", "", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        self._place.write(self._room / "pgbouncer.ini", "\n".join(["[databases]", *lines, ""]))
        users = [f'"{_quoted(name)}" "{_quoted(password)}"\n' for name, password in self._users.items()]
        self._place.write(self._room / "users.txt", "".join(users))

    async def _leave(self) -> None:
        try:
            await self.stop()
        finally:
            await asyncio.to_thread(self._place.discard, self._name)


def _quoted(value: str) -> str:
    return value.replace('"', '""')
