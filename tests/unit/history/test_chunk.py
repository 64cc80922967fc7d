from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.history.chunk import Damaged, pack, seal, unpack, unseal
from rules.promql.values import ABSENT, STALE
from tests.fixtures.histories import bits, every_ten_seconds, sheet_of, some_series

PAYLOADS = (
    0x7FF0000000000002,
    0x7FF0000000000003,
    0x7FF8000000000001,
    0xFFF8000000000000,
    0x7FF00000DEADBEEF,
)
cells = st.one_of(
    st.sampled_from(PAYLOADS).map(lambda word: float(np.array([word], dtype=np.uint64).view(np.float64)[0])),
    st.floats(allow_nan=False),
    st.integers(-(2**60), 2**60).map(float),
    st.integers(-(10**9), 10**9).map(lambda number: number / 1000),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), 2.0**53, 2.0**53 + 2, -(2.0**63), 5e-324]),
)
words = st.one_of(st.sampled_from(PAYLOADS), st.integers(0, 2**64 - 1))


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    picked = draw(st.lists(st.sampled_from(["words", "cells", "same"]), min_size=columns, max_size=columns))
    values = np.empty((rows, columns))
    for column, kind in enumerate(picked):
        if kind == "words":
            given_words = draw(st.lists(words, min_size=rows, max_size=rows))
            values[:, column] = np.array(given_words, dtype=np.uint64).view(np.float64)
        elif kind == "same":
            values[:, column] = draw(cells)
        else:
            values[:, column] = np.array(draw(st.lists(cells, min_size=rows, max_size=rows)))
    times = draw(st.lists(st.integers(-(2**62), 2**62), min_size=rows, max_size=rows))
    return np.array(times, dtype=np.int64), values


@given(tables(), st.data())
@settings(max_examples=300, deadline=None)
def test_every_bit_of_every_value_and_time_comes_back(
    table: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    times, values = table
    packed = pack(times, values)
    back_times, back = unpack(packed)
    assert back_times.tolist() == times.tolist()
    assert bits(back) == bits(values)
    wanted = data.draw(st.lists(st.integers(0, values.shape[1] - 1), unique=True))
    some_times, some = unpack(packed, wanted)
    assert some_times.tolist() == times.tolist()
    assert bits(some) == bits(values[:, wanted])


def test_two_hours_of_what_databases_report_take_less_than_two_bytes_a_sample() -> None:
    times = every_ten_seconds(720)
    sheet = sheet_of(some_series(64), times)
    # A quarter has every digit: that much cannot be saved. The others take next to nothing.
    mixed = pack(times, sheet.values)
    plain = pack(times, sheet.values[:, [column for column in range(64) if column % 4 != 3]])
    assert len(plain) / (720 * 48) < 1.5
    assert len(mixed) / (720 * 64) < 2.7


def test_a_column_that_ends_and_one_that_begins_keep_their_marks() -> None:
    times = every_ten_seconds(100)
    values = sheet_of(some_series(4), times).values.copy()
    values[50, 0] = STALE
    values[51:, 0] = ABSENT
    values[:30, 1] = ABSENT
    values[:, 2] = ABSENT
    _, back = unpack(pack(times, values))
    assert bits(back) == bits(values)


@pytest.mark.parametrize("place", [0, 3, 4, 20, -1])
def test_a_flipped_bit_is_damage(place: int) -> None:
    times = every_ten_seconds(50)
    packed = bytearray(pack(times, sheet_of(some_series(4), times).values))
    packed[place] ^= 0x10
    with pytest.raises(Damaged):
        unpack(bytes(packed))


@pytest.mark.parametrize("size", [0, 3, 4, 30])
def test_what_is_cut_short_is_damage(size: int) -> None:
    times = every_ten_seconds(50)
    with pytest.raises(Damaged):
        unpack(pack(times, sheet_of(some_series(4), times).values)[:size])


def test_bytes_with_a_right_checksum_that_are_no_chunk_are_damage() -> None:
    for content in (b"", b"\x01", b"\x09" + bytes(40), b"\x01\x05\0\0\0\x05\0\0\0\0" + bytes(12)):
        with pytest.raises(Damaged):
            unpack(seal(content))


@given(st.binary(max_size=1000))
def test_sealed_bytes_come_back(data: bytes) -> None:
    assert unseal(seal(data)) == data
