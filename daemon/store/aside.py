"""Sets a damaged journal aside: it is kept as it is, and a new one begins, stopped, which names its end."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from actions.errors import StoreUnavailable
from actions.model import Record, RecordKind
from actions.ports import ChainReport, Clock, Stop
from daemon.store.anchor import Anchor, Mark, last_mark
from daemon.store.book import Head
from daemon.store.opening import open_store
from daemon.store.options import StoreOptions
from daemon.store.sqlite import FileLock
from daemon.store.store import SqlStore

_BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Who sets it aside and why, and what was found in it before."""

    by: str
    why: str
    found: ChainReport


async def set_aside(options: StoreOptions, asked: SetAside, clock: Clock) -> Path:
    """Move the file and its anchor away and begin anew; return the folder where they are now.

    The new journal begins with a stop of everything: what was under way, and what was stopped, is told only
    by the old one. Raises StoreUnavailable while a daemon works with the file, or when it cannot be moved.
    """
    path = options.path
    if path is None:
        raise StoreUnavailable("only a journal in a file can be set aside")
    # Whoever has the lock may rename: its own file stays where it is.
    lock = FileLock(path)
    try:
        epoch = max(last_mark(options.anchor).epoch if options.anchor else 0, _epoch_in(path))
        folder = _moved(options, path)
    finally:
        lock.release()
    # The old anchor stays until the stop is written: were this cut short, no daemon would begin.
    store = await open_store(replace(options, anchor=None), clock)
    try:
        await _begin(store, asked, folder, clock)
    finally:
        await store.close()
    if options.anchor:
        _begin_anchor(options.anchor, epoch or int(clock.now()), clock)
    return folder


async def _begin(store: SqlStore, asked: SetAside, folder: Path, clock: Clock) -> None:
    why = f"the journal before this one was set aside: {asked.why}"
    body = {
        "event": "set_aside",
        "target": "",
        "action": "",
        "why": why,
        "kept_in": str(folder),
        "records": asked.found.records,
        "head": asked.found.head,
        "problem": asked.found.problem,
    }
    flag = Stop(by=asked.by, why=why, at=clock.now())
    await store.stop(flag, Record(kind=RecordKind.STOP, body=body, who=asked.by))


def _begin_anchor(path: Path, epoch: int, clock: Clock) -> None:
    """Put a new anchor in place; epochs go on: what is left at a target must look older."""
    begun = path.with_name(path.name + ".new")
    try:
        begun.unlink(missing_ok=True)
        anchor = Anchor(begun, clock)
        anchor.write(Mark(Head(), epoch))
        if not anchor.trouble:
            begun.rename(path)
            _synced(path.parent)
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: no new anchor can be begun: {error.strerror}; do this again"
        ) from None
    if anchor.trouble:
        raise StoreUnavailable(f"{anchor.trouble}; do this again")


def _epoch_in(path: Path) -> int:
    """Return the last epoch that the file still tells of; 0 when it tells none."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select max(epoch) from lease").fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return 0


def _moved(options: StoreOptions, path: Path) -> Path:
    folder = path.with_name(time.strftime("set-aside-%Y%m%dT%H%M%SZ", time.gmtime()))
    files = [path.with_name(path.name + ending) for ending in _BESIDE]
    try:
        folder.mkdir(mode=0o700)
        # Copied: it may be on another disk.
        if options.anchor and options.anchor.exists():
            (folder / options.anchor.name).write_bytes(options.anchor.read_bytes())
        for file in files:
            if file.exists():
                file.rename(folder / file.name)
        _synced(folder)
        _synced(path.parent)
    except OSError as error:
        raise StoreUnavailable(f"{path}: it cannot be set aside in {folder}: {error.strerror}") from None
    return folder


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
