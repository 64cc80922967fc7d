"""Runs a program to its end: no shell, a clean environment, bounded output, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Json
from collectors.secret import redact

CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
KEPT_BYTES = 2048
"""Of the beginning and of the end of what it writes."""
HANG_UP_SECONDS = 2.0
"""How long output may stay open after the program has ended, because something it started holds it."""
_GRACE_SECONDS = 2.0
_CHUNK = 65536
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL)


@dataclass(slots=True)
class Output:
    """What was written: the beginning, the end, and how much in all."""

    total: int = 0
    head: bytes = b""
    tail: bytes = b""

    def add(self, data: bytes) -> None:
        """Take some more."""
        self.total += len(data)
        room = KEPT_BYTES - len(self.head)
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-KEPT_BYTES:]

    @property
    def text(self) -> str:
        """Return it as printable text without secrets; says how much was left out."""
        left_out = self.total - len(self.head) - len(self.tail)
        if left_out <= 0:
            return _readable(self.head + self.tail)
        # Cut between words: half a secret would not be known as one.
        head = self.head.rpartition(b"\n")[0] or self.head.rpartition(b" ")[0]
        tail = self.tail.partition(b"\n")[2] or self.tail.partition(b" ")[2]
        left_out = self.total - len(head) - len(tail)
        return f"{_readable(head)}\n[{left_out} bytes left out]\n{_readable(tail)}"


@dataclass(slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Exit code; negative for the signal that killed it."""
    out: Output = field(default_factory=Output)
    err: Output = field(default_factory=Output)
    left_behind: bool = False
    """Something it had started still held its output, and was killed with its process group."""

    @property
    def evidence(self) -> dict[str, Json]:
        """Return what the journal keeps."""
        found: dict[str, Json] = {"exit_code": self.code}
        for name, output in (("stdout", self.out), ("stderr", self.err)):
            if output.total:
                found[name] = output.text
                found[f"{name}_bytes"] = output.total
        if self.left_behind:
            found["left_behind"] = True
        return found

    @property
    def words(self) -> str:
        """Return exit code and last line for a message."""
        how = f"exit code {self.code}" if self.code >= 0 else f"killed by {signal.Signals(-self.code).name}"
        lines = (self.err.text.strip() or self.out.text.strip()).splitlines()
        return f"{how}: {lines[-1][:500]}" if lines else how


async def run(
    argv: Sequence[str],
    *,
    within: float,
    environment: Mapping[str, str] | None = None,
    directory: str = "/",
) -> Ended:
    """Run it; raise NotDone when it could not be started, OutcomeUnknown when it did not end in time.

    Whatever ends the wait, also a cancellation, kills its whole process group.
    """
    ended = Ended(code=0)
    async with _reading(ended.out) as (out, out_read), _reading(ended.err) as (err, err_read):
        process = await _start(argv, {**CLEAN, **(environment or {})}, directory, out, err)
        for end in (out, err):
            os.close(end)
        try:
            async with asyncio.timeout(within):
                ended.code = await process.wait()
        except TimeoutError:
            raise OutcomeUnknown(
                f"{argv[0]} did not end within {within:g} s; it was killed, and how far it came is not known"
            ) from None
        finally:
            if process.returncode is None:
                await _kill(process)
        for one in (out_read, err_read):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HANG_UP_SECONDS):
                    await one.wait()
        ended.left_behind = not (out_read.is_set() and err_read.is_set())
        if ended.left_behind:
            _signal(process.pid, signal.SIGKILL)
    return ended


async def _start(
    argv: Sequence[str], environment: Mapping[str, str], directory: str, out: int, err: int
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        for end in (out, err):
            os.close(end)
        raise NotDone(f"{argv[0]} could not be started in {directory}: {error}") from None


class _Reader(asyncio.Protocol):
    """Keeps a little of what comes, and says when the last writer has hung up."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._output.add(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.ended.set()


@contextlib.asynccontextmanager
async def _reading(output: Output) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Give the end to write to, which the caller closes, and an event that is set when all have closed it.

    A pipe of our own: the one of asyncio stays open as long as any descendant holds it.
    """
    ours, theirs = os.pipe()
    loop = asyncio.get_running_loop()
    transport, reader = await loop.connect_read_pipe(lambda: _Reader(output), os.fdopen(ours, "rb", _CHUNK))
    try:
        yield theirs, reader.ended
    finally:
        transport.close()


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the whole group: asked first, then killed."""
    _signal(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        # The first process may have ended while others of its group go on.
        _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _readable(data: bytes) -> str:
    text = _ESCAPES.sub("", data.decode(errors="replace"))
    printable = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    return redact(printable)
