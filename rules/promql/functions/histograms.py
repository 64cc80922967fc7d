"""Functions of classic histograms: which value a share of the observations is below, and the other way."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, scalar_at, vector_at
from rules.promql.functions.buckets import Histograms, histograms_of
from rules.promql.tree import Call
from rules.promql.values import Bools, Floats, Value

TOLERANCE = 1e-12
"""Counts that differ by less, relatively, are equal."""
SMALLEST_NORMAL = 2.0**-1022


def _histogram_quantile(call: Call, context: Context, evaluate: Evaluator) -> Value:
    share = scalar_at(0, call, context, evaluate)
    found = histograms_of(vector_at(1, call, context, evaluate), call, context)
    with np.errstate(all="ignore"):
        return found.vector(_quantiles(share, found))


def _histogram_fraction(call: Call, context: Context, evaluate: Evaluator) -> Value:
    lower, upper = scalar_at(0, call, context, evaluate), scalar_at(1, call, context, evaluate)
    found = histograms_of(vector_at(2, call, context, evaluate), call, context)
    with np.errstate(all="ignore"):
        return found.vector(_fractions(lower, upper, found))


def _quantiles(share: float, histograms: Histograms) -> Floats:
    """Return the quantile of each histogram by linear interpolation within the bucket it falls into."""
    bounds = histograms.bounds
    if not 0 <= share <= 1 or not bounds.size:
        outside = math.nan if math.isnan(share) else math.copysign(math.inf, share)
        return np.full(len(bounds), outside)
    counts = _monotonic(histograms.counts)
    lines = np.arange(len(bounds))
    last = histograms.number - 1
    total = counts[lines, last]
    usable = (last > 0) & np.isposinf(bounds[lines, last]) & (total != 0)
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


def _monotonic(given: Floats) -> Floats:
    """Take away falls from one bucket to the next, and rises too small to be more than rounding."""
    counts = given.copy()
    before = counts[:, 0]
    for place in range(1, counts.shape[1]):
        now = counts[:, place]
        before = np.where((now < before) | _almost_equal(before, now), before, now)
        counts[:, place] = before
    return counts


def _almost_equal(one: Floats, other: Floats) -> Bools:
    size = np.abs(one) + np.abs(other)
    difference = np.abs(one - other)
    tiny = (one == 0) | (other == 0) | (size < SMALLEST_NORMAL)
    relative = difference / np.minimum(size, np.finfo(np.float64).max)
    near: Bools = np.where(tiny, difference < TOLERANCE * SMALLEST_NORMAL, relative < TOLERANCE)
    near |= (one == other) | (np.isnan(one) & np.isnan(other))
    return near


def _fractions(lower: float, upper: float, histograms: Histograms) -> Floats:
    """Return which part of each histogram's observations lies between two values."""
    bounds, last = histograms.bounds, histograms.number - 1
    if not bounds.size:
        return np.zeros(len(bounds))
    lines = np.arange(len(bounds))
    total = histograms.counts[lines, last]
    usable = np.isposinf(bounds[lines, last]) & (total != 0)
    if math.isnan(lower) or math.isnan(upper):
        return np.full(len(bounds), math.nan)
    if lower >= upper:
        return np.where(usable, 0.0, math.nan)
    part = (_below(upper, histograms, total) - _below(lower, histograms, total)) / total
    return np.where(usable, part, math.nan)


def _below(value: float, histograms: Histograms, total: Floats) -> Floats:
    """Return how many observations are below a value: in the midst of a bucket, its share of them."""
    bounds, counts = histograms.bounds, histograms.counts
    found = total
    settled = np.zeros(len(bounds), dtype=np.bool_)
    start = np.where(bounds[:, 0] > 0, 0.0, -math.inf)
    before = np.zeros(len(bounds))
    for place in range(bounds.shape[1]):
        end, count = bounds[:, place], counts[:, place]
        inside = before + (count - before) * (value - start) / (end - start)
        inside = np.where(np.isneginf(start), count, inside)
        here = np.where(start >= value, before, inside)
        hit = ~settled & (place < histograms.number) & ((start >= value) | (end > value))
        found = np.where(hit, here, found)
        settled |= hit
        start, before = end, count
    return np.where(found > total, total, found)


HISTOGRAMS: Mapping[str, Function] = {
    "histogram_quantile": _histogram_quantile,
    "histogram_fraction": _histogram_fraction,
}
