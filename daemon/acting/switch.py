"""The kill switch: a file, a flag in the store, the API, a command, or SIGUSR1; only a person takes it back.

Whatever cannot be read means stopped. What stopped us is kept as a flag in the store: it outlives restarts.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog

from actions.errors import ActError
from actions.model import Record, RecordKind
from actions.ports import Stop, Store
from daemon.acting.steady import SteadyClock

log = structlog.get_logger()
STOP_FILE = "/run/dbarchitect/STOP"
EVERY_SECONDS = 1.0
KNOWN_SECONDS = 4.0
"""What was read longer ago is not known any more: a stop takes effect within five seconds in any case."""
ANSWER_SECONDS = 3.0
WAKE_SECONDS = 0.5
TEST_AGAIN_SECONDS = 10.0


class KillSwitch:
    """Tells whether anything may be done, at any moment and without waiting."""

    def __init__(self, store: Store, clock: SteadyClock, file: Path = Path(STOP_FILE)) -> None:
        self._store = store
        self._clock = clock
        self._file = file
        self._flags: Sequence[Stop] = ()
        self._read_at = float("-inf")
        self._trouble = "the store was not read yet"
        self._unsaved: list[Stop] = []
        """Stopped already, but not yet in the store."""
        self._broken = "the self-test has not run yet"
        self._said = ""

    @property
    def file(self) -> Path:
        """Return the path of the stop file."""
        return self._file

    def stopped(self, target: str = "", action: str = "") -> str:
        """Return why nothing may be done, or an empty string."""
        if self._broken:
            return self._broken
        if why := self.file_there():
            return why
        for flag in (*self._unsaved, *self._flags):
            if flag.target in ("", target) and flag.action in ("", action):
                return _said(flag)
        if self._clock.monotonic() - self._read_at > KNOWN_SECONDS:
            return f"the store's stop flags cannot be read: {self._trouble}"
        return ""

    async def wait(self, target: str = "", action: str = "") -> str:
        """Return the reason as soon as it is stopped."""
        while not (why := self.stopped(target, action)):  # noqa: ASYNC110 - a file sends no events
            await asyncio.sleep(WAKE_SECONDS)
        return why

    def flags(self) -> Sequence[Stop]:
        """Return the flags that are set, as last read."""
        return (*self._unsaved, *self._flags)

    def press(self, by: str, why: str) -> None:
        """Stop everything at once; it is written to the store as soon as that can be done."""
        if not any(flag.by == by and not flag.target and not flag.action for flag in self.flags()):
            self._unsaved.append(Stop(by=by, why=why, at=self._clock.now()))
            log.warning("actions.stopped", by=by, reason=why)

    async def run(self, owner: str) -> None:
        """Read the file and the flags each second until cancelled; a failed self-test is tried again."""
        tested_at = float("-inf")
        while True:
            if self._broken and self._clock.monotonic() - tested_at >= TEST_AGAIN_SECONDS:
                tested_at = self._clock.monotonic()
                await self.selftest(owner)
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Read the file and the flags once, and write what is not in the store yet."""
        if _seen(self._file)[0]:
            self.press(f"file:{self._file}", "the stop file was there")
        sent = self._clock.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._save()
                self._flags = await self._store.stops()
        except TimeoutError:
            self._trouble = f"no answer within {ANSWER_SECONDS:g} s"
        except ActError as error:
            self._trouble = str(error)
        else:
            self._read_at, self._trouble = sent, ""
        self._tell()

    async def selftest(self, owner: str) -> str:
        """Try the file and the flag for real; return what does not work. Stopped until all of it did."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._broken = _file_works() or await self._flag_works(owner)
        except (ActError, TimeoutError, OSError) as error:
            why = str(error) or f"no answer within {ANSWER_SECONDS:g} s"
            self._broken = f"the kill switch failed its self-test: {why}"
        if self._broken:
            log.error("actions.switch_broken", reason=self._broken)
        return self._broken

    async def _flag_works(self, owner: str) -> str:
        flag = Stop(target=f"selftest/{owner}", by="selftest", why="self-test", at=self._clock.now())
        note = Record(kind=RecordKind.STOP, body={"event": "selftest", "target": flag.target})
        await self._store.stop(flag, note)
        there = any(each.target == flag.target for each in await self._store.stops())
        await self._store.resume(flag, Record(kind=RecordKind.RELEASE, body=note.body))
        gone = all(each.target != flag.target for each in await self._store.stops())
        return (
            ""
            if there and gone
            else "the kill switch failed its self-test: a flag in the store had no effect"
        )

    async def _save(self) -> None:
        while self._unsaved:
            flag = self._unsaved[0]
            if not any(each.by == flag.by and not each.target for each in self._flags):
                await self._store.stop(flag, stop_record(flag))
            self._flags = (*self._flags, flag)
            self._unsaved.remove(flag)

    def file_there(self) -> str:
        """Return what is wrong with the stop file: it is there, or cannot be looked for."""
        there, trouble = _seen(self._file)
        if trouble:
            return f"the stop file {self._file} cannot be looked for: {trouble}"
        return f"the stop file {self._file} is there" if there else ""

    def _tell(self) -> None:
        why = self.stopped()
        if why != self._said:
            self._said = why
            if why:
                log.warning("actions.disabled", reason=why)
            else:
                log.info("actions.enabled")


def stop_record(flag: Stop) -> Record:
    """Return the journal's record of a flag that is set."""
    body = {"event": "stop", "target": flag.target, "action": flag.action, "why": flag.why}
    return Record(kind=RecordKind.STOP, body=body, who=flag.by)


def _said(flag: Stop) -> str:
    what = " ".join(
        filter(None, [flag.target and f"target {flag.target}", flag.action and f"action {flag.action}"])
    )
    return f"{what or 'all actions'} stopped by {flag.by or 'somebody'}" + (
        f": {flag.why}" if flag.why else ""
    )


def _seen(file: Path) -> tuple[bool, str]:
    """Tell whether a file is there, whatever it is, and why that cannot be told."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False, ""
    except OSError as error:
        return False, error.strerror or type(error).__name__
    return True, ""


def _file_works() -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "STOP"
        before = _seen(file)
        file.touch()
        if (before, _seen(file)) == ((False, ""), (True, "")):
            return ""
    return "the kill switch failed its self-test: a stop file cannot be seen"
