"""Where the store is, and what may be done with it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from collectors.postgresql.options import PostgresOptions

FILE = "acting.sqlite"
"""Name of the SQLite file in the state directory."""
ANCHOR = "audit.anchor"
"""Name of the anchor in the state directory, unless it is put elsewhere."""


class Part(enum.StrEnum):
    """What somebody opens the store for."""

    DAEMON = "daemon"
    """Makes and migrates it, holds the file alone, keeps the anchor."""
    CLERK = "clerk"
    """Writes flags and approvals beside a daemon."""
    READER = "reader"
    """Writes nothing, and also opens what is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """One of `path` and `server` is given; with neither it is kept in memory, for simulations."""

    path: Path | None = None
    """The SQLite file."""
    server: PostgresOptions | None = None
    """A PostgreSQL database, direct or through a pool of sessions."""
    anchor: Path | None = None
    """None keeps no anchor."""
    wait_seconds: float = 5.0
    """How long a lock is waited for."""
    answer_seconds: float = 10.0
    """How long a statement may take."""

    def __post_init__(self) -> None:
        if self.path is not None and self.server is not None:
            raise ValueError("a store is a file or a database, not both")
