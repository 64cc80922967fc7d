"""A scratch PostgreSQL: made, started, hurt, cloned and removed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from actions.scratch.binaries import Binaries, within_reach
from actions.scratch.errors import ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.process import ServerProcess, run, tail

_DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    # Files in the data directory: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
    "wal_level": "logical",
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
}
_SETTINGS_FILE = "scratch.conf"
_STATUS_LINE = 7
_TRIES = 5
_STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "smart": signal.SIGTERM}


class ScratchPostgres:
    """A server of our own on 127.0.0.1, with a superuser `postgres` and a random password.

    `async with ScratchPostgres(binaries) as server:` makes it, starts it and removes it. Everything may raise
    `ScratchError`, whose message carries the end of the server's log.
    """

    def __init__(
        self,
        binaries: Binaries,
        *,
        place: Place | None = None,
        name: str = "main",
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        deadline: float = 60.0,
        initdb: tuple[str, ...] = (),
        source: tuple[ScratchPostgres, str | None] | None = None,
    ) -> None:
        """`deadline` is in seconds, for each step; `port` is picked when it is not given."""
        self.binaries = binaries
        self.name = name
        self.host = "127.0.0.1"
        self.port = port or 0
        self.superuser = "postgres"
        self.password: str = source[0].password if source else secrets.token_urlsafe(18)
        self.settings: dict[str, str] = {
            **_DEFAULTS,
            **(source[0].settings if source else {}),
            **(settings or {}),
        }
        self._given_place = place
        self._given_port = port
        self._deadline = deadline
        self._initdb = initdb
        self._source = source
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
            self.binaries = await within_reach(self.binaries, self._place)
            self._room = await asyncio.to_thread(self._place.room, self.name)
            undo.push_async_callback(self._leave)
            self.port = self._given_port or free_port()
            await (self._clone() if self._source else self._initialise())
            await self.start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<ScratchPostgres {self.name} {self.binaries.version} on {self.host}:{self.port}>"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._room / "data"

    @property
    def socket_directory(self) -> Path:
        """Where its Unix socket is; whoever can enter needs no password."""
        return self._room

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._room / "log"

    @property
    def pid(self) -> int:
        """The postmaster's process id; raises `ScratchError` when the server is down."""
        return self._alive().pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.running

    def dsn(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """Return a URL for clients; the superuser's when no user is named."""
        who = user or self.superuser
        known = self.password if user is None and password is None else password
        login = quote(who, safe="") + (f":{quote(known, safe='')}" if known else "")
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    async def start(self) -> None:
        """Start the server and wait until it accepts connections; a taken port is picked anew."""
        for attempt in range(_TRIES):
            await self._write_settings()
            try:
                await self._start()
            except ScratchError as error:
                taken = "could not bind" in str(error) or "Address already in use" in str(error)
                if not taken or self._given_port or attempt == _TRIES - 1:
                    raise
                self.port = free_port()
            else:
                return

    async def stop(self, mode: Literal["fast", "immediate", "smart"] = "fast") -> None:
        """Stop the server; one that does not end within the deadline is killed, and that is an error."""
        process, self._process = self._process, None
        if process is not None and not await process.stop(_STOPS[mode], self._deadline):
            raise ScratchError(
                f"{self!r} had to be killed: {mode} shutdown took over {self._deadline:g} seconds"
            )

    async def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Stop and start, with some settings changed."""
        self.settings.update(settings or {})
        await self.stop()
        await self.start()

    async def reload(self, settings: Mapping[str, str] | None = None) -> None:
        """Change settings while it runs."""
        self.settings.update(settings or {})
        await self._write_settings()
        self._alive().send(signal.SIGHUP)

    async def kill(self) -> None:
        """`kill -9` the postmaster and wait until all its processes are gone; `start` recovers it."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()

    def pause(self) -> None:
        """Freeze all its processes: it accepts connections and never answers."""
        self._alive().pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._alive().resume()

    def replica(
        self, name: str = "replica", *, slot: str | None = None, settings: Mapping[str, str] | None = None
    ) -> ScratchPostgres:
        """Return a streaming replica to enter with `async with`; `slot` is made on this server for it."""
        return ScratchPostgres(
            self.binaries,
            place=self._place,
            name=name,
            settings=settings,
            deadline=self._deadline,
            source=(self, slot),
        )

    async def promote(self) -> None:
        """Make a replica a primary and wait until it is."""
        await self.psql(f"SELECT pg_promote(true, {int(self._deadline)})")

    async def psql(self, sql: str, database: str = "postgres", *, user: str | None = None) -> str:
        """Run SQL and return the rows, unaligned, fields separated by `|`. Never on a command line."""
        said = await self._run(
            "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.socket_directory), "-p", str(self.port),
            "-U", user or self.superuser, "-d", database, "-f", "-", stdin=sql,
        )  # fmt: skip
        return said.strip()

    async def put(self, name: str, text: str) -> Path:
        """Write a file into the data directory (certificates, pg_hba.conf), readable by the server alone."""
        path = self.data / name
        await asyncio.to_thread(self._place.write, path, text)
        return path

    async def _initialise(self) -> None:
        secret = self._room / "pw"
        await asyncio.to_thread(self._place.write, secret, self.password + "\n")
        await self._run(
            "initdb", "-D", str(self.data), "-U", self.superuser, f"--pwfile={secret}", "--auth-local=trust",
            "--auth-host=scram-sha-256", "--no-sync", "--no-locale", "-E", "UTF8", *self._initdb,
        )  # fmt: skip
        await asyncio.to_thread(secret.unlink)
        await asyncio.to_thread(self._include_settings)

    async def _clone(self) -> None:
        if self._source is None:
            raise ScratchError("only a replica is cloned")
        primary, slot = self._source
        options = ["-C", "-S", slot] if slot else []
        await self._run(
            "pg_basebackup", "-D", str(self.data), "-h", primary.host, "-p", str(primary.port),
            "-U", primary.superuser, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-w", *options,
            env={"PGPASSWORD": primary.password, "PGAPPNAME": self.name},
        )  # fmt: skip

    async def _start(self) -> None:
        self._process = await ServerProcess.start(
            self.binaries.bindir / "postgres", "-D", self.data,
            account=self._place.account, cwd=self._place.path, log=self.log,
            env=self.binaries.environment, signal_at_our_death="QUIT",
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._deadline):
                while not self._accepts():
                    if not self._process.running:
                        raise ScratchError(f"{self!r} ended while it started: {tail(self.log)}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            await self.kill()
            raise ScratchError(
                f"{self!r} did not start within {self._deadline:g} seconds: {tail(self.log)}"
            ) from error

    def _accepts(self) -> bool:
        # What pg_ctl -w reads: the eighth line of the pid file tells how far the postmaster is.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= _STATUS_LINE or int(lines[0]) != self.pid:
            return False
        wanted = "standby" if self.settings.get("hot_standby") == "off" and self._source else "ready"
        return lines[_STATUS_LINE].strip() == wanted

    async def _run(
        self, program: str, *argv: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> str:
        return await run(
            self.binaries.bindir / program, *argv,
            account=self._place.account, cwd=self._place.path, stdin=stdin, deadline=self._deadline,
            env={**self.binaries.environment, **(env or {})},
        )  # fmt: skip

    async def _write_settings(self) -> None:
        ours = {"port": str(self.port), "unix_socket_directories": str(self.socket_directory)}
        lines = [f"{key} = '{_quoted(value)}'\n" for key, value in {**self.settings, **ours}.items()]
        await self.put(_SETTINGS_FILE, "".join(lines))

    def _include_settings(self) -> None:
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude '{_SETTINGS_FILE}'\n")

    def _alive(self) -> ServerProcess:
        if self._process is None:
            raise ScratchError(f"{self!r} is not running")
        return self._process

    async def _leave(self) -> None:
        try:
            await self.stop("immediate")
        finally:
            await asyncio.to_thread(self._place.discard, self.name)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


@contextlib.asynccontextmanager
async def primary_and_replica(
    binaries: Binaries, *, place: Place, name: str = "pair", settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[ScratchPostgres, ScratchPostgres]]:
    """Give a primary and its streaming replica, which uses the slot `replica`."""
    async with (
        ScratchPostgres(binaries, place=place, name=name, settings=settings) as primary,
        primary.replica(f"{name}-r", slot="replica") as replica,
    ):
        yield primary, replica
