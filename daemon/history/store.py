"""The local history: takes samples, makes them durable, packs them, and forgets the oldest."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from daemon.history import database, fresh
from daemon.history.errors import FileDamaged, FileFailed, HistoryTaken
from daemon.history.fresh import SLOT_MS, Due, Fresh
from daemon.history.options import HistoryOptions
from daemon.history.planes import Ints
from daemon.history.reader import Reader
from daemon.history.retention import AgeGuard, fits, remove_old, total_bytes
from daemon.history.rollup import rolled
from daemon.history.sealed import Packer, Table, sealed_file, sealed_files
from daemon.history.sheets import Sheet, assembled
from rules.labels import Labels
from rules.promql.values import Floats

log = structlog.get_logger()
FOLDER = "history"
GRACE_MS = 120_000
"""A span is packed this long after it is over: samples are written a little after they are taken."""


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    samples: int = 0
    """Cells made durable, those without a sample not counted out."""
    written_bytes: int = 0
    flushes: int = 0
    failures: int = 0
    """Writes that did not succeed; what they were to write is tried again."""
    lost: Counter[str] = field(default_factory=Counter)
    """Samples lost, by reason: `unsaved_full`, `too_large`, `no_room`, `damaged`."""
    damaged: int = 0
    """Files and parts of files that could not be read."""


class Store:
    """The history in `<state_dir>/history`; one process writes it. Methods may be called from any thread.

    `append` only takes note. Whatever fails on the disk is counted, told by `trouble`, logged once, and
    tried again: no method but the constructor raises for it.
    """

    def __init__(self, state_dir: Path, options: HistoryOptions | None = None) -> None:
        """Open it, made if it is not there; raise HistoryTaken, or FileFailed when the folder cannot be."""
        self.options = options or HistoryOptions()
        self.counts = Counts()
        self._troubles: dict[str, str] = {}
        """What the last try of each kind of work failed with."""
        self._ages = AgeGuard()
        self._folder = state_dir / FOLDER
        self._lock = _locked(self._folder)
        self._writing = threading.Lock()
        self._queue_lock = threading.Lock()
        self._known_damage: set[tuple[Path, str]] = set()
        self._queue: list[Sheet] = []
        self._being_written: list[Sheet] = []
        self._waiting_bytes = 0
        self._fresh: Fresh | None = None
        self.reader = Reader(self._folder, self._unsaved, self._on_damage)
        with self._writing:
            self._tried("open", self._begin)

    @property
    def trouble(self) -> str:
        """Return what keeps it from being written; empty while all is well."""
        return "; ".join(sorted(set(self._troubles.values())))

    @property
    def unsaved_bytes(self) -> int:
        """Return what waits in memory."""
        return self._waiting_bytes

    @property
    def disk_bytes(self) -> int:
        """Return what all files take on disk."""
        return total_bytes(self._folder)

    def append(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        """Take samples: `values[t, s]` is of series s at `times[t]`, Unix milliseconds.

        ABSENT says that there is no sample. The arrays are kept, not copied, and so is `series`: giving
        the same object again says that it holds the same series. Raises ValueError for shapes that do not
        fit together.
        """
        if values.shape != (len(times), len(series)):
            raise ValueError(f"{values.shape} values for {len(times)} times of {len(series)} series")
        if not values.size:
            return
        with self._queue_lock:
            self._queue.append(Sheet(series, times, values))
            self._waiting_bytes += values.nbytes
            while self._waiting_bytes > self.options.unsaved_max_bytes and self._queue:
                gone = self._queue.pop(0)
                self._waiting_bytes -= gone.values.nbytes
                self.counts.lost["unsaved_full"] += gone.values.size

    def flush(self) -> bool:
        """Make durable what was appended before; return whether it is."""
        with self._writing:
            with self._queue_lock:
                self._being_written, self._queue = self._queue, []
            done = False
            try:
                done = not self._being_written or self._tried("flush", self._write)
            finally:
                with self._queue_lock:
                    left = [] if done else self._being_written
                    self._queue = left + self._queue
                    self._being_written = []
                    self._waiting_bytes = sum(sheet.values.nbytes for sheet in self._queue)
            return done

    def seal_step(self, now_ms: int) -> bool:
        """Pack one part of what is over, and roll it up; return whether there may be more to do at once."""
        with self._writing:
            due = self._due(now_ms)
            return due is not None and self._tried("pack", lambda: self._seal(due))

    def trim(self, now_ms: int, monotonic: float | None = None) -> None:
        """Forget what is older than it is kept, and the oldest of what takes too much room."""
        steady = time.monotonic() if monotonic is None else monotonic
        with self._writing:
            self._tried("trim", lambda: self._trim(now_ms, steady))

    def close(self) -> bool:
        """Make everything durable and let the history go; return whether nothing was lost."""
        done = self.flush()
        with self._writing:
            if self._fresh is not None:
                self._fresh.close()
                self._fresh = None
            os.close(self._lock)
        return done

    def _write(self) -> None:
        written = self._opened().write(self._being_written)
        self.counts.flushes += 1
        self.counts.written_bytes += written
        self.counts.samples += sum(sheet.values.size for sheet in self._being_written)

    def _due(self, now_ms: int) -> Due | None:
        found: list[Due] = []
        self._tried("look", lambda: found.extend(self._opened().due()))
        return next((one for one in found if not _is_open(one.slot, now_ms)), None)

    def _seal(self, due: Due) -> None:
        held = self._opened()
        at_ms = due.slot * SLOT_MS + 1
        for kind, made in (("raw", _raw), ("minutes", _minutes)):
            with Packer(sealed_file(self._folder, kind, at_ms).path) as packer:
                after = packer.packed_upto(held.epoch, due)
                # What a crash kept us from dropping is packed already: only what came since is new.
                sheets = assembled(held.read(due, after)) if after < due.upto else []
                self.counts.written_bytes += packer.add(held.epoch, due, map(made, sheets))
        held.drop(due)

    def _trim(self, now_ms: int, steady: float) -> None:
        if self._ages.trusted(now_ms, steady, self._newest_ms):
            remove_old(self._folder, self.options, now_ms)
        if not fits(self._folder, self.options.max_bytes):
            dropped = self._opened().drop_oldest()
            log.warning("history.no_room", max_bytes=self.options.max_bytes, batches_dropped=dropped)

    def _newest_ms(self) -> int | None:
        slots = [one.slot for one in self._opened().due()]
        ends = [file.end_ms for file in sealed_files(self._folder) if file.kind == "raw"]
        return max([*ends, *((slot + 1) * SLOT_MS for slot in slots)], default=None)

    def _begin(self) -> None:
        for unfinished in self._folder.glob("*.db.new*"):
            unfinished.unlink(missing_ok=True)
        for file in sealed_files(self._folder):
            self._tried("open", partial(database.look, file.path))
        self._opened()

    def _opened(self) -> Fresh:
        if self._fresh is None:
            self._fresh = Fresh(self._folder / fresh.FILE)
        return self._fresh

    def _unsaved(self) -> Sequence[Sheet]:
        with self._queue_lock:
            return [*self._being_written, *self._queue]

    def _tried(self, kind: str, work: Callable[[], object]) -> bool:
        """Do it; a damaged file is set aside and the work done once more."""
        for _ in range(2):
            try:
                if self._done(work):
                    break
            except FileFailed as error:
                self._close_fresh()
                self.counts.failures += 1
                if kind not in self._troubles:
                    log.error(  # noqa: TRY400 - the reason says it all
                        "history.not_written", work=kind, file=str(error.path), reason=error.reason
                    )
                self._troubles[kind] = str(error)
                return False
        else:
            return False
        if self._troubles.pop(kind, None):
            log.info("history.written_again", work=kind)
        return True

    def _done(self, work: Callable[[], object]) -> bool:
        """Do it; return False when a damaged file was in the way, and is set aside now."""
        try:
            with database.translated(self._folder):
                work()
        except FileDamaged as error:
            self._aside(error.path, error.reason)
            return False
        return True

    def _on_damage(self, path: Path, reason: str, *, whole: bool) -> None:
        """Take note of what a reader has met."""
        with self._writing:
            if whole and path.exists():
                self._tried("open", lambda: self._aside(path, reason))
            elif not whole and (path, reason) not in self._known_damage:
                self._known_damage.add((path, reason))
                self.counts.damaged += 1
                log.error("history.damaged", file=str(path), reason=reason, left_out="a part of it")

    def _aside(self, path: Path, reason: str) -> None:
        if path.name == fresh.FILE:
            self._close_fresh()
        with database.translated(path):
            kept = database.set_aside(path)
        self.counts.damaged += 1
        log.error("history.damaged", file=str(path), reason=reason, set_aside=str(kept))

    def _close_fresh(self) -> None:
        held, self._fresh = self._fresh, None
        if held is not None:
            self.counts.damaged += held.damaged
            held.close()


def _is_open(slot: int, now_ms: int) -> bool:
    return slot * SLOT_MS - GRACE_MS < now_ms <= (slot + 1) * SLOT_MS + GRACE_MS


def _raw(sheet: Sheet) -> Table:
    return Table(sheet.series, sheet.times, sheet.values)


def _minutes(sheet: Sheet) -> Table:
    return Table.of_rollup(sheet.series, rolled(sheet.times, sheet.values))


def _locked(folder: Path) -> int:
    with database.translated(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise HistoryTaken(f"{folder}: another process writes this history; stop it first") from None
    return handle
