"""A private directory for scratch servers, that is removed whatever happens to us."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from actions.scratch.account import Account
from actions.scratch.errors import ScratchError
from actions.scratch.process import MARK, kill_tree

PREFIX = "dbarch-"
_OWNER = "owner"
_LONGEST_BASE = 50
"""Paths of Unix sockets end at 107 bytes; below this base ours need at most 50 more."""


class Place:
    """A directory that only we list, and in it rooms that the servers' user owns."""

    def __init__(self, path: Path, account: Account) -> None:
        self.path = path
        self.account = account
        self.copying = asyncio.Lock()
        """Held while an installation is copied into here: servers may be made side by side."""
        self._maker = os.getpid()
        atexit.register(self.remove)

    @classmethod
    def make(cls, base: Path | None = None) -> Place:
        """Make a new directory, in `base` or where temporary files go; raises `ScratchError`."""
        account = Account.current()
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base(account, base)))
        # The servers' user has to pass through, and needs to see nothing.
        path.chmod(0o711)
        (path / _OWNER).write_text(_signature(psutil.Process()))
        return cls(path, account)

    def room(self, name: str) -> Path:
        """Return the directory `name`, made for the servers' user alone."""
        path = self.path / name
        try:
            path.mkdir(mode=0o700)
        except FileExistsError as error:
            raise ScratchError(
                f"{self.path} has a server named {name} already: give this one another"
            ) from error
        self.account.give(path)
        return path

    def write(self, path: Path, text: str) -> None:
        """Write a file for the servers' user alone to read, as programs demand of keys and passwords."""
        # We may be root in a directory of somebody else: a link put there must not lead us away.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            os.fchmod(handle, 0o600)
            if self.account.switch:
                os.fchown(handle, self.account.uid, self.account.gid)
            file.write(text)

    def discard(self, name: str) -> None:
        """Delete one room with everything in it; its server has been stopped."""
        _clear_room(self.path / name)

    def remove(self) -> None:
        """Kill what still runs in here and delete everything; doing it twice is fine."""
        if self._maker == os.getpid():
            _clear(self.path)
            atexit.unregister(self.remove)


@contextlib.asynccontextmanager
async def scratch_place(base: Path | None = None) -> AsyncIterator[Place]:
    """Give a private directory for the time of the block, after clearing what killed runs have left.

    It is made in `base`, or where temporary files go.
    """
    await asyncio.to_thread(reap_stale, base)
    place = await asyncio.to_thread(Place.make, base)
    try:
        yield place
    finally:
        await asyncio.shield(asyncio.to_thread(place.remove))


def reap_stale(base: Path | None = None) -> list[Path]:
    """Remove directories of runs that ended without a chance to do it, in `base` too; return which."""
    bases = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")}  # noqa: S108 - only ours are touched
    if base:
        bases.add(base)
    found = [path for base in bases for path in base.glob(f"{PREFIX}*")]
    stale = [path for path in found if _is_stale(path)]
    for path in stale:
        _clear(path)
    return stale


def _base(account: Account, given: Path | None) -> str:
    if given:
        _check_base(account, given)
        return str(given)
    # Some desktops and CI systems give each user a TMPDIR that is deep or closed to others.
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes it private
        path = Path(base)
        if (
            len(base) <= _LONGEST_BASE
            and path.is_dir()
            and os.access(path, os.W_OK)
            and account.may_pass(path)
        ):
            return base
    raise ScratchError(
        f"no directory for temporary files that user {account.name} may enter: set TMPDIR to a short path "
        "whose directories are open to it (mode 711 or more)"
    )


def _check_base(account: Account, path: Path) -> None:
    how = "name another directory, or none at all"
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ScratchError(f"{path} is no directory that we may write to: {how}")
    if len(str(path)) > _LONGEST_BASE:
        raise ScratchError(f"{path} is too long for Unix sockets in it ({_LONGEST_BASE} bytes): {how}")
    if not account.may_pass(path):
        raise ScratchError(f"user {account.name}, whom the servers run as, may not enter {path}: {how}")


def _signature(process: psutil.Process) -> str:
    # Process ids come back, and another container may share the directory but not the numbers.
    return f"{process.pid} {process.create_time()} {Path('/proc/self/ns/pid').readlink()}\n"


def _is_stale(path: Path) -> bool:
    try:
        status = path.lstat()
        if status.st_uid != os.geteuid() or path.is_symlink() or not path.is_dir():
            return False
        owner = path / _OWNER
        if not owner.exists():
            return time.time() - status.st_mtime > 60  # noqa: PLR2004 - seconds: it may just be in the making
        pid, started, space = owner.read_text().split()
        if space != str(Path("/proc/self/ns/pid").readlink()):
            return False
        return _signature(psutil.Process(int(pid))).split()[1] != started
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError):
        return False


def _clear(path: Path) -> None:
    _unmount_within(path)
    for room in path.glob("*/"):
        _clear_room(room)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(path):
                kill_tree(process.pid)
    shutil.rmtree(path, ignore_errors=True)


def _unmount_within(path: Path) -> None:
    """Take away the small disks that a killed run has left mounted; only root has made any."""
    if os.geteuid() != 0:
        return
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mounted in mounts:
        if mounted.startswith(f"{path}/"):
            subprocess.run(["umount", "-l", mounted], check=False, capture_output=True)  # noqa: S603, S607


def _clear_room(room: Path) -> None:
    _end_postgres(room / "data" / "postmaster.pid")
    shutil.rmtree(room, ignore_errors=True)


def _end_postgres(pid_file: Path) -> None:
    """Kill a server that was left, and free the shared memory that a killed one cannot free itself."""
    try:
        lines = pid_file.read_text().splitlines()
        pid = abs(int(lines[0]))  # negative is a server of one process, as initdb runs it
    except (OSError, ValueError, IndexError):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        if str(pid_file.parent) in psutil.Process(pid).cmdline():
            kill_tree(pid)
    _free_memory(lines[6].split() if len(lines) > 6 else [])  # noqa: PLR2004 - its 7th line: key and id


def _free_memory(key_and_id: list[str]) -> None:
    ipcrm = shutil.which("ipcrm")
    segments = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    # Columns: key, id, rights, size, creator, last user, number attached. Ids are used again: compare all.
    if ipcrm and any(words[:2] == key_and_id and words[6] == "0" for words in segments):
        subprocess.run([ipcrm, "-m", key_and_id[1]], check=False, capture_output=True)  # noqa: S603
