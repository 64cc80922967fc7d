"""Received alerts on disk: SQLite, written through before anyone is told that they are taken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from daemon.received.notice import Notified

log = structlog.get_logger()
FILE = "received.sqlite"
FORGET_RESOLVED_SECONDS = 86_400.0
SILENT_SECONDS = 2 * 86_400.0
"""An alert of which nobody has spoken for so long is no longer shown: its sender may not send `resolved`."""
REOPEN_SECONDS = 600.0
"""Whoever says so long after the end of an alert that it fires means it: the word is not a late one."""
ALERTS_MAX = 20_000
BYTES_MAX = 64 * 1024 * 1024
"""Of labels and annotations of all alerts."""
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE alert (
  fingerprint TEXT NOT NULL,
  starts_at REAL NOT NULL,
  ends_at REAL,
  end_heard REAL,
  labels TEXT NOT NULL,
  annotations TEXT NOT NULL,
  generator_url TEXT NOT NULL,
  source TEXT NOT NULL,
  first_heard REAL NOT NULL,
  last_heard REAL NOT NULL,
  heard INTEGER NOT NULL,
  PRIMARY KEY (fingerprint, starts_at)
) STRICT
"""
_TAKE = """
INSERT INTO alert
VALUES (:fingerprint, :starts_at, :ends_at, iif(:ends_at IS NULL, NULL, :now), :labels, :annotations, :url,
  :source, :now, :now, 1)
ON CONFLICT (fingerprint, starts_at) DO UPDATE SET
  ends_at = CASE
    WHEN excluded.ends_at IS NOT NULL THEN max(excluded.ends_at, coalesce(alert.ends_at, excluded.ends_at))
    WHEN :now - alert.end_heard > :reopen THEN NULL
    ELSE alert.ends_at END,
  end_heard = CASE
    WHEN excluded.ends_at IS NOT NULL THEN coalesce(alert.end_heard, :now)
    WHEN :now - alert.end_heard > :reopen THEN NULL
    ELSE alert.end_heard END,
  annotations = iif(alert.ends_at IS NULL, excluded.annotations, alert.annotations),
  last_heard = excluded.last_heard,
  heard = alert.heard + 1
RETURNING heard, ends_at
"""
# A label set is one alert. An Alertmanager that was restarted may tell of a later beginning: the end of that
# ends the earlier one too, unless somebody has spoken of it since; and of several the first counts.
_READ = """
SELECT fingerprint, min(starts_at), ends_at, labels, annotations, generator_url, source,
  first_heard, last_heard, heard
FROM alert AS one WHERE ends_at IS NULL AND last_heard >= :since AND NOT EXISTS (
  SELECT 1 FROM alert AS other
  WHERE other.fingerprint = one.fingerprint AND other.starts_at > one.starts_at
    AND other.end_heard >= one.last_heard)
GROUP BY fingerprint ORDER BY 2, 1
"""
T = TypeVar("T")


class StoreFailed(Exception):
    """The alerts could not be written: nothing was taken."""


@dataclass(frozen=True, slots=True)
class Received:
    """One alert that was received, as it stands; times are Unix seconds."""

    alert: Notified
    source: str
    """The Alertmanager that told of it first."""
    first_heard: float
    last_heard: float
    heard: int
    """How often it was told."""


@dataclass(slots=True)
class Counts:
    """What became of the alerts of one message."""

    new: int = 0
    resolved: int = 0
    repeated: int = 0


