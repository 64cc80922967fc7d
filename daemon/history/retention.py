"""What has to go: what is older than it is kept, then the oldest of what takes too much room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from daemon.history import database
from daemon.history.fresh import FILE
from daemon.history.options import DAY_MS, HOUR_MS, HistoryOptions
from daemon.history.sealed import sealed_files

log = structlog.get_logger()
_LEAP_MS = DAY_MS
_PATIENCE_SECONDS = 3600.0


class AgeGuard:
    """Tells whether the clock can be trusted with deleting: one that leaps has to stay there for an hour."""

    def __init__(self) -> None:
        self._seen: tuple[int, float] | None = None
        self._not_before = 0.0

    def trusted(self, now_ms: int, steady: float, newest_ms: Callable[[], int | None]) -> bool:
        """Tell whether what is old by this clock is old; `newest_ms` is asked the first time."""
        if self._seen is None:
            newest = newest_ms()
            leapt = newest is not None and abs(now_ms - newest) > _LEAP_MS
        else:
            expected = self._seen[0] + (steady - self._seen[1]) * 1000
            leapt = abs(now_ms - expected) > HOUR_MS
        self._seen = (now_ms, steady)
        if leapt:
            self._not_before = steady + _PATIENCE_SECONDS
            log.warning("history.clock_leapt", nothing_is_forgotten_for_seconds=_PATIENCE_SECONDS)
        return steady >= self._not_before


def remove_old(folder: Path, options: HistoryOptions, now_ms: int) -> None:
    """Delete the files of which everything is older than it is kept."""
    kept = {"raw": options.raw_ms, "minutes": options.rollup_ms}
    for file in sealed_files(folder):
        if file.end_ms <= now_ms - kept[file.kind]:
            _remove(file.path)
    for path in _damaged(folder):
        if path.stat().st_mtime * 1000 <= now_ms - options.rollup_ms:
            _remove(path)


def fits(folder: Path, max_bytes: int) -> bool:
    """Delete files until the rest fits, damaged ones first, then the oldest; tell whether it does now."""
    left = total_bytes(folder)
    for path in [*_damaged(folder), *(file.path for file in sealed_files(folder))]:
        if left <= max_bytes:
            break
        left -= database.size_of(path)
        _remove(path)
        log.info("history.oldest_removed", file=path.name, max_bytes=max_bytes)
    return left <= max_bytes


def total_bytes(folder: Path) -> int:
    """Return what all files of a history take on disk."""
    paths = [*_damaged(folder), folder / FILE, *(file.path for file in sealed_files(folder))]
    return sum(map(database.size_of, paths))


def _damaged(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"*{database.DAMAGED}*") if path.name[-1].isdigit()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _remove(path: Path) -> None:
    with database.translated(path):
        database.remove(path)
