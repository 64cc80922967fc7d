"""The state directory belongs to one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class StateDirTaken(Exception):
    """Another daemon works in this state directory."""


class StateDirUnusable(Exception):
    """The state directory cannot be written."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """Hold the directory while the block runs; the lock ends with the process, however it ends."""
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(path / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StateDirUnusable(
            f"{path}: the state directory cannot be used: {error.strerror}; set daemon.state_dir to a folder "
            "that this user may write"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateDirTaken(
                f"{path}: another daemon (pid {owner}) works here; stop it, or give this one a "
                "daemon.state_dir of its own"
            ) from None
        with contextlib.suppress(
            OSError
        ):  # the pid is for people; a full disk must not keep us from watching
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield path
    finally:
        os.close(handle)
