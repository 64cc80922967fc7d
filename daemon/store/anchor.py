"""A second file that remembers how far the journal had come: what is cut off, or taken back, is missed.

Lines are only ever added. On another disk, or shipped elsewhere, it also tells when both are rewritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actions.errors import StoreUnavailable
from actions.ports import Clock
from daemon.store.book import Head

EVERY_RECORDS = 100
EVERY_SECONDS = 60.0
_TAIL_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Mark:
    """One line: how far the journal had come, and the highest epoch that was granted."""

    head: Head
    epoch: int = 0


class Anchor:
    """Adds lines as the journal grows. A file that cannot be written is told of in `trouble`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.trouble = ""
        """Why the last line was not written; empty when it was."""
        self._clock = clock
        self._last = Mark(Head())
        self._written_at = clock.monotonic()

    def begin(self) -> Mark:
        """Return the last line, from which this goes on; raise StoreUnavailable when it cannot be read."""
        self._last = last_mark(self.path)
        return self._last

    def due(self, mark: Mark) -> bool:
        """Tell whether the journal has come so far, or waited so long, that it needs a line."""
        grown = mark.head.seq - self._last.head.seq
        waited = self._clock.monotonic() - self._written_at >= EVERY_SECONDS
        return mark.epoch > self._last.epoch or grown >= EVERY_RECORDS or (grown > 0 and waited)

    def write(self, mark: Mark) -> None:
        """Add a line and bring it to disk; never raises."""
        if mark == self._last:
            return
        line = {
            "at": self._clock.now(),
            "epoch": mark.epoch,
            "hash": mark.head.hash,
            "seq": mark.head.seq,
        }
        try:
            _add(self.path, json.dumps(line, separators=(",", ":")))
        except OSError as error:
            self.trouble = (
                f"{self.path}: {error.strerror}: what is cut off the journal now would not be missed"
            )
            return
        self.trouble = ""
        self._last = mark
        self._written_at = self._clock.monotonic()


def marks(path: Path) -> Iterator[tuple[int, Mark | None]]:
    """Give the lines by number; None for one that cannot be read. Raise StoreUnavailable."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                # The last line of who was killed in the middle of it.
                if line.endswith(b"\n"):
                    yield number, _mark(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreUnavailable(f"{path}: the anchor cannot be read: {error.strerror}") from None


def last_mark(path: Path) -> Mark:
    """Return the last line that can be read, or one of nothing; raise StoreUnavailable."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return Mark(Head())
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: the anchor of the journal cannot be read: {error.strerror}"
        ) from None
    found = (_mark(line) for line in reversed(lines) if line.endswith(b"\n"))
    return next((mark for mark in found if mark is not None), Mark(Head()))


def _mark(line: bytes) -> Mark | None:
    try:
        data = json.loads(line)
        return Mark(Head(int(data["seq"]), str(data["hash"])), int(data["epoch"]))
    except (ValueError, TypeError, KeyError):
        return None


def _add(path: Path, line: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        # A torn last line stays as it is, by itself.
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = ("\n" if torn else "").encode() + line.encode() + b"\n"
        if os.write(handle, data) != len(data):
            raise OSError(28, "No space left on device")
        os.fsync(handle)
    finally:
        os.close(handle)
