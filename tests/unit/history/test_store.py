from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.history.errors import HistoryTaken
from daemon.history.options import HistoryOptions
from daemon.history.retention import total_bytes
from daemon.history.rollup import Column, rolled
from daemon.history.store import GRACE_MS, Store
from daemon.history.wanted import EVERYTHING
from rules.labels import Labels
from rules.promql.matchers import Matcher, MatchOp
from rules.promql.values import ABSENT, STALE
from tests.fixtures.histories import (
    SLOT_MS,
    START_MS,
    every_ten_seconds,
    expected,
    filled,
    found,
    named,
    packed,
    sheet_of,
    some_series,
)

FAR_MS = START_MS + 400 * 86_400_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def everything(store: Store) -> dict[Labels, dict[int, int]]:
    return found(store.reader.read(EVERYTHING, 0, 2**60))


def test_what_was_appended_is_read_at_once_then_from_batches_then_packed(store: Store) -> None:
    sheet = sheet_of(some_series(30), every_ten_seconds(1000))
    store.append(*sheet)
    assert everything(store) == expected([sheet])
    assert store.flush()
    assert everything(store) == expected([sheet])
    assert packed(store, FAR_MS) == 2
    assert everything(store) == expected([sheet])
    assert store.counts.samples == 30_000
    assert store.trouble == ""


def test_what_was_flushed_is_there_after_it_was_opened_again(tmp_path: Path) -> None:
    sheet = sheet_of(some_series(10), every_ten_seconds(900))
    store = Store(tmp_path)
    filled(store, sheet)
    store.close()
    store = Store(tmp_path)
    assert everything(store) == expected([sheet])
    packed(store, FAR_MS)
    store.close()
    store = Store(tmp_path)
    assert everything(store) == expected([sheet])
    store.close()


def test_closing_makes_everything_durable(tmp_path: Path) -> None:
    sheet = sheet_of(some_series(5), every_ten_seconds(6))
    store = Store(tmp_path)
    store.append(*sheet)
    assert store.close()
    store = Store(tmp_path)
    assert everything(store) == expected([sheet])
    store.close()


def test_both_ends_of_a_range_belong_to_it(store: Store) -> None:
    times = every_ten_seconds(720 + 5)
    sheet = sheet_of(some_series(3), times)
    filled(store, sheet, rows_a_flush=50)
    for state in ("batches", "packed"):
        for first, last in ((0, 0), (3, 9), (715, 722), (719, 720), (724, 724)):
            read = found(store.reader.read(EVERYTHING, int(times[first]), int(times[last])))
            rows = slice(first, last + 1)
            assert read == expected([sheet._replace(times=times[rows], values=sheet.values[rows])]), state
        assert found(store.reader.read(EVERYTHING, int(times[3]) + 1, int(times[4]) - 1)) == {}
        packed(store, FAR_MS)


def test_series_are_found_by_conditions_and_by_themselves(store: Store) -> None:
    sheets = [sheet_of(some_series(20, target), every_ten_seconds(10), seed=5) for target in ("a", "b")]
    for sheet in sheets:
        store.append(*sheet)
    store.flush()
    for _state in ("batches", "packed"):
        conditions = (Matcher("__name__", MatchOp.EQUAL, "m3"), Matcher("target", MatchOp.REGEX, "[bc]"))
        read = found(store.reader.read(conditions, 0, FAR_MS))
        assert set(read) == {one for one in sheets[1].series if one.name == "m3"}
        by_pattern = (Matcher("__name__", MatchOp.REGEX, "m[34]"), Matcher("place", MatchOp.NOT_EQUAL, "003"))
        wanted = {one for sheet in sheets for one in sheet.series if one.name in ("m3", "m4")}
        wanted = {one for one in wanted if one.get("place") != "003"}
        assert set(found(store.reader.read(by_pattern, 0, FAR_MS))) == wanted
        assert store.reader.series(by_pattern, 0, FAR_MS) == sorted(wanted)
        one = sheets[0].series[5]
        assert found(store.reader.read([one], 0, FAR_MS)) == {one: expected(sheets)[one]}
        assert found(store.reader.read([named("m3", target="z")], 0, FAR_MS)) == {}
        assert found(store.reader.read((), 0, FAR_MS)) == {}
        packed(store, FAR_MS)