class ReceivedStore:
    """The table of received alerts; every call blocks for a moment and belongs in a thread."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, making it if there is none; raise StoreFailed.

        A damaged file is set aside: nothing would ever be taken again otherwise.
        """
        self._done(lambda _: None, "used")

    def close(self) -> None:
        """Close the file."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def take(self, alerts: Sequence[Notified], source: str, now: float) -> Counts:
        """Write alerts through to the disk; one fingerprint and start is one alert, whoever sends it.

        Raises StoreFailed; nothing is taken then.
        """
        return self._done(lambda db: _take(db, alerts, source, now), "written")

    def firing(self, now: float) -> list[Received]:
        """Return what fires, each label set once, by start; raise StoreFailed."""
        return self._done(lambda db: _firing(db, now), "read")

    def _done(self, work: Callable[[sqlite3.Connection], T], what: str) -> T:
        """Do something with the file; once more, with a new one, when this one proves to be damaged."""
        try:
            try:
                return work(self._open())
            except sqlite3.DatabaseError as error:
                if not _is_damaged(error):
                    raise
                self._begin_anew(error)
                return work(self._open())
        except (sqlite3.Error, OSError) as error:
            # The next one opens it anew: the file may be another by then.
            self.close()
            raise StoreFailed(f"{self.path} cannot be {what}: {error}") from None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = _opened(self.path)
        return self._db

    def _begin_anew(self, error: Exception) -> None:
        self.close()
        aside = self.path.with_suffix(".damaged")
        self.path.rename(aside)
        for more in ("-wal", "-shm"):
            self.path.with_name(self.path.name + more).unlink(missing_ok=True)
        log.error("received.store_damaged", file=str(self.path), reason=str(error), set_aside=str(aside))


def _opened(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise _Damaged(sound)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        db.execute("COMMIT")
    elif version != _SCHEMA_VERSION:
        raise sqlite3.OperationalError(f"it is of version {version}, a newer program's")


class _Damaged(sqlite3.DatabaseError):
    """The file holds something else than it should."""


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    if isinstance(error, _Damaged):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _take(db: sqlite3.Connection, alerts: Sequence[Notified], source: str, now: float) -> Counts:
    counts = Counts()
    db.execute("BEGIN IMMEDIATE")
    try:
        for alert in alerts:
            _take_one(db, alert, source, now, counts)
        _forget(db, now)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return counts


def _take_one(db: sqlite3.Connection, alert: Notified, source: str, now: float, counts: Counts) -> None:
    key = (alert.fingerprint, alert.starts_at)
    before = db.execute("SELECT ends_at FROM alert WHERE fingerprint = ? AND starts_at = ?", key).fetchone()
    ((heard, ends_at),) = db.execute(_TAKE, _row(alert, source, now)).fetchall()
    was_over = before is not None and before[0] is not None
    if heard == 1 or (was_over and ends_at is None):
        counts.new += 1
    elif was_over or ends_at is None:
        counts.repeated += 1
    if ends_at is not None and not was_over:
        counts.resolved += 1


def _forget(db: sqlite3.Connection, now: float) -> None:
    over = now - FORGET_RESOLVED_SECONDS
    db.execute("DELETE FROM alert WHERE ends_at IS NOT NULL AND last_heard < ?", (over,))
    db.execute("DELETE FROM alert WHERE last_heard < ?", (now - 2 * SILENT_SECONDS,))
    while True:
        (count, size) = db.execute(
            "SELECT count(*), coalesce(sum(length(labels) + length(annotations)), 0) FROM alert"
        ).fetchone()
        if count <= ALERTS_MAX and size <= BYTES_MAX:
            return
        # A tenth more than is too much: the next message would have to look again otherwise.
        share = max(1 - ALERTS_MAX / count, 1 - BYTES_MAX / size if size else 0.0) + 0.1
        db.execute(
            "DELETE FROM alert WHERE (fingerprint, starts_at) IN (SELECT fingerprint, starts_at FROM alert"
            " ORDER BY ends_at IS NULL, last_heard LIMIT ?)",
            (max(1, round(count * share)),),
        )
        log.warning("received.forgotten", hint="more alerts than are kept", kept=ALERTS_MAX)


def _firing(db: sqlite3.Connection, now: float) -> list[Received]:
    with closing(db.execute(_READ, {"since": now - SILENT_SECONDS})) as rows:
        return [_received(row) for row in rows]


def _row(alert: Notified, source: str, now: float) -> dict[str, object]:
    return {
        "fingerprint": alert.fingerprint,
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "labels": json.dumps(dict(alert.labels)),
        "annotations": json.dumps(dict(alert.annotations)),
        "url": alert.generator_url,
        "source": source,
        "now": now,
        "reopen": REOPEN_SECONDS,
    }


def _received(row: Sequence[object]) -> Received:
    fingerprint, starts_at, ends_at, labels, annotations, url, source, first, last, heard = row
    alert = Notified(
        str(fingerprint),
        json.loads(str(labels)),
        json.loads(str(annotations)),
        float(str(starts_at)),
        None if ends_at is None else float(str(ends_at)),
        str(url),
    )
    return Received(alert, str(source), float(str(first)), float(str(last)), int(str(heard)))
