"""Applies a function to the samples of every series of a range vector.

Targets are observed at times of their own, so a range vector over a fleet is many small blocks.
Blocks with as many samples are put side by side: the loops over time then run once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from rules.promql.values import Bools, Floats, Ints, Matrix, Segment, Vector

Judge: TypeAlias = Callable[[Ints, Floats], Floats]
"""Gets times[T, n] (or [T, 1] when all columns share them) and values[T, n]; gives n values."""

COLUMNS = 4096
"""How many columns are worked on at a time: what a loop over time touches stays in the cache."""
WIDE = 512
"""A block with as many columns gains nothing from being copied next to others."""


def judged(matrix: Matrix, judge: Judge, *, least: int = 1) -> Vector:
    """Return one value for each series with at least so many samples; metric names stay."""
    values = np.zeros(len(matrix.rows))
    present: Bools = np.zeros(len(matrix.rows), dtype=np.bool_)
    with np.errstate(all="ignore"):
        for block in _blocks(matrix.segments, least):
            places, times, cells = _side_by_side(block)
            values[places] = judge(times, cells)
            present[places] = True
    return Vector(matrix.rows, values, present)


def _blocks(segments: Sequence[Segment], least: int) -> Iterator[list[Segment]]:
    """Give the segments in lists of one height and a bounded width."""
    pending: dict[int, list[Segment]] = {}
    widths: dict[int, int] = {}
    for segment in segments:
        height = len(segment.times)
        if height < least:
            continue
        if len(segment.places) >= WIDE:
            yield from ([part] for part in _narrow(segment))
            continue
        width = widths.get(height, 0) + len(segment.places)
        if width > COLUMNS:
            yield pending.pop(height)
            width = len(segment.places)
        widths[height] = width
        pending.setdefault(height, []).append(segment)
    yield from pending.values()


def _narrow(segment: Segment) -> Iterator[Segment]:
    for first in range(0, len(segment.places), COLUMNS):
        part = slice(first, first + COLUMNS)
        yield Segment(segment.places[part], segment.times, segment.values[:, part])


def _side_by_side(block: list[Segment]) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Ints, Floats]:
    if len(block) == 1:
        return block[0].places, block[0].times[:, None], block[0].values
    widths = [len(each.places) for each in block]
    times = np.repeat(np.stack([each.times for each in block], axis=1), widths, axis=1)
    places = np.concatenate([each.places for each in block])
    return places, times, np.concatenate([each.values for each in block], axis=1)