def test_series_that_come_and_go_keep_their_own_samples(store: Store) -> None:
    series = some_series(12)
    sheets = []
    for row in range(60):
        there = tuple(one for place, one in enumerate(series) if (row // 7 + place) % 3)
        sheet = sheet_of(there, every_ten_seconds(1, START_MS + 10_000 * row), seed=row)
        store.append(*sheet)
        sheets.append(sheet)
        assert store.flush()
    assert everything(store) == expected(sheets)
    packed(store, FAR_MS)
    assert everything(store) == expected(sheets)


def test_of_two_samples_at_one_time_the_newer_write_wins(store: Store) -> None:
    series = some_series(2)
    times = every_ten_seconds(4)
    sheets = [sheet_of(series, times, seed=seed) for seed in (1, 2)]
    gap = sheets[1].values.copy()
    gap[2, 1] = ABSENT
    sheets[1] = sheets[1]._replace(values=gap)
    for sheet in sheets:
        store.append(*sheet)
        assert store.flush()
    assert everything(store) == expected(sheets)
    packed(store, FAR_MS)
    assert everything(store) == expected(sheets)
    late = sheet_of(series, times[1:3], seed=9)
    filled(store, late)
    assert everything(store) == expected([*sheets, late])
    packed(store, FAR_MS)
    assert everything(store) == expected([*sheets, late])


def test_a_clock_that_jumps_back_loses_nothing(store: Store) -> None:
    series = some_series(3)
    ahead = sheet_of(series, every_ten_seconds(5, START_MS + 50 * 86_400_000), seed=1)
    back = sheet_of(series, every_ten_seconds(900), seed=2)
    filled(store, ahead)
    filled(store, back, rows_a_flush=100)
    now = int(back.times[-1])
    packed(store, now)
    store.trim(now)
    assert everything(store) == expected([ahead, back])
    again = sheet_of(series, every_ten_seconds(900, START_MS + 5_000), seed=3)
    filled(store, again, rows_a_flush=100)
    packed(store, now + SLOT_MS)
    assert everything(store) == expected([ahead, back, again])


def test_the_open_span_is_not_packed_and_the_last_one_not_before_its_grace_is_over(store: Store) -> None:
    filled(store, sheet_of(some_series(3), every_ten_seconds(730)), rows_a_flush=100)
    assert packed(store, START_MS + SLOT_MS) == 0
    assert packed(store, START_MS + SLOT_MS + GRACE_MS) == 0
    assert packed(store, START_MS + SLOT_MS + GRACE_MS + 1) == 1
    assert packed(store, START_MS + 2 * SLOT_MS + GRACE_MS + 1) == 1


def test_minutes_are_those_of_the_samples_before_and_after_packing(store: Store) -> None:
    sheet = sheet_of(some_series(9), every_ten_seconds(800))
    values = sheet.values.copy()
    values[40, 2], values[41:90, 2], values[:, 5] = STALE, ABSENT, np.nan
    sheet = sheet._replace(values=values)
    filled(store, sheet, rows_a_flush=50)
    rollup = rolled(sheet.times, sheet.values)
    for _state in ("batches", "half packed", "packed"):
        for column in Column:
            read = found(store.reader.read_rollup(EVERYTHING, 0, FAR_MS, column=column))
            wanted = expected([sheet._replace(times=rollup.times, values=rollup.column(column))])
            assert read == wanted, column
        packed(store, START_MS + SLOT_MS + GRACE_MS + 1 if _state == "batches" else FAR_MS)


def test_where_samples_are_no_longer_kept_their_minutes_are_read(store: Store) -> None:
    sheet = sheet_of(some_series(4), every_ten_seconds(2000))
    filled(store, sheet, rows_a_flush=200)
    packed(store, FAR_MS)
    now = START_MS + SLOT_MS + store.options.raw_ms
    store.trim(int(sheet.times[-1]), monotonic=0.0)
    store.trim(now, monotonic=(now - int(sheet.times[-1])) / 1000)
    assert store.reader.oldest_raw_ms() == START_MS + SLOT_MS
    old = sheet.times <= START_MS + SLOT_MS
    rollup = rolled(sheet.times[old], sheet.values[old])
    for column in Column:
        minutes = sheet._replace(times=rollup.times, values=rollup.column(column))
        rest = sheet._replace(times=sheet.times[~old], values=sheet.values[~old])
        assert found(store.reader.read(EVERYTHING, 0, FAR_MS, column=column)) == expected([minutes, rest])


def test_what_is_older_than_it_is_kept_goes(store: Store) -> None:
    sheet = sheet_of(some_series(4), every_ten_seconds(100))
    filled(store, sheet, rows_a_flush=100)
    packed(store, FAR_MS)
    for days, kinds in ((0.5, {"raw", "minutes"}), (1.5, {"minutes"}), (31.5, set())):
        now = START_MS + round(days * 86_400_000)
        store.trim(now, monotonic=now / 1000)
        assert {path.name.partition("-")[0] for path in (store_folder(store)).glob("*-*T*.db")} == kinds


def test_a_clock_that_leaps_ahead_deletes_nothing_for_an_hour(store: Store) -> None:
    filled(store, sheet_of(some_series(4), every_ten_seconds(100)), rows_a_flush=100)
    packed(store, START_MS + 2 * SLOT_MS)
    store.trim(START_MS + SLOT_MS, monotonic=100.0)
    store.trim(FAR_MS, monotonic=400.0)
    store.trim(FAR_MS + 1000, monotonic=3900.0)
    assert store.reader.oldest_raw_ms() == START_MS
    store.trim(START_MS + SLOT_MS, monotonic=4000.0)
    store.trim(START_MS + SLOT_MS, monotonic=4001.0)
    assert everything(store)
    store.trim(FAR_MS, monotonic=5000.0)
    store.trim(FAR_MS + 3_600_000, monotonic=8600.0)
    assert everything(store) == {}


def test_after_a_long_pause_nothing_is_deleted_before_an_hour_has_passed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    filled(store, sheet_of(some_series(4), every_ten_seconds(100)), rows_a_flush=100)
    packed(store, FAR_MS)
    store.close()
    store = Store(tmp_path)
    store.trim(FAR_MS, monotonic=10.0)
    assert everything(store)
    store.trim(FAR_MS + 3_600_000, monotonic=3610.0)
    assert everything(store) == {}
    store.close()


def test_all_files_together_stay_within_their_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    bound = 700_000
    store = Store(tmp_path, HistoryOptions(max_bytes=bound))
    rng = np.random.default_rng(1)
    series = some_series(20)
    for slot in range(10):
        times = every_ten_seconds(720, START_MS + slot * SLOT_MS)
        filled(store, sheet_of(series, times)._replace(values=rng.random((720, 20))), rows_a_flush=360)
        now = START_MS + (slot + 1) * SLOT_MS + GRACE_MS + 1
        packed(store, now)
        store.trim(now, monotonic=now / 1000)
        assert total_bytes(tmp_path / "history") <= bound
    oldest = store.reader.oldest_raw_ms()
    assert oldest is not None
    assert START_MS + 2 * SLOT_MS < oldest < START_MS + 10 * SLOT_MS
    store.close()


def test_a_bound_smaller_than_what_came_lately_loses_the_oldest_of_that_and_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path, HistoryOptions(max_bytes=300_000))
    rng = np.random.default_rng(1)
    for slot in range(4):
        times = every_ten_seconds(100, START_MS + slot * SLOT_MS)
        filled(
            store, sheet_of(some_series(80), times)._replace(values=rng.random((100, 80))), rows_a_flush=50
        )
        store.trim(START_MS, monotonic=0.0)
    assert total_bytes(tmp_path / "history") < 500_000
    newest = every_ten_seconds(3, START_MS + 5 * SLOT_MS)
    sheet = sheet_of(some_series(80), newest)
    filled(store, sheet)
    assert found(store.reader.read(EVERYTHING, int(newest[0]), FAR_MS)) == expected([sheet])
    store.close()


def test_two_cannot_write_one_history(store: Store, tmp_path: Path) -> None:
    with pytest.raises(HistoryTaken, match="another process writes this history"):
        Store(tmp_path)


def test_files_are_for_this_user_alone(store: Store, tmp_path: Path) -> None:
    filled(store, sheet_of(some_series(4), every_ten_seconds(10)))
    packed(store, FAR_MS)
    folder = tmp_path / "history"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) >= 4
    assert set(modes.values()) == {0o600}, modes


