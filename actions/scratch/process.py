"""Programs as the unprivileged user: short commands, and servers that end with everything they started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from actions.scratch.account import Account
from actions.scratch.errors import NotInstalled, ScratchError

MARK = "DBARCHITECT_SCRATCH"
"""Variable in the environment of every server: the directory it belongs to, so that leftovers are known."""

_LAST_WORDS = 2000


async def run(
    *argv: str | Path,
    account: Account,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    deadline: float = 60.0,
) -> str:
    """Run a command to its end and return what it wrote to standard output.

    Raises `ScratchError` with the end of its standard error when it fails or passes `deadline` seconds.
    """
    name = Path(argv[0]).name
    try:
        process = await asyncio.create_subprocess_exec(
            *account.command(*argv, signal_at_our_death="KILL"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=account.environment(env or {}),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise NotInstalled(f"{argv[0]} is not on this machine") from error
    try:
        async with asyncio.timeout(deadline):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise ScratchError(f"{name} did not end within {deadline:g} seconds") from error
    finally:
        if process.returncode is None:
            kill_tree(process.pid)
            await process.wait()
    if process.returncode != 0:
        said = err.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise ScratchError(f"{name} failed with code {process.returncode}: {said}")
    return out.decode(errors="replace")


class ServerProcess:
    """One running server with all processes it has started."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._seen = psutil.Process(process.pid)
        self._paused = False
        self.log = log

    @classmethod
    async def start(
        cls,
        *argv: str | Path,
        account: Account,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        signal_at_our_death: str = "KILL",
    ) -> ServerProcess:
        """Start a server in a session of its own (Ctrl-C in the terminal is ours alone), output to `log`.

        When we die without a chance to stop it, the kernel sends it `signal_at_our_death`.
        """
        with _appending(log) as out:
            process = await asyncio.create_subprocess_exec(
                *account.command(*argv, signal_at_our_death=signal_at_our_death),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=cwd,
                env=account.environment({**(env or {}), MARK: str(cwd)}),
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's first process lives (a paused one does)."""
        return self._process.returncode is None

    @property
    def code(self) -> int | None:
        """The first process's exit code, negative for a signal; None while it lives."""
        return self._process.returncode

    def listens(self, port: int) -> bool:
        """Tell whether it is the server's first process that listens on a TCP port."""
        try:
            ours = self._seen.net_connections("tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in ours)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server's first process; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self, deadline: float) -> bool:
        """Wait until the server has ended; return whether it did within `deadline` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await self._process.wait()
        return not self.running

    async def stop(self, number: signal.Signals, deadline: float) -> bool:
        """Ask the server to end; kill it after `deadline` seconds. Return whether it ended by itself."""
        tree = _tree(self._seen)
        self.resume()
        self.send(number)
        obeyed = await self.wait(deadline)
        if not obeyed:
            kill_tree(self.pid)
            await self._process.wait()
        await _until_gone(tree, patience=5.0)
        return obeyed

    async def kill(self) -> None:
        """Kill the first process (`kill -9`) and wait until no process of the server is left."""
        tree = _tree(self._seen)
        if self._paused:
            kill_tree(self.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await _until_gone(tree, patience=2.0)

    def pause(self) -> None:
        """Freeze every process of the server: it accepts connections and never answers."""
        self._paused = True
        # The first process goes first: it could start another while we count.
        self.send(signal.SIGSTOP)
        for process in _tree(self._seen):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let a paused server go on."""
        if not self._paused:
            return
        self._paused = False
        for process in reversed(_tree(self._seen)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def last_words(self) -> str:
        """Return the end of the server's log."""
        return tail(self.log)


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants at once."""
    try:
        first = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        first.suspend()
    for process in _tree(first):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def tail(log: Path) -> str:
    """Return the last lines of a log, or nothing when there is none."""
    try:
        return log.read_text(errors="replace")[-_LAST_WORDS:].strip()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _appending(log: Path) -> Iterator[int]:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _tree(first: psutil.Process) -> list[psutil.Process]:
    try:
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


async def _until_gone(tree: list[psutil.Process], patience: float) -> None:
    with contextlib.suppress(TimeoutError):
        await _all_gone(tree, patience)
    for process in filter(_lives, tree):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await _all_gone(tree, deadline=10.0)


async def _all_gone(tree: list[psutil.Process], deadline: float) -> None:
    async with asyncio.timeout(deadline):
        while any(map(_lives, tree)):  # noqa: ASYNC110 - the kernel tells nobody when another's child ends
            await asyncio.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        # Orphans of a killed server may stay zombies where the first process of a container reaps nobody.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
