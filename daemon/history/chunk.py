"""One chunk: the samples of some series at the same times, packed; every bit of every value comes back.

Most values that databases report are whole, or have few decimals: those columns are kept as integers.
The rest are kept as what changes of their bits. A checksum goes before everything.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import cramjam
import numpy as np
from numpy.typing import NDArray

from daemon.history.planes import (
    Bytes,
    Ints,
    Words,
    from_planes,
    numbers_of,
    shrunk,
    to_planes,
)
from rules.promql.values import ABSENT, ABSENT_BITS, STALE, STALE_BITS, Floats

LEVEL = 9
_VERSION = 1
_HEAD = struct.Struct("<BII?")
_CHECKSUM = struct.Struct("<I")
_DECIMALS = (0, 1, 2, 3, 4, 6, 9)
_BITS = 255
"""Form of a column that no number of decimals fits."""
_LARGEST = 2.0**53


class Damaged(Exception):
    """Bytes that are not what was written."""


def pack(times: Ints, values: Floats, level: int = LEVEL) -> bytes:
    """Return times[T] and values[T, N] in few bytes."""
    marks = _marks(values)
    plain = _filled(values, marks)
    forms, numbers = _forms(plain)
    head = _HEAD.pack(_VERSION, *values.shape, bool(marks.any()))
    parts = [head, _packed_numbers(times[:, None]), forms.tobytes()]
    if marks.any():
        parts.append(np.ascontiguousarray(marks.T).tobytes())
    if numbers.size:
        parts.append(_packed_numbers(numbers))
    rest = np.ascontiguousarray(plain[:, forms == _BITS])
    if rest.size:
        bits = rest.view(np.uint64)
        parts.append(to_planes(np.concatenate([bits[:1], bits[1:] ^ bits[:-1]])))
    return seal(b"".join(parts), level)


def unpack(data: bytes, wanted: Sequence[int] | None = None) -> tuple[Ints, Floats]:
    """Return times[T] and the wanted columns (all by default) of values; raise Damaged."""
    left = memoryview(unseal(data))
    try:
        return _unpacked(left, wanted)
    except (ValueError, IndexError, struct.error) as error:
        raise Damaged(f"what was packed does not fit together: {error}") from error


def seal(data: bytes, level: int = LEVEL) -> bytes:
    """Compress, and put a checksum before."""
    packed = bytes(cramjam.zstd.compress(data, level=level))
    return _CHECKSUM.pack(zlib.crc32(packed)) + packed


def unseal(data: object) -> bytes:
    """Return what `seal` was given; raise Damaged."""
    if not isinstance(data, bytes):
        raise Damaged("there is nothing where packed bytes should be")
    body = data[_CHECKSUM.size :]
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack_from(data)[0] != zlib.crc32(body):
        raise Damaged("the checksum is another")
    try:
        return bytes(cramjam.zstd.decompress(body))
    except cramjam.DecompressionError as error:
        raise Damaged(f"it cannot be decompressed: {error}") from None


def _marks(values: Floats) -> Bytes:
    bits = values.view(np.uint64)
    marks: Bytes = (bits == ABSENT_BITS).astype(np.uint8) + 2 * (bits == STALE_BITS).astype(np.uint8)
    return marks


def _filled(values: Floats, marks: Bytes) -> Floats:
    """Put neighbours where no sample is, so that what is compressed goes on smoothly."""
    if not marks.any():
        return np.ascontiguousarray(values)
    there = marks == 0
    rows = np.where(there, np.arange(len(values))[:, None], 0)
    rows = np.maximum(np.maximum.accumulate(rows, axis=0), there.argmax(axis=0))
    filled = np.take_along_axis(values, rows, axis=0)
    filled[:, ~there.any(axis=0)] = 0.0
    return filled


def _forms(values: Floats) -> tuple[Bytes, Ints]:
    """Return the form of each column, and the numbers of those that have some decimals only."""
    forms = np.full(values.shape[1], _BITS, dtype=np.uint8)
    numbers = np.zeros(values.shape, dtype=np.int64)
    left = np.flatnonzero(np.isfinite(values).all(axis=0))
    for decimals in _DECIMALS:
        if not left.size:
            break
        given = values[:, left]
        with np.errstate(over="ignore"):
            scaled = np.rint(given * 10.0**decimals)
        small = (np.abs(scaled) < _LARGEST).all(axis=0)
        whole = np.where(small, scaled, 0.0).astype(np.int64)
        same = small & (_scaled_back(whole, decimals).view(np.uint64) == given.view(np.uint64)).all(axis=0)
        forms[left[same]] = decimals
        numbers[:, left[same]] = whole[:, same]
        left = left[~same]
    return forms, numbers[:, forms != _BITS]


def _scaled_back(numbers: Ints, decimals: int) -> Floats:
    back: Floats = numbers / 10.0**decimals
    return back


def _packed_numbers(numbers: Ints) -> bytes:
    orders, words = shrunk(numbers)
    first: bytes = numbers[0].astype("<i8").tobytes()
    return orders.tobytes() + first + to_planes(words)


def _unpacked_numbers(
    data: memoryview, rows: int, columns: int, wanted: NDArray[np.intp]
) -> tuple[Ints, memoryview]:
    orders = np.frombuffer(data[:columns], dtype=np.uint8)[wanted]
    first = np.frombuffer(data[columns : 9 * columns], dtype="<i8")[wanted].astype(np.int64)
    words, data = from_planes(data[9 * columns :], rows, columns, wanted)
    numbers = np.empty(words.shape, dtype=np.int64)
    for order in np.unique(orders):
        which = orders == order
        numbers[:, which] = numbers_of(words[:, which], first[which], int(order))
    return numbers, data


def _unpacked(data: memoryview, wanted: Sequence[int] | None) -> tuple[Ints, Floats]:
    version, rows, columns, marked = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise Damaged(f"it is of version {version}, which this program does not know")
    columns_wanted = np.arange(columns) if wanted is None else np.asarray(wanted, dtype=np.intp)
    times, data = _unpacked_numbers(data[_HEAD.size :], rows, 1, np.zeros(1, dtype=np.intp))
    forms, data = np.frombuffer(data[:columns], dtype=np.uint8), data[columns:]
    marks: NDArray[np.uint8] | None = None
    if marked:
        marks = np.frombuffer(data[: rows * columns], dtype=np.uint8).reshape(columns, rows)[columns_wanted].T
        data = data[rows * columns :]
    values = np.empty((rows, len(columns_wanted)))
    data = _numbers_into(values, data, forms, columns_wanted)
    _bits_into(values, data, forms, columns_wanted)
    if marks is not None:
        values[marks == 1] = ABSENT
        values[marks == 2] = STALE  # noqa: PLR2004 - as _marks has it
    return times[:, 0], values


def _numbers_into(values: Floats, data: memoryview, forms: Bytes, wanted: NDArray[np.intp]) -> memoryview:
    stored = forms != _BITS
    if not stored.any():
        return data
    here = stored[wanted]
    places = (np.cumsum(stored) - 1)[wanted[here]]
    numbers, data = _unpacked_numbers(data, len(values), int(stored.sum()), places)
    for decimals in np.unique(forms[wanted[here]]):
        which = forms[wanted[here]] == decimals
        values[:, np.flatnonzero(here)[which]] = _scaled_back(numbers[:, which], int(decimals))
    return data


def _bits_into(values: Floats, data: memoryview, forms: Bytes, wanted: NDArray[np.intp]) -> None:
    stored = forms == _BITS
    here = stored[wanted]
    if not here.any():
        return
    places = (np.cumsum(stored) - 1)[wanted[here]]
    words, _ = from_planes(data, len(values), int(stored.sum()), places)
    bits: Words = np.bitwise_xor.accumulate(words, axis=0)
    values[:, here] = bits.view(np.float64)
