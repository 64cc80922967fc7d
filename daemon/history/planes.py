"""Tables of 64-bit numbers as bytes that compress well: differences, then one plane a byte."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Bytes: TypeAlias = NDArray[np.uint8]

ORDERS = 3
"""How often differences are taken: not at all, once, twice."""
_LITTLE = np.dtype("<u8")


def shrunk(numbers: Ints) -> tuple[Bytes, Words]:
    """Return for each column of numbers[T, N] how often differences are taken, and what is left then.

    It is taken what leaves the fewest bits.
    """
    left = np.stack([residues(numbers, order) for order in range(ORDERS)])
    orders: Bytes = np.log2(left.astype(np.float64) + 1.0).sum(axis=1).argmin(axis=0).astype(np.uint8)
    return orders, np.take_along_axis(left, orders[None, None, :].astype(np.intp), axis=0)[0]


def residues(numbers: Ints, order: int) -> Words:
    """Return what is left of numbers[T, N] after their first row is taken away, and differences are taken.

    Small numbers of either sign become small ones; arithmetic wraps, so every number comes back.
    """
    left = numbers - numbers[:1]
    for _ in range(order):
        left = np.diff(left, axis=0, prepend=0)
    zigzag: Ints = (left << 1) ^ (left >> 63)
    return zigzag.view(np.uint64)


def numbers_of(words: Words, first: Ints, order: int) -> Ints:
    """Return the numbers whose residues these are; `first` is their first row."""
    left: Ints = (words >> np.uint64(1)).view(np.int64) ^ -(words & np.uint64(1)).view(np.int64)
    for _ in range(order):
        left = np.cumsum(left, axis=0)
    return left + first


def to_planes(words: Words) -> bytes:
    """Write words[T, N] as their number of planes, then the planes: the lowest bytes of all columns first."""
    columns = np.ascontiguousarray(words.T, dtype=_LITTLE)
    highest = int(columns.max(initial=0))
    count = (highest.bit_length() + 7) // 8
    split = columns.view(np.uint8).reshape(*columns.shape, 8)
    return bytes([count]) + np.ascontiguousarray(np.moveaxis(split, 2, 0)[:count]).tobytes()


def from_planes(
    data: memoryview, rows: int, columns: int, wanted: NDArray[np.intp]
) -> tuple[Words, memoryview]:
    """Return the wanted columns as words[T, n], and the bytes that follow."""
    count, size = data[0], rows * columns
    end = 1 + count * size
    planes = np.frombuffer(data[1:end], dtype=np.uint8).reshape(count, columns, rows)
    split = np.zeros((len(wanted), rows, 8), dtype=np.uint8)
    split[:, :, :count] = np.moveaxis(planes[:, wanted], 0, 2)
    words: Words = split.view(_LITTLE)[:, :, 0].T.astype(np.uint64)
    return words, data[end:]
