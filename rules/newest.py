"""The newest sample of every series of a window, in two columns that all its sheets share.

An instant selector over thousands of sheets is then one look at these columns.
"""

from __future__ import annotations

import numpy as np

from rules.promql.values import ABSENT, STALE_BITS, Bools, Floats, Ints, is_sample

_FIRST = 1024
NEVER = 0
"""The time of a place without a sample."""


class Newest:
    """Places for values and times; a sheet takes as many in a row as it has columns."""

    __slots__ = ("_end", "_free", "times", "values")

    def __init__(self) -> None:
        self.values: Floats = np.full(_FIRST, ABSENT)
        self.times: Ints = np.full(_FIRST, NEVER, dtype=np.int64)
        self._end = 0
        self._free: dict[int, list[int]] = {}
        """By size: where stretches begin that were given back."""

    def take(self, size: int) -> int:
        """Return where a stretch of so many places begins; nothing is in it."""
        free = self._free.get(size)
        if free:
            return free.pop()
        first, self._end = self._end, self._end + size
        if self._end > len(self.values):
            more = max(self._end - len(self.values), len(self.values) // 2)
            self.values = np.concatenate([self.values, np.full(more, ABSENT)])
            self.times = np.concatenate([self.times, np.full(more, NEVER, dtype=np.int64)])
        return first

    def give_back(self, first: int, size: int) -> None:
        """Free a stretch."""
        if size:
            self.values[first : first + size] = ABSENT
            self.times[first : first + size] = NEVER
            self._free.setdefault(size, []).append(first)

    @property
    def bytes(self) -> int:
        """Return the memory that it takes."""
        return int(self.values.nbytes + self.times.nbytes)


def newest_of(cells: Floats, times: Ints) -> tuple[Floats, Ints]:
    """Return each column's newest sample or staleness marker, and its time; NEVER when there is none."""
    found = cells[-1].copy()
    at = np.full(len(found), times[-1])
    missing: Bools = _is_absent(found)
    row = len(times) - 2
    while row >= 0 and missing.any():
        found[missing] = cells[row, missing]
        at[missing] = times[row]
        missing = _is_absent(found)
        row -= 1
    at[missing] = NEVER
    return found, at


def _is_absent(values: Floats) -> Bools:
    absent: Bools = ~is_sample(values) & (values.view(np.uint64) != STALE_BITS)
    return absent
