"""What can go wrong with the history."""

from __future__ import annotations

from pathlib import Path


class HistoryError(Exception):
    """The history cannot be written or read."""


class HistoryTaken(HistoryError):
    """Another process writes this history."""


class FileFailed(HistoryError):
    """A file cannot be used now: no room, no right, a disk that fails."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FileDamaged(FileFailed):
    """A file does not hold what was written to it."""
