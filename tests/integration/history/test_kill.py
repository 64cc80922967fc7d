"""Real processes are killed with SIGKILL while they write; what they had called durable is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.history.errors import HistoryTaken
from daemon.history.reader import Reader
from daemon.history.rollup import Column, rolled
from daemon.history.store import Store
from daemon.history.wanted import EVERYTHING
from tests.fixtures.histories import expected, found, packed
from tests.fixtures.history_writer import ROWS_A_FLUSH, sheets_of

ROOT = Path(__file__).resolve().parents[3]
FAR_MS = 2**52


def writer(folder: Path, row: int, *dies: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fixtures.history_writer", str(folder), str(row), *dies]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def durable_rows(process: subprocess.Popen[str], row: int) -> int:
    """Return the last number of rows that a process has reported before it died."""
    assert process.stdout is not None
    said = [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return said[-1] if said else row


def check(folder: Path, rows: int, *, pack: bool) -> int:
    """Open the history again, compare all of it, and return how many rows there are."""
    store = Store(folder)
    try:
        assert store.counts.damaged == 0
        if pack:
            packed(store, FAR_MS)
        read = found(store.reader.read(EVERYTHING, 0, FAR_MS))
        # A batch that was made durable, but not yet reported, is there as a whole.
        there = max(len(samples) for samples in read.values()) if read else 0
        assert there in (rows, rows + ROWS_A_FLUSH)
        sheets = sheets_of(0, there) if there else []
        assert read == expected(sheets)
        for column in (Column.LAST, Column.MEAN):
            minutes = []
            for sheet in sheets:
                rollup = rolled(sheet.times, sheet.values)
                minutes.append(sheet._replace(times=rollup.times, values=rollup.column(column)))
            assert found(store.reader.read_rollup(EVERYTHING, 0, FAR_MS, column=column)) == expected(minutes)
    finally:
        store.close()
    return there


@pytest.mark.parametrize("edge", ["before", "inside", "after"])
@pytest.mark.parametrize(
    ("where", "numbers"), [("write", (1, 2, 40)), ("add", (1, 2, 3, 4)), ("drop", (1, 2))]
)
def test_a_kill_at_any_step_loses_nothing_that_was_durable(
    tmp_path: Path, where: str, numbers: tuple[int, ...], edge: str
) -> None:
    row = 0
    for number in numbers:
        process = writer(tmp_path, row, where, str(number), edge)
        row = check(tmp_path, durable_rows(process, row), pack=False)
    check(tmp_path, row, pack=True)


def test_kills_at_random_times_lose_nothing_that_was_durable(tmp_path: Path) -> None:
    rng = random.Random(11)
    row = 0
    for _ in range(12):
        process = writer(tmp_path, row)
        assert process.stdout is not None
        first = int(process.stdout.readline())
        time.sleep(rng.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        row = check(tmp_path, durable_rows(process, first), pack=False)
    assert row > 500
    check(tmp_path, row, pack=True)


def test_a_second_process_may_read_but_not_write(tmp_path: Path) -> None:
    process = writer(tmp_path, 0)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(HistoryTaken, match="another process writes this history"):
            Store(tmp_path)
        rows = 0
        while rows <= 300:
            read = found(Reader(tmp_path / "history").read(EVERYTHING, 0, FAR_MS))
            now = min(len(samples) for samples in read.values())
            assert now >= rows, "samples that were there are gone"
            rows = now
            for labels, samples in read.items():
                # Metric after metric is read: a later one may have more.
                assert samples == expected(sheets_of(0, len(samples)))[labels]
        assert list((tmp_path / "history").glob("raw-*.db")), "nothing was packed meanwhile"
    finally:
        process.kill()
        process.communicate()
