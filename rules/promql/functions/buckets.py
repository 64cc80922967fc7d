"""Quantiles of classic histograms: series of cumulative counts with a label `le`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import Labels
from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, scalar_at, vector_at
from rules.promql.tree import Call
from rules.promql.values import Bools, Floats, Rows, Value, Vector, check_apart

BOUND = "le"
TOLERANCE = 1e-12
"""Counts that differ by less, relatively, are equal."""
SMALLEST_NORMAL = 2.0**-1022
_GROUP = frozenset({BOUND})
_DIGITS = r"\d(?:_?\d)*"
_HEX_DIGITS = r"_?[0-9a-f](?:_?[0-9a-f])*"
_NUMBER = re.compile(
    rf"[+-]?({_DIGITS}\.?({_DIGITS})?|\.{_DIGITS})(e[+-]?{_DIGITS})?", re.IGNORECASE | re.ASCII
)
_HEXADECIMAL = re.compile(
    rf"[+-]?0x({_HEX_DIGITS}\.?({_HEX_DIGITS})?|\.{_HEX_DIGITS})p[+-]?{_DIGITS}", re.IGNORECASE | re.ASCII
)
_WORD = re.compile(r"[+-]?(inf|infinity)|nan", re.IGNORECASE)


@dataclass(slots=True)
class _Layout:
    """Where the buckets are: one line for each histogram, one cell for each bound, ascending."""

    rows: Rows
    """One for each histogram."""
    sources: NDArray[np.intp]
    """The rows of the vector that are buckets."""
    cells: NDArray[np.intp]
    """The cell of each of them in the flattened grid."""
    bounds: Floats
    """`bounds[histogram, place]`, NaN where there are fewer."""


def _histogram_quantile(call: Call, context: Context, evaluate: Evaluator) -> Value:
    share = scalar_at(0, call, context, evaluate)
    vector = vector_at(1, call, context, evaluate)
    layout = context.memo.of(call, (vector.rows,), lambda: _laid_out(vector.rows))
    there = np.zeros(layout.bounds.shape, dtype=np.bool_)
    counts = np.zeros(layout.bounds.shape)
    found = vector.present[layout.sources]
    cells = layout.cells[found]
    there.ravel()[cells] = True
    np.add.at(counts.ravel(), cells, vector.values[layout.sources[found]])
    present: Bools = np.any(there, axis=1)
    values = np.zeros(len(layout.rows))
    if not present.any():
        return Vector(layout.rows, values, present)
    with np.errstate(all="ignore"):
        values[present] = _quantiles(share, layout.bounds[present], counts[present], there[present])
    result = Vector(layout.rows, values, present)
    if not layout.rows.apart:
        check_apart(result)
    return result


def _laid_out(rows: Rows) -> _Layout:
    histograms: dict[tuple[str, Labels], dict[float, list[int]]] = {}
    for row, labels in enumerate(rows):
        bound = _bound(labels.get(BOUND))
        if bound is not None:
            buckets = histograms.setdefault((labels.name, labels.without(_GROUP)), {})
            buckets.setdefault(bound, []).append(row)
    width = max(map(len, histograms.values()), default=0)
    bounds = np.full((len(histograms), width), math.nan)
    sources: list[int] = []
    cells: list[int] = []
    for line, buckets in enumerate(histograms.values()):
        for place, bound in enumerate(sorted(buckets)):
            bounds[line, place] = bound
            sources += buckets[bound]
            cells += [line * width + place] * len(buckets[bound])
    named = Rows([labels for _name, labels in histograms])
    return _Layout(named, np.array(sources, dtype=np.intp), np.array(cells, dtype=np.intp), bounds)


def _bound(text: str) -> float | None:
    """Return the number as Go reads it; None for what is none."""
    if _WORD.fullmatch(text):
        return float(text)
    plain = text.replace("_", "")
    if _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(plain)
        except OverflowError:
            return None
    value = float(plain) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def _quantiles(share: float, bounds: Floats, counts: Floats, there: Bools) -> Floats:
    """Return the quantile of each histogram by linear interpolation within the bucket it falls into."""
    if not 0 <= share <= 1:
        outside = math.nan if math.isnan(share) else math.copysign(math.inf, share)
        return np.full(len(bounds), outside)
    if not there.all():
        order = np.argsort(~there, axis=1, kind="stable")
        bounds, counts = np.take_along_axis(bounds, order, 1), np.take_along_axis(counts, order, 1)
    number = np.count_nonzero(there, axis=1)
    _make_monotonic(counts)
    lines = np.arange(len(bounds))
    last = number - 1
    total = counts[lines, last]
    usable = (number > 1) & np.isposinf(bounds[lines, last]) & (total != 0)
    rank = share * total
    reached = (counts >= rank[:, None]) & (np.arange(bounds.shape[1]) < last[:, None])
    place = np.where(reached.any(axis=1), reached.argmax(axis=1), last)
    found = _interpolated(bounds, counts, rank, place)
    found = np.where(place == last, bounds[lines, np.maximum(last - 1, 0)], found)
    return np.where(usable, found, math.nan)


def _interpolated(bounds: Floats, counts: Floats, rank: Floats, place: NDArray[np.intp]) -> Floats:
    lines = np.arange(len(bounds))
    first = place == 0
    before = np.maximum(place - 1, 0)
    start = np.where(first, 0.0, bounds[lines, before])
    below = np.where(first, 0.0, counts[lines, before])
    end = bounds[lines, place]
    found = start + (end - start) * ((rank - below) / (counts[lines, place] - below))
    return np.where(first & (end <= 0), end, found)


def _make_monotonic(counts: Floats) -> None:
    """Take away falls from one bucket to the next, and rises too small to be more than rounding."""
    if not counts.size:
        return
    before = counts[:, 0].copy()
    for place in range(1, counts.shape[1]):
        now = counts[:, place]
        before = np.where((now < before) | _almost_equal(before, now), before, now)
        counts[:, place] = before


def _almost_equal(one: Floats, other: Floats) -> Bools:
    size = np.abs(one) + np.abs(other)
    difference = np.abs(one - other)
    tiny = (one == 0) | (other == 0) | (size < SMALLEST_NORMAL)
    relative = difference / np.minimum(size, np.finfo(np.float64).max)
    near: Bools = np.where(tiny, difference < TOLERANCE * SMALLEST_NORMAL, relative < TOLERANCE)
    near |= (one == other) | (np.isnan(one) & np.isnan(other))
    return near


BUCKETS: Mapping[str, Function] = {"histogram_quantile": _histogram_quantile}
