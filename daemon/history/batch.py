"""One batch: the sheets of one write, packed quickly; each can be read without the others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from daemon.history.chunk import Damaged, seal, unseal
from daemon.history.sheets import Sheet
from rules.labels import Labels

_LEVEL = 1
_PIECE = struct.Struct("<QII")


def packed(by_layout: Mapping[int, Sequence[Sheet]]) -> bytes:
    """Write sheets by the number of their layout."""
    parts = []
    for layout, sheets in by_layout.items():
        times = np.concatenate([sheet.times for sheet in sheets]).astype("<i8", copy=False)
        values = np.concatenate([sheet.values for sheet in sheets]).astype("<f8", copy=False)
        # Series after series, what repeats stands side by side.
        parts += [_PIECE.pack(layout, *values.shape), times.tobytes(), values.T.tobytes()]
    return seal(b"".join(parts), _LEVEL)


def sheets_of(data: bytes, series: Callable[[int], Sequence[Labels] | None]) -> Iterator[Sheet]:
    """Give the sheets whose layouts `series` knows; raise Damaged."""
    left = memoryview(unseal(data))
    while left:
        try:
            layout, rows, columns = _PIECE.unpack_from(left)
            start, middle = _PIECE.size, _PIECE.size + 8 * rows
            end = middle + 8 * rows * columns
            known = series(layout)
            if known is not None:
                times = np.frombuffer(left[start:middle], dtype="<i8").astype(np.int64)
                values = np.frombuffer(left[middle:end], dtype="<f8").reshape(columns, rows)
                yield Sheet(known, times, values.T)
        except (ValueError, struct.error) as error:
            raise Damaged(f"what was packed does not fit together: {error}") from error
        left = left[end:]
