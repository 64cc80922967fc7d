"""Received alerts on disk: SQLite, written through before anyone is told that they are taken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.received.notice import Notified

log = structlog.get_logger()
FILE = "received.sqlite"
FORGET_RESOLVED_SECONDS = 86_400.0
SILENT_SECONDS = 2 * 86_400.0
"""An alert of which nobody has spoken for so long is no longer shown: its sender may not send `resolved`."""
ALERTS_MAX = 50_000
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE alert (
  fingerprint TEXT NOT NULL,
  starts_at REAL NOT NULL,
  ends_at REAL,
  labels TEXT NOT NULL,
  annotations TEXT NOT NULL,
  generator_url TEXT NOT NULL,
  source TEXT NOT NULL,
  first_heard REAL NOT NULL,
  last_heard REAL NOT NULL,
  heard INTEGER NOT NULL,
  PRIMARY KEY (fingerprint, starts_at)
) STRICT, WITHOUT ROWID
"""
_TAKE = """
INSERT INTO alert
VALUES (:fingerprint, :starts_at, :ends_at, :labels, :annotations, :url, :source, :now, :now, 1)
ON CONFLICT (fingerprint, starts_at) DO UPDATE SET
  ends_at = coalesce(alert.ends_at, excluded.ends_at),
  annotations = CASE WHEN alert.ends_at IS NULL THEN excluded.annotations ELSE alert.annotations END,
  last_heard = excluded.last_heard,
  heard = alert.heard + 1
"""


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
        try:
            self._db = _opened(self.path)
        except (sqlite3.Error, OSError) as error:
            if not _is_damaged(error):
                raise StoreFailed(f"{self.path} cannot be used: {error}") from None
            self._begin_anew(error)

    def _begin_anew(self, error: Exception) -> None:
        aside = self.path.with_suffix(".damaged")
        try:
            self.path.rename(aside)
            for more in ("-wal", "-shm"):
                self.path.with_name(self.path.name + more).unlink(missing_ok=True)
            self._db = _opened(self.path)
        except (sqlite3.Error, OSError) as again:
            raise StoreFailed(f"{self.path} is damaged and cannot be replaced: {again}") from None
        log.error("received.store_damaged", file=str(self.path), reason=str(error), set_aside=str(aside))

    def close(self) -> None:
        """Close the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def take(self, alerts: Sequence[Notified], source: str, now: float) -> Counts:
        """Write alerts through to the disk; one fingerprint and start is one alert, whoever sends it."""
        counts = Counts()
        with self._writing() as db:
            for alert in alerts:
                key = (alert.fingerprint, alert.starts_at)
                before = db.execute(
                    "SELECT ends_at FROM alert WHERE fingerprint = ? AND starts_at = ?", key
                ).fetchone()
                db.execute(_TAKE, _row(alert, source, now))
                if before is None:
                    counts.new += 1
                if alert.ends_at is not None and (before is None or before[0] is None):
                    counts.resolved += 1
                elif before is not None:
                    counts.repeated += 1
            _forget(db, now)
        return counts

    def all(self, now: float) -> list[Received]:
        """Return what fires, and what was resolved within the last day, by start."""
        try:
            with closing(self._open().execute(_READ, {"since": now - SILENT_SECONDS})) as rows:
                return [_received(row) for row in rows]
        except sqlite3.Error as error:
            raise StoreFailed(f"{self.path} cannot be read: {error}") from None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.open()
        if self._db is None:
            raise StoreFailed(f"{self.path} is not open")
        return self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        db = self._open()
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreFailed(f"{self.path} cannot be written: {error}") from None


_READ = """
SELECT fingerprint, starts_at, ends_at, labels, annotations, generator_url, source,
  first_heard, last_heard, heard
FROM alert WHERE ends_at IS NOT NULL OR last_heard >= :since ORDER BY starts_at, fingerprint
"""


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
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    elif version != _SCHEMA_VERSION:
        raise sqlite3.OperationalError(f"it is of version {version}, a newer program's")


def _is_damaged(error: sqlite3.Error | OSError) -> bool:
    return type(error) is sqlite3.DatabaseError


def _forget(db: sqlite3.Connection, now: float) -> None:
    over = now - FORGET_RESOLVED_SECONDS
    db.execute("DELETE FROM alert WHERE ends_at IS NOT NULL AND last_heard < ?", (over,))
    db.execute("DELETE FROM alert WHERE last_heard < ?", (now - 2 * SILENT_SECONDS,))
    (count,) = db.execute("SELECT count(*) FROM alert").fetchone()
    if count > ALERTS_MAX:
        db.execute(
            "DELETE FROM alert WHERE (fingerprint, starts_at) IN (SELECT fingerprint, starts_at FROM alert"
            " ORDER BY ends_at IS NULL, last_heard LIMIT ?)",
            (count - ALERTS_MAX,),
        )


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
