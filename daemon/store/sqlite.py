"""A store in one SQLite file: of this user alone, of one daemon at a time, on disk at every commit."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, QueuePool, StaticPool

from actions.errors import StoreUnavailable
from daemon.store.options import Part, StoreOptions
from daemon.store.runner import READING, Door, Inline
from daemon.store.threaded import Threaded

_THREADS = 4


class FileLock:
    """Tells other daemons that this file is in use; it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raise StoreUnavailable that names who has it."""
        # Beside the file and not on it: to close it would take SQLite's own locks away.
        lock = path.with_name(path.name + ".lock")
        try:
            self._handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise StoreUnavailable(
                f"{path}: another daemon (pid {owner}) works with this file; stop it, or give this one "
                "a file of its own"
            ) from None
        # It is held, also where the disk has no room for whose it is.
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._handle)


def make_file(path: Path) -> None:
    """Make an empty file of this user's alone, unless it is there; raise StoreUnavailable."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unusable(path, error) from None


def open_file(options: StoreOptions, part: Part, *, inline: bool) -> Door:
    """Return the way to a file that is there, or to a new database in memory."""
    name = ":memory:" if options.path is None else f"file:{quote(str(options.path.absolute()))}"
    query = {} if options.path is None else {"uri": "true", "mode": "ro" if part is Part.READER else "rw"}
    more: dict[str, Any] = {"connect_args": {"timeout": options.wait_seconds, "check_same_thread": False}}
    if inline or options.path is None:
        # One connection, always the same: nothing depends on threads or on chance.
        engine = sa.create_engine(
            URL.create("sqlite+pysqlite", database=name, query=query), poolclass=StaticPool, **more
        )
        _prepare(engine, part)
        return Inline(engine)
    engine = sa.create_engine(
        URL.create("sqlite+pysqlite", database=name, query=query),
        poolclass=QueuePool,
        pool_size=_THREADS,
        max_overflow=0,
        pool_timeout=options.wait_seconds,
        **more,
    )
    _prepare(engine, part)
    return Threaded(engine, _THREADS)


def _prepare(engine: Engine, part: Part) -> None:
    """Let each connection wait for the disk at every commit, and begin its transactions as it is told."""

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
        # The driver would begin transactions by itself, and too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        if part is not Part.READER:
            cursor.execute("PRAGMA journal_mode = WAL")
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 16777216"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        reading = part is Part.READER or connection.get_execution_options().get(READING)
        # Who will write says so at once: else two that have read wait for each other.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _unusable(path: Path, error: OSError) -> StoreUnavailable:
    if error.errno == errno.ENOENT:
        why = f"the folder {path.parent} is not there: make it, or name another in the configuration"
    else:
        why = f"it cannot be written: {error.strerror}"
    return StoreUnavailable(f"{path}: {why}")
