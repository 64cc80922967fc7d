"""The disk takes nothing more, gives back something else, or is changed under the daemon's feet."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.history.errors import HistoryError
from daemon.history.options import HistoryOptions
from daemon.history.reader import Reader
from daemon.history.store import Store
from daemon.history.wanted import EVERYTHING
from rules.labels import Labels
from tests.fixtures.histories import (
    SLOT_MS,
    START_MS,
    every_ten_seconds,
    expected,
    filled,
    found,
    packed,
    sheet_of,
    some_series,
)
from tests.fixtures.missing import missing

FAR_MS = 2**52


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        missing("the right to mount a tmpfs", "run the tests as root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_with_the_disk_full_it_goes_on_counts_the_loss_and_recovers(small_disk: Path) -> None:
    store = Store(small_disk, HistoryOptions(unsaved_max_bytes=100_000))
    series = some_series(50)
    first = sheet_of(series, every_ten_seconds(60))
    filled(store, first, rows_a_flush=20)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(4_000_000))
    refused = 0
    rng = np.random.default_rng(1)
    lost_at = []
    for row in range(400):
        times = every_ten_seconds(1, START_MS + 10_000 * (100 + row))
        store.append(series, times, rng.random((1, 50)))
        refused += not store.flush()
        store.seal_step(START_MS + SLOT_MS // 2)
        store.trim(START_MS + SLOT_MS // 2, monotonic=float(row))
        assert store.unsaved_bytes <= 100_000
        lost_at.append(store.counts.lost["unsaved_full"])
    assert refused > 50
    assert "disk" in store.trouble
    assert store.counts.failures >= refused
    assert lost_at[-1] > 0
    ballast.unlink()
    assert store.flush()
    store.seal_step(START_MS + SLOT_MS // 2)
    store.trim(START_MS + SLOT_MS // 2, monotonic=600.0)
    assert store.trouble == ""
    read = found(store.reader.read(EVERYTHING, 0, FAR_MS))
    assert {one: min(samples) for one, samples in read.items()} == dict.fromkeys(series, int(first.times[0]))
    there = sum(map(len, read.values()))
    assert there == 50 * 460 - store.counts.lost["unsaved_full"]
    packed(store, FAR_MS)
    assert found(store.reader.read(EVERYTHING, 0, FAR_MS)) == read
    store.close()


def test_a_disk_that_fills_while_it_packs_loses_nothing(small_disk: Path) -> None:
    store = Store(small_disk)
    rng = np.random.default_rng(1)
    sheet = sheet_of(some_series(50), every_ten_seconds(700))._replace(values=rng.random((700, 50)))
    filled(store, sheet, rows_a_flush=100)
    room = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(room.f_bavail * room.f_bsize - 150_000))
    assert not store.seal_step(FAR_MS)
    assert "disk" in store.trouble
    assert found(store.reader.read(EVERYTHING, 0, FAR_MS)) == expected([sheet])
    ballast.unlink()
    assert packed(store, FAR_MS) == 1
    assert store.trouble == ""
    assert found(store.reader.read(EVERYTHING, 0, FAR_MS)) == expected([sheet])
    store.close()


def written(folder: Path) -> dict[Labels, dict[int, int]]:
    """Write a history with one packed span and one that is not; return what is in it."""
    sheets = [sheet_of(some_series(40, target), every_ten_seconds(900), seed=3) for target in "ab"]
    store = Store(folder)
    for sheet in sheets:
        filled(store, sheet, rows_a_flush=60)
    packed(store, START_MS + SLOT_MS + SLOT_MS // 2)
    store.close()
    return expected(sheets)


def flipped(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 40])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def torn(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    path.write_bytes(data)


def emptied(path: Path, _rng: random.Random) -> None:
    os.truncate(path, 0)


def replaced(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(5000))


@pytest.mark.parametrize("harm", [flipped, cut, torn, emptied, replaced], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("kind", ["fresh", "raw", "minutes"])
def test_damage_never_gives_a_wrong_sample_and_never_stops_the_daemon(
    tmp_path: Path, kind: str, harm: object
) -> None:
    wrote = written(tmp_path / "whole")
    rng = random.Random(f"{kind} {harm}")
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        subprocess.run(["cp", "-r", str(tmp_path / "whole"), str(folder)], check=True)
        (path,) = (folder / "history").glob(f"{kind}*.db")
        harm(path, rng)
        store = Store(folder)
        late = sheet_of(some_series(40, "late"), every_ten_seconds(6, START_MS + 12_000_000))
        filled(store, late)
        for _state in ("opened", "packed", "once more"):
            read = found(store.reader.read(EVERYTHING, 0, FAR_MS))
            for labels, samples in read.items():
                known = wrote.get(labels) or expected([late])[labels]
                assert samples.items() <= known.items()
            assert {one: read.get(one) for one in late.series} == expected([late])
            list(store.reader.read_rollup(EVERYTHING, 0, FAR_MS))
            if kind != "raw":
                # What is in other files is not lost.
                assert all(
                    at in read[one]
                    for one, samples in wrote.items()
                    for at in samples
                    if at <= START_MS + SLOT_MS
                )
            packed(store, FAR_MS)
            store.trim(START_MS + 2 * SLOT_MS)
        assert store.trouble == ""
        assert store.close()
        reopened = Store(folder)
        assert reopened.trouble == ""
        reopened.close()


@pytest.mark.parametrize("kind", ["fresh", "raw", "minutes"])
def test_a_file_that_is_no_database_any_more_is_set_aside_and_named(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    (path,) = (tmp_path / "history").glob(f"{kind}*.db")
    path.write_bytes(b"not a database" * 1000)
    store = Store(tmp_path)
    assert store.counts.damaged == 1
    aside = path.with_name(f"{path.name}.damaged-1")
    assert aside.read_bytes().startswith(b"not a database")
    assert str(path) in capsys.readouterr().out
    store.close()


def test_a_file_of_a_newer_version_is_set_aside_not_written_over(tmp_path: Path) -> None:
    import sqlite3

    written(tmp_path)
    path = tmp_path / "history" / "fresh.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = Store(tmp_path)
    assert path.with_name("fresh.db.damaged-1").exists()
    filled(store, sheet_of(some_series(3), every_ten_seconds(3)))
    store.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(HistoryError, match="state"):
        Store(tmp_path / "state")


def test_readers_see_every_flushed_sample_while_others_are_written_and_packed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    series = some_series(10)
    durable = 0
    over = threading.Event()
    problems: list[str] = []

    def look(reader: Reader) -> None:
        while not over.is_set():
            before = durable
            read = found(reader.read([series[3]], 0, FAR_MS))
            there = len(read.get(series[3], {}))
            if there < before:
                problems.append(f"{there} samples where {before} were durable")

    readers = [
        threading.Thread(target=look, args=(one,)) for one in (store.reader, Reader(tmp_path / "history"))
    ]
    for thread in readers:
        thread.start()
    try:
        for row in range(0, 6000, 20):
            sheet = sheet_of(series, every_ten_seconds(20, START_MS + 10_000 * row), seed=row)
            store.append(*sheet)
            assert store.flush()
            durable = row + 20
            store.seal_step(START_MS + 10_000 * durable)
    finally:
        over.set()
        for thread in readers:
            thread.join()
    assert problems == []
    assert store.counts.damaged == 0
    assert len(list((tmp_path / "history").glob("raw-*.db"))) >= 7
    store.close()


@pytest.mark.parametrize("kind", ["fresh", "raw", "minutes"])
def test_damage_while_it_runs_does_not_stop_it(tmp_path: Path, kind: str) -> None:
    wrote = written(tmp_path)
    store = Store(tmp_path)
    (path,) = (tmp_path / "history").glob(f"{kind}*.db")
    path.write_bytes(random.Random(kind).randbytes(path.stat().st_size))
    late = sheet_of(some_series(40, "late"), every_ten_seconds(6, START_MS + 12_000_000))
    for row in range(6):
        store.append(late.series, late.times[row : row + 1], late.values[row : row + 1])
        store.flush()
        found(store.reader.read(EVERYTHING, 0, FAR_MS))
        store.seal_step(START_MS + 12_000_000)
        store.trim(START_MS + 12_000_000)
    assert store.flush()
    assert store.trouble == ""
    for _state in ("batches", "packed"):
        read = found(store.reader.read(EVERYTHING, 0, FAR_MS))
        assert all(
            samples.items() <= wrote.get(one, expected([late]).get(one)).items()
            for one, samples in read.items()
        )
        # What the damaged file itself held is gone; what came after it was noticed is there.
        newest = late._replace(times=late.times[-3:], values=late.values[-3:])
        for one, samples in expected([newest]).items():
            assert samples.items() <= read[one].items()
        packed(store, FAR_MS)
    assert store.counts.damaged >= 1
    assert store.close()
