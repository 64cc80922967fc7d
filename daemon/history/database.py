"""SQLite files of the history: for this user alone, durable at each commit, damage told from lack of room."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from daemon.history.errors import FileDamaged, FileFailed

VERSION = 1
DAMAGED = ".damaged-"
_WAIT_SECONDS = 5.0
_BESIDE = ("", "-wal", "-shm")
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Our statements are right: one that SQLite does not understand has met other tables than ours."""


class NotThere(Exception):
    """A file has gone."""


def open_to_write(path: Path, schema: str) -> sqlite3.Connection:
    """Open a file, made if it is not there; raise FileFailed, or FileDamaged when it is not one of ours."""
    with translated(path):
        if not path.exists():
            _make(path, schema)
        connection = _connected(path)
        try:
            _check_version(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 4194304")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def opened_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that writes nothing; raise NotThere, FileFailed or FileDamaged."""
    with translated(path):
        try:
            connection = _connected(path)
        except sqlite3.OperationalError:
            if path.exists():
                raise
            raise NotThere(path) from None
        with contextlib.closing(connection):
            connection.execute("PRAGMA query_only = ON")
            _check_version(connection, path)
            yield connection


def look(path: Path) -> None:
    """Raise FileDamaged when a file is not one of ours any more."""
    with contextlib.suppress(NotThere), opened_to_read(path):
        pass


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say of a file into our errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Without a code it is text that is none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        damaged = code in _DAMAGE and not isinstance(error, sqlite3.ProgrammingError)
        kind = FileDamaged if damaged else FileFailed
        raise kind(path, str(error)) from error
    except OSError as error:
        raise FileFailed(path, error.strerror or type(error).__name__) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Make everything in the block durable together, or nothing of it."""
    with translated(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Look at every page of a file; raise FileDamaged."""
    with translated(path):
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise FileDamaged(path, said)


def set_aside(path: Path) -> Path:
    """Rename a file, so that a new one can be begun in its place, and return where it is now."""
    number = 1
    while (kept := path.with_name(f"{path.name}{DAMAGED}{number}")).exists():
        number += 1
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    return kept


def remove(path: Path) -> None:
    """Delete a file and those beside it."""
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return the bytes on disk of a file and those beside it."""
    size = 0
    for suffix in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            size += path.with_name(path.name + suffix).stat().st_size
    return size


def _make(path: Path, schema: str) -> None:
    """Make a file that is complete from the first moment that it has its name."""
    new = path.with_name(f"{path.name}.new")
    remove(new)
    # SQLite gives the files beside it the rights of this one.
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(_connected(new)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {schema}; PRAGMA user_version = {VERSION}; COMMIT")
    # Closing has brought everything into the one file.
    new.rename(path)


def _connected(path: Path) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, not always by the same. A file that has gone
    # must not be made again by looking at it.
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == 0:
        raise FileDamaged(path, "it is empty")
    if version > VERSION:
        raise FileDamaged(path, f"it is of version {version}; this program knows versions up to {VERSION}")