def test_what_waits_in_memory_is_bounded_and_the_loss_counted(tmp_path: Path) -> None:
    store = Store(tmp_path, HistoryOptions(unsaved_max_bytes=8 * 1000))
    sheet = sheet_of(some_series(10), every_ten_seconds(150))
    for row in range(150):
        store.append(sheet.series, sheet.times[row : row + 1], sheet.values[row : row + 1])
    assert store.unsaved_bytes == 8000
    assert store.counts.lost["unsaved_full"] == 500
    rest = sheet._replace(times=sheet.times[50:], values=sheet.values[50:])
    assert everything(store) == expected([rest])
    store.close()


def test_shapes_that_do_not_fit_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="2 times of 3 series"):
        store.append(some_series(3), every_ten_seconds(2), np.zeros((3, 2)))


def test_a_new_object_with_other_series_at_the_place_of_an_old_one_is_not_mistaken_for_it(
    store: Store,
) -> None:
    sheets = []
    for number in range(50):
        series = [named("m", number=str(number % 10))]
        sheet = sheet_of(series, every_ten_seconds(1, START_MS + number * 10_000), seed=number)
        store.append(*sheet)
        assert store.flush()
        sheets.append(sheet._replace(series=tuple(series)))
        del series, sheet
    assert everything(store) == expected(sheets)


def test_series_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for slot in range(3):
        series = some_series(50, target=f"t{slot}")
        filled(store, sheet_of(series, every_ten_seconds(3, START_MS + slot * SLOT_MS)))
        packed(store, START_MS + (slot + 1) * SLOT_MS + GRACE_MS + 1)
    fresh = store._fresh
    assert fresh is not None
    filled(store, sheet_of(some_series(50, target="t4"), every_ten_seconds(3, START_MS + 4 * SLOT_MS)))
    packed(store, START_MS + 4 * SLOT_MS + 1)
    assert len(fresh._layouts.by_id) <= 2
    store.close()


def store_folder(store: Store) -> Path:
    return store._folder
