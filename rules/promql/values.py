"""What expressions give: numbers, instant vectors, range vectors.

Vectors are columns: one row object that names the series, one array of values, one that tells which
of them are there. A comparison takes elements away without making new rows, so everything that is
derived from labels (groups, matches) stays good from one evaluation to the next as long as the same
series are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from rules.errors import EvalError
from rules.labels import NAME, Labels, Schema, schema

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Key: TypeAlias = tuple[Schema, tuple[str, ...], str]
"""What `Labels` are made of: form, values, metric name. As a key it is much faster than they are."""
T = TypeVar("T")

STALE_BITS = 0x7FF0000000000002
"""The NaN that says "this series has ended", as Prometheus writes it."""
ABSENT_BITS = 0x7FF0000000000003
"""The NaN that says "no sample here": never leaves the window."""
STALE = np.array([STALE_BITS], dtype=np.uint64).view(np.float64)[0]
ABSENT = np.array([ABSENT_BITS], dtype=np.uint64).view(np.float64)[0]


def is_sample(values: Floats) -> Bools:
    """Tell which cells hold a sample: neither a staleness marker nor nothing. An ordinary NaN is one."""
    # The two are neighbours; what is below them wraps around to something large.
    found: Bools = (values.view(np.uint64) - np.uint64(STALE_BITS)) > 1
    return found


class Rows:
    """The series of a vector, in an order. Compared by identity: the same object means the same series."""

    __slots__ = ("_apart", "_kept", "_labels", "_nameless", "_unnamed")

    def __init__(self, labels: Sequence[Labels], *, unnamed: bool = False) -> None:
        self._labels = labels
        self._unnamed = unnamed
        self._nameless: Rows | None = self if unnamed else None
        self._apart: bool | None = None
        self._kept: dict[object, object] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> Labels:
        labels = self._labels[row]
        return labels.nameless() if self._unnamed else labels

    def __iter__(self) -> Iterator[Labels]:
        return (labels.nameless() for labels in self._labels) if self._unnamed else iter(self._labels)

    def nameless(self) -> Rows:
        """Return the same series without their metric name; no label set is built before it is looked at."""
        if self._nameless is None:
            self._nameless = Rows(self._labels, unnamed=True)
        return self._nameless

    def kept(self, what: object, make: Callable[[], T]) -> T:
        """Return what `make` gave the first time: all that look at these rows share it."""
        if what not in self._kept:
            self._kept[what] = make()
        return cast("T", self._kept[what])

    def keys(self, names: frozenset[str], *, keep: bool) -> list[Key]:
        """Return for each row its labels without these (the name goes too), or with none but these."""
        named = keep and NAME in names and not self._unnamed
        found: list[Key] = []
        form, whole = schema(()), False
        part, places = form.only(frozenset())
        for labels in self._labels:
            if labels.schema is not form:
                form = labels.schema
                part, places = form.only(names) if keep else form.without(names)
                whole = len(places) == len(form.names)
            values = labels.values if whole else tuple([labels.values[at] for at in places])
            found.append((part, values, labels.name if named else ""))
        return found

    @property
    def apart(self) -> bool:
        """Tell whether all label sets differ; without names they may not."""
        if self._apart is None:
            if self._unnamed and len({labels.name for labels in self._labels}) <= 1:
                self._apart = True  # with their one name they differ, so they do without it
            else:
                self._apart = len(set(self)) == len(self._labels)
        return self._apart


NO_ROWS = Rows(())
SINGLE = Rows((Labels("", schema(()), ()),))
"""One series without any label: what `vector(1)` and `sum(x)` give."""


@dataclass(slots=True, eq=False)
class Vector:
    """An instant vector: `values[i]` belongs to `rows[i]` where `present[i]`."""

    rows: Rows
    values: Floats
    present: Bools
    times: Ints | None = None
    """When each sample was taken, Unix milliseconds; None: at the time of evaluation."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self.present))

    def items(self) -> Iterator[tuple[Labels, float]]:
        """Give the elements that are there."""
        for row in np.flatnonzero(self.present):
            yield self.rows[int(row)], float(self.values[row])

    def unnamed(self) -> Vector:
        """Return the same without metric names; raise EvalError when two would then be one series."""
        rows = self.rows.nameless()
        vector = Vector(rows, self.values, self.present, self.times)
        if not rows.apart:
            check_apart(vector)
        return vector


def check_apart(vector: Vector) -> None:
    """Raise EvalError when two elements that are there have the same labels."""
    seen = set()
    for row in np.flatnonzero(vector.present):
        labels = vector.rows[int(row)]
        if labels in seen:
            raise EvalError("vector cannot contain metrics with the same labelset")
        seen.add(labels)


@dataclass(slots=True, eq=False)
class Segment:
    """Series of a range vector that have samples at the same times; every cell is a sample."""

    places: NDArray[np.intp]
    """Which rows of the matrix the columns are."""
    times: Ints
    """Unix milliseconds, ascending; at least one."""
    values: Floats
    """`values[t, c]`: the sample of column c at `times[t]`."""


@dataclass(slots=True, eq=False)
class Matrix:
    """A range vector: samples after `start_ms` up to `end_ms`; rows without any are in no segment."""

    rows: Rows
    segments: Sequence[Segment]
    start_ms: int
    end_ms: int

    def items(self) -> Iterator[tuple[Labels, Ints, Floats]]:
        """Give each series with its times and values."""
        for segment in self.segments:
            for column, place in enumerate(segment.places):
                yield self.rows[int(place)], segment.times, segment.values[:, column]

    def each(self, judge: Callable[[Ints, Floats], tuple[Floats, Bools | None]]) -> Vector:
        """Return one value a series, with metric names.

        `judge` gets times[T] and values[T, n], and gives n values and which are there (None: all).
        """
        values = np.zeros(len(self.rows))
        present = np.zeros(len(self.rows), dtype=np.bool_)
        for segment in self.segments:
            found, there = judge(segment.times, segment.values)
            values[segment.places] = found
            present[segment.places] = True if there is None else there
        return Vector(self.rows, values, present)


Value: TypeAlias = float | str | Vector | Matrix


def segments_of(places: NDArray[np.intp], times: Ints, values: Floats) -> Iterator[Segment]:
    """Split columns with gaps into segments without: one for each pattern of samples among the columns."""
    there = is_sample(values)
    whole = there.all(axis=0)
    if whole.all():
        if len(times) and len(places):
            yield Segment(places, times, values)
        return
    if whole.any() and len(times):
        yield Segment(places[whole], times, values[:, whole])
    patterns: dict[bytes, list[int]] = {}
    packed = np.packbits(there, axis=0)
    for column in np.flatnonzero(~whole):
        patterns.setdefault(packed[:, column].tobytes(), []).append(int(column))
    for columns in patterns.values():
        which = there[:, columns[0]]
        if which.any():
            yield Segment(places[columns], times[which], values[which][:, columns])
