"""Prometheus' remote write 1.0 message: three protobuf types, written by hand, packed with snappy."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cramjam
import numpy as np

from daemon.history.sheets import Sheet
from rules.labels import Labels
from rules.promql.values import ABSENT_BITS

_SERIES = b"\x0a"  # WriteRequest.timeseries, and TimeSeries.labels: field 1, with a length
_SAMPLES = b"\x12"  # TimeSeries.samples: field 2, with a length
_VALUE = b"\x09"  # Sample.value: field 1, eight bytes
_TIME = b"\x10"  # Sample.timestamp: field 2, a varint
_MASK = (1 << 64) - 1


def write_request(sheets: Iterable[Sheet]) -> bytes:
    """Return the body of a request that carries these samples; what is absent is left out."""
    message = bytearray()
    for sheet in sheets:
        times = [_TIME + _varint(int(at)) for at in sheet.times]
        there = sheet.values.view(np.uint64) != ABSENT_BITS
        for column, labels in enumerate(sheet.series):
            rows = np.flatnonzero(there[:, column])
            if rows.size:
                samples = b"".join(_sample(sheet.values[row, column], times[row]) for row in rows)
                message += _SERIES + _sized(_labels(labels) + samples)
    return bytes(cramjam.snappy.compress_raw(bytes(message)))


@lru_cache(maxsize=65_536)
def _labels(labels: Labels) -> bytes:
    return b"".join(
        _SERIES + _sized(b"\x0a" + _sized(name.encode()) + b"\x12" + _sized(value.encode()))
        for name, value in labels.items()
    )


def _sample(value: np.float64, time: bytes) -> bytes:
    return _SAMPLES + _sized(_VALUE + value.tobytes() + time)


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    left = number & _MASK
    found = bytearray()
    while left > 0x7F:  # noqa: PLR2004 - seven bits a byte
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)
