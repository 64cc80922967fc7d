"""Watches the machine that the daemon runs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from collectors.engine import Finding
from collectors.errors import CollectError, NotAllowed, NotSupported, TimedOut
from collectors.host import proc
from collectors.host.aside import Aside, Hanging
from collectors.host.mounts import filesystems, mounts, read_mountinfo
from collectors.host.options import HostOptions
from collectors.model import Failure, Frame, Observation, ProbeInfo, Rejection, Target, Up

T = TypeVar("T")


class HostObserver:
    """Watches one target; one call at a time."""

    def __init__(self, target: Target, infos: Sequence[ProbeInfo]) -> None:
        if not isinstance(target.options, HostOptions):
            raise TypeError("a host target needs HostOptions")
        self._target = target
        self._options = target.options
        self._infos = {info.name: info for info in infos}
        self._aside = Aside()
        self._asked_mounts = Aside()
        self._seen = False
        self._without: dict[str, str] = {}

    @property
    def sessions(self) -> int:
        """Return 0: files are read, and closed."""
        return 0

    async def up(self) -> Up:
        """Tell whether the host's /proc can be read."""
        try:
            identity = await self._read(proc.boot_id)
            version = await self._read(proc.release)
        except CollectError as error:
            return Up(up=False, at=time.time(), failure=Failure(error.cause, str(error)))
        self._seen = True
        return Up(up=True, at=time.time(), role="host", version=version, identity=identity)

    def plan(self) -> Sequence[ProbeInfo]:
        """Return the probes that this kernel can answer; empty before the first `up`."""
        if not self._seen:
            return ()
        return [info for info in self._infos.values() if info.name not in self._without]

    def rejections(self) -> Sequence[Rejection]:
        """Return what this kernel does not tell, and the mounts that hang."""
        whole = [Rejection(name, "", reason) for name, reason in self._without.items()]
        hanging = [
            Rejection(
                "filesystem", str(point), f"it hangs since {seconds:.0f} seconds and is left alone meanwhile"
            )
            for point, seconds in self._asked_mounts.hanging.items()
        ]
        return [*whole, *hanging]

    def databases(self) -> Sequence[str]:
        """Return nothing: a host has none."""
        return ()

    async def run(self, probe: str, database: str = "") -> Observation:
        """Run one probe."""
        begun = time.monotonic()
        frames: Sequence[Frame] = ()
        dropped, failure = 0, None
        info = self._infos.get(probe)
        if info is None or not self._seen:
            failure = Failure("unsupported", f"there is no probe {probe!r} on this host")
        else:
            try:
                frames = await self._filesystem(info) if probe == "filesystem" else await self._frames(info)
            except CollectError as error:
                failure = Failure(error.cause, str(error))
            frames, dropped = _capped(frames, info.rows_max)
            if probe == "pressure" and not frames and failure is None:
                self._without[probe] = f"the kernel has no {self._options.proc}/pressure"
        return Observation(
            probe=probe,
            database=database,
            at=time.time(),
            took_seconds=time.monotonic() - begun,
            frames=tuple(frames),
            failure=failure,
            dropped=dropped,
        )

    async def inspect(self) -> Sequence[Finding]:
        """Tell which figures this host gives."""
        up = await self.up()
        if up.failure:
            return [Finding("proc", "missing", up.failure.message, "set `proc` to where the host's /proc is")]
        found = [Finding("proc", "ok", f"{self._options.proc}, kernel {up.version}")]
        for name in self._infos:
            answer = await self.run(name)
            if answer.failure:
                found.append(Finding(name, "missing", answer.failure.message))
            else:
                found.append(Finding(name, "ok", f"{sum(map(len, answer.frames))} series"))
        found += [Finding(one.what or one.probe, "missing", one.reason) for one in self.rejections()]
        return found

    def ask_anew(self) -> None:
        """Nothing is remembered: each run looks afresh."""

    async def close(self) -> None:
        """Do nothing: there is no session, and a hanging thread cannot be ended."""

    async def _frames(self, info: ProbeInfo) -> list[Frame]:
        return await self._read(proc.READERS[info.name], within_seconds=info.within_seconds)

    async def _filesystem(self, info: ProbeInfo) -> list[Frame]:
        found = mounts(await self._read(read_mountinfo), self._options)
        return [await filesystems(found, self._options, self._asked_mounts, info.within_seconds)]

    async def _read(self, read: Callable[[HostOptions], T], within_seconds: float = 0.0) -> T:
        name = read.__name__
        within = within_seconds or self._target.deadline_seconds
        try:
            return await self._aside.call(name, partial(read, self._options), within)
        except Hanging as error:
            raise TimedOut(f"reading {self._options.proc} for {name} {error}") from None
        except PermissionError as error:
            raise NotAllowed(f"{error.filename} cannot be read: {error.strerror}") from None
        except OSError as error:
            raise NotSupported(f"{error.filename} cannot be read: {error.strerror}") from None
        except (ValueError, IndexError) as error:
            raise NotSupported(
                f"{self._options.proc}: what it says of {name} is not understood: {error}"
            ) from None


def _capped(frames: Sequence[Frame], rows_max: int) -> tuple[Sequence[Frame], int]:
    """Keep the first rows by name: a stable choice."""
    kept, dropped = [], 0
    for frame in frames:
        if len(frame.keys) > rows_max:
            rows = sorted(range(len(frame.keys)), key=frame.keys.__getitem__)[:rows_max]
            smaller = Frame(
                frame.metrics,
                [frame.keys[row] for row in rows],
                [[column[row] for row in rows] for column in frame.columns],
            )
            dropped += len(frame) - len(smaller)
            kept.append(smaller)
        else:
            kept.append(frame)
    return kept, dropped
