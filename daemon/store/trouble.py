"""What a database says when it fails, in our words, and whether to ask again."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from actions.errors import ActError, StoreDamaged, StoreUnavailable
from collectors.secret import redact

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Reading or writing met a broken disk; what SQLite thinks is written may not be.
_DISK = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full: nothing is done until there is room",
    sqlite3.SQLITE_READONLY: "it may not be written: let the daemon's user write the file and its folder",
    sqlite3.SQLITE_BUSY: "another process is writing it for too long",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: is its folder there, and may this user enter it?",
    sqlite3.SQLITE_PERM: "this user may not open it",
}
_UNREADABLE_TEXT = "Could not decode to UTF-8"
# Classes of SQLSTATE after which the same question may be answered by a server that is well again.
_AGAIN = ("08", "40", "57P", "25006")
_STATES = {
    "25006": "it takes no writes: it is a standby, or read-only",
    "53100": "its disk is full: nothing is done until there is room",
    "42501": "its role lacks a right; a superuser gives all of them with CREATE SCHEMA dbarchitect "
    "AUTHORIZATION and the role's name",
    "55P03": "another transaction holds the journal for too long",
    "57014": "it took too long to answer",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error of the driver, understood."""

    error: ActError
    again: bool = False
    """Nothing was written, and another try may go better."""
    disk_broken: bool = False
    """The disk failed: nothing that SQLite says of it can be relied on any more."""


def understood(error: BaseException, where: str) -> Trouble:
    """Say what an error of a driver means for the store at `where`."""
    if isinstance(error, ActError):
        return Trouble(error)
    if isinstance(error, IntegrityError):
        return Trouble(StoreUnavailable(f"{where}: it refuses what contradicts it: {_said(error)}"))
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error) or _sqlite_code(original):
        return _of_sqlite(original, where)
    return _of_server(error, original, where)


def _of_sqlite(error: BaseException | None, where: str) -> Trouble:
    code = _sqlite_code(error)
    said = _said(error)
    if code & 0xFF in _DAMAGED or _UNREADABLE_TEXT in said:
        return Trouble(StoreDamaged(f"{where}: the file is damaged: {said}"))
    if code in _DISK:
        return Trouble(
            StoreUnavailable(
                f"{where}: the disk failed ({said}): what was last written may be lost, so nothing more "
                "is done; see to the disk, then start the daemon again"
            ),
            disk_broken=True,
        )
    return Trouble(StoreUnavailable(f"{where}: {_WORDS.get(code & 0xFF, said)}"))


def _of_server(error: BaseException, original: BaseException | None, where: str) -> Trouble:
    state = str(getattr(original, "sqlstate", None) or "")
    broken = isinstance(error, DBAPIError) and error.connection_invalidated
    # Whoever did not answer in time would only be waited for again.
    late = isinstance(error, TimeoutError)
    again = not late and (broken or isinstance(error, OSError) or state.startswith(_AGAIN))
    words = _STATES.get(state) or _said(original if original is not None else error)
    return Trouble(StoreUnavailable(f"{where}: {words}"), again=again)


def _sqlite_code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def _said(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, SQLAlchemyError) and isinstance(error, DBAPIError):
        error = error.orig
    text = redact(str(error) or type(error).__name__).partition("\n")[0]
    # The driver's own class stands before it, which tells nobody anything.
    return text.rpartition(">: ")[2]
