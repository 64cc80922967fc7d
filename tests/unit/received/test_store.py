"""The table of received alerts: the same whatever the order, and whole whatever happens to the disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.received import store as module
from daemon.received.notice import Notified
from daemon.received.store import (
    ALERTS_MAX,
    FILE,
    FORGET_RESOLVED_SECONDS,
    REOPEN_SECONDS,
    SILENT_SECONDS,
    Counts,
    ReceivedStore,
    StoreFailed,
)
from tests.fixtures.missing import missing

NOW = 1_700_000_000.0


def told(
    name: str = "a", starts: float = NOW - 100, ends: float | None = None, summary: str = ""
) -> Notified:
    return Notified(name, {"alertname": name}, {"summary": summary or f"{name}{starts}"}, starts, ends, "")


def rows(store: ReceivedStore, columns: str = "fingerprint, starts_at, ends_at, labels, annotations") -> list:
    with sqlite3.connect(store.path) as db:
        return db.execute(f"SELECT {columns} FROM alert ORDER BY fingerprint, starts_at").fetchall()


def firing(store: ReceivedStore, now: float = NOW) -> list[tuple[str, float]]:
    return [(each.alert.fingerprint, each.alert.starts_at) for each in store.firing(now)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReceivedStore]:
    made = ReceivedStore(tmp_path)
    made.open()
    yield made
    made.close()


EPISODES = [("a", 10.0, 20.0), ("a", 30.0, 40.0), ("b", 10.0, 15.0), ("c", 12.0, 13.0)]
WORDS = st.sampled_from(
    [told(name, starts, ends) for name, starts, end in EPISODES for ends in (None, end, end + 1)]
)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_and_any_repetition_of_messages_gives_the_same_table(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    words = data.draw(st.lists(WORDS, min_size=1, max_size=12))
    orders = [words]
    for _ in range(2):
        shuffled = data.draw(st.permutations(words))
        repeated = data.draw(st.lists(st.sampled_from(words), max_size=6))
        orders.append([*shuffled[: len(shuffled) // 2], *repeated, *shuffled])
    tables = []
    for order in orders:
        store = ReceivedStore(tmp_path_factory.mktemp("store"))
        for messages in cut(order, data.draw(st.integers(1, 4))):
            store.take(messages, "am", NOW)
            if data.draw(st.booleans()):
                store.close()
        tables.append(rows(store))
        store.close()
    assert tables[0] == tables[1] == tables[2]


def cut(words: Sequence[Notified], size: int) -> Iterator[Sequence[Notified]]:
    return (words[at : at + size] for at in range(0, len(words), size))


def test_two_that_tell_the_same_are_one_alert_also_over_a_restart(store: ReceivedStore) -> None:
    assert store.take([told()], "am1", NOW) == Counts(new=1)
    assert store.take([told()], "am2", NOW + 1) == Counts(repeated=1)
    store.close()
    again = ReceivedStore(store.path.parent)
    assert again.take([told()], "am1", NOW + 2) == Counts(repeated=1)
    (one,) = again.firing(NOW + 2)
    assert (one.source, one.heard, one.first_heard, one.last_heard) == ("am1", 3, NOW, NOW + 2)
    assert again.take([told(ends=NOW)], "am1", NOW + 3) == Counts(resolved=1)
    assert again.take([told(ends=NOW)], "am2", NOW + 4) == Counts(repeated=1)
    assert firing(again) == []
    again.close()


def test_an_alert_that_is_over_when_it_is_first_heard_of_is_new_and_resolved(store: ReceivedStore) -> None:
    assert store.take([told(ends=NOW)], "am", NOW) == Counts(new=1, resolved=1)
    assert firing(store) == []


def test_a_late_word_does_not_bring_back_what_is_over(store: ReceivedStore) -> None:
    store.take([told(ends=NOW)], "am1", NOW)
    assert store.take([told()], "am2", NOW + REOPEN_SECONDS) == Counts(repeated=1)
    assert firing(store, NOW + REOPEN_SECONDS) == []


def test_who_says_much_later_that_it_fires_means_it(store: ReceivedStore) -> None:
    """An Alertmanager that heard nothing for a while ends an alert; then it hears of it again."""
    store.take([told(ends=NOW)], "am", NOW)
    late = NOW + REOPEN_SECONDS + 1
    assert store.take([told()], "am", late) == Counts(new=1)
    assert len(firing(store, late)) == 1
    assert store.take([told(ends=late)], "am", late + 1) == Counts(resolved=1)
    assert firing(store, late + 1) == []


def test_of_several_beginnings_of_one_alert_the_first_is_shown(store: ReceivedStore) -> None:
    store.take([told(starts=20.0)], "am2", NOW)
    store.take([told(starts=10.0)], "am1", NOW)
    assert firing(store) == [("a", 10.0)]
    store.take([told(starts=10.0, ends=30.0)], "am1", NOW + 1)
    assert firing(store) == [("a", 20.0)], "the other has not said that it is over"


def test_a_later_end_ends_what_nobody_speaks_of_any_more(store: ReceivedStore) -> None:
    """An Alertmanager that was restarted has forgotten when the alert began."""
    store.take([told(starts=10.0)], "am", NOW)
    store.take([told(starts=20.0)], "am", NOW + 60)
    store.take([told(starts=20.0, ends=30.0)], "am", NOW + 120)
    assert firing(store) == []
    store.take([told(starts=10.0)], "other", NOW + 180)
    assert firing(store) == [("a", 10.0)]


def test_annotations_are_the_newest_while_it_fires(store: ReceivedStore) -> None:
    store.take([told(summary="5 %")], "am", NOW)
    store.take([told(summary="7 %")], "am", NOW + 1)
    (one,) = store.firing(NOW + 1)
    assert one.alert.annotations == {"summary": "7 %"}


def test_what_nobody_speaks_of_for_two_days_is_not_shown_and_then_forgotten(store: ReceivedStore) -> None:
    store.take([told()], "am", NOW)
    assert firing(store, NOW + SILENT_SECONDS)
    assert not firing(store, NOW + SILENT_SECONDS + 1)
    store.take([told("b")], "am", NOW + 2 * SILENT_SECONDS + 1)
    assert [row[0] for row in rows(store)] == ["b"]


def test_what_is_over_is_kept_for_a_day(store: ReceivedStore) -> None:
    store.take([told(ends=NOW)], "am", NOW)
    store.take([told("b")], "am", NOW + FORGET_RESOLVED_SECONDS)
    assert len(rows(store)) == 2
    store.take([told("b")], "am", NOW + FORGET_RESOLVED_SECONDS + 1)
    assert len(rows(store)) == 1


def test_too_many_alerts_cost_first_those_that_are_over(
    store: ReceivedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALERTS_MAX", 100)
    store.take([told(f"over{number}", ends=NOW) for number in range(50)], "am", NOW)
    store.take([told(f"on{number}") for number in range(80)], "am", NOW)
    kept = [row[0] for row in rows(store)]
    assert len(kept) <= 100 < ALERTS_MAX
    assert len([name for name in kept if name.startswith("on")]) == 80


def test_the_bytes_are_bounded_too(store: ReceivedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 100_000)
    for number in range(30):
        store.take([told(f"n{number}", summary="x" * 10_000)], "am", NOW + number)
    kept = {row[0] for row in rows(store)}
    assert 5 <= len(kept) <= 10
    assert "n29" in kept


@pytest.mark.parametrize("how", ["garbage", "truncated", "torn page"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, how: str) -> None:
    store = ReceivedStore(tmp_path)
    store.take([told(f"n{number}", summary="x" * 500) for number in range(200)], "am", NOW)
    store.close()
    whole = store.path.read_bytes()
    half = len(whole) // 2
    torn = whole[:4096] + os.urandom(len(whole) - 4096)
    store.path.write_bytes({"garbage": os.urandom(9000), "truncated": whole[:half], "torn page": torn}[how])
    again = ReceivedStore(tmp_path)
    again.open()
    assert again.take([told()], "am", NOW) == Counts(new=1)
    assert firing(again) == [("a", NOW - 100)]
    again.close()
    assert (tmp_path / "received.damaged").exists()
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_breaks_at_work_is_replaced(store: ReceivedStore) -> None:
    store.take([told(f"n{number}", summary="x" * 500) for number in range(400)], "am", NOW)
    with sqlite3.connect(store.path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    store._db.execute("PRAGMA shrink_memory")
    assert store.take([told("fresh")], "am", NOW) == Counts(new=1)
    assert firing(store) == [("fresh", NOW - 100)]


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 2")
    before = (tmp_path / FILE).read_bytes()
    store = ReceivedStore(tmp_path)
    with pytest.raises(StoreFailed, match="of version 2, a newer program's"):
        store.open()
    with pytest.raises(StoreFailed):
        store.take([told()], "am", NOW)
    store.close()
    assert (tmp_path / FILE).read_bytes()[60:64] == before[60:64]
    assert not (tmp_path / "received.damaged").exists()


def test_a_file_that_is_taken_away_is_made_anew_after_one_failure(store: ReceivedStore) -> None:
    store.close()
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(StoreFailed):
        store.take([told()], "am", NOW)
    store.path.rmdir()
    assert store.take([told()], "am", NOW) == Counts(new=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        missing("the right to mount a tmpfs", "run the tests as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(handle, b"x" * 4096):
            pass
    os.close(handle)
    assert os.statvfs(file).f_bavail == 0


def test_a_full_disk_takes_nothing_and_later_everything(small_disk: Path) -> None:
    store = ReceivedStore(small_disk)
    store.take([told("before")], "am", NOW)
    filler = small_disk / "filler"
    fill(filler)
    batch = [told(f"n{number}", summary="x" * 1000) for number in range(100)]
    for _ in range(3):
        with pytest.raises(StoreFailed, match=r"full|space|I/O"):
            store.take(batch, "am", NOW)
        assert firing(store) == [("before", NOW - 100)]
    filler.unlink()
    assert store.take(batch, "am", NOW) == Counts(new=100)
    assert len(firing(store)) == 101
    store.close()
    again = ReceivedStore(small_disk)
    assert len(firing(again)) == 101
    again.close()
