"""Finds classic histograms in a vector: series of cumulative counts with a label `le`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import Labels
from rules.promql.context import Context
from rules.promql.tree import Call
from rules.promql.values import Bools, Floats, Rows, Vector, check_apart

BOUND = "le"
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
class Histograms:
    """The histograms that have a bucket, side by side."""

    bounds: Floats
    """`bounds[histogram, place]`, ascending."""
    counts: Floats
    """Up to each bound; the cells after the last bucket mean nothing."""
    number: NDArray[np.intp]
    """How many buckets each has, at least one."""
    _rows: Rows
    _present: Bools

    def vector(self, found: Floats) -> Vector:
        """Return one number for each histogram as a vector, without metric name and bound."""
        values = np.zeros(len(self._rows))
        values[self._present] = found
        vector = Vector(self._rows, values, self._present)
        if not self._rows.apart:
            check_apart(vector)
        return vector


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


def histograms_of(vector: Vector, call: Call, context: Context) -> Histograms:
    """Return the histograms of a vector; series whose bound is no number are left out."""
    layout = context.memo.of(call, (vector.rows,), lambda: _laid_out(vector.rows))
    there = np.zeros(layout.bounds.shape, dtype=np.bool_)
    counts = np.zeros(layout.bounds.shape)
    found = vector.present[layout.sources]
    cells = layout.cells[found]
    there.ravel()[cells] = True
    np.add.at(counts.ravel(), cells, vector.values[layout.sources[found]])
    present: Bools = np.any(there, axis=1)
    bounds, counts, there = layout.bounds[present], counts[present], there[present]
    if not there.all():
        order = np.argsort(~there, axis=1, kind="stable")
        bounds, counts = np.take_along_axis(bounds, order, 1), np.take_along_axis(counts, order, 1)
    number: NDArray[np.intp] = np.sum(there, axis=1, dtype=np.intp)
    return Histograms(bounds, counts, number, layout.rows, present)


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
