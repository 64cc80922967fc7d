"""Sums that carry their rounding error along (Kahan and Neumaier), one for each column.

Prometheus sums this way, so the same samples give the same number here, to the last bit.
"""

from __future__ import annotations

import numpy as np

from rules.promql.values import Floats


def increased(inc: Floats, total: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return a running total and its error after one more addition, when the total overflows as well."""
    new = total + inc
    larger = np.abs(total) >= np.abs(inc)
    error = error + np.where(larger, (total - new) + inc, (inc - new) + total)
    return new, np.where(np.isinf(new), 0.0, error)


def finite_increased(inc: Floats, total: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return the same for totals that stay finite, in fewer steps: both errors are exact, so equal."""
    new = total + inc
    back = new - total
    return new, error + ((total - (new - back)) + (inc - back))


def summed(values: Floats) -> Floats:
    """Return the sum of each column of values[T, n]."""
    total = np.zeros(values.shape[1])
    error = np.zeros(values.shape[1])
    for row in values:
        total, error = finite_increased(row, total, error)
    found = total + error
    odd = ~np.isfinite(found)
    if odd.any():
        found[odd] = _carefully_summed(values[:, odd])
    return found


def averaged(values: Floats) -> Floats:
    """Return the mean of each column of values[T, n]."""
    count = len(values)
    total = np.zeros(values.shape[1])
    error = np.zeros(values.shape[1])
    for row in values:
        total, error = finite_increased(row, total, error)
    found = total / count + error / count
    odd = ~np.isfinite(found)
    if odd.any():
        found[odd] = _carefully_averaged(values[:, odd])
    return found


def variance(values: Floats) -> Floats:
    """Return the population variance of each column of values[T, n]."""
    found = _variance(values, careful=False)
    odd = ~np.isfinite(found)
    if odd.any():
        found[odd] = _variance(values[:, odd], careful=True)
    return found


def _carefully_summed(values: Floats) -> Floats:
    total = np.zeros(values.shape[1])
    error = np.zeros(values.shape[1])
    for row in values:
        total, error = increased(row, total, error)
    return np.where(np.isinf(total), total, total + error)


def _carefully_averaged(values: Floats) -> Floats:
    """Sum while the sum does not overflow; from there on carry the mean itself."""
    total, error = values[0].copy(), np.zeros(values.shape[1])
    mean = np.zeros(values.shape[1])
    carrying = np.zeros(values.shape[1], dtype=np.bool_)
    for seen, row in enumerate(values[1:], start=1):
        count = float(seen + 1)
        new, new_error = increased(row, total, error)
        begins = ~carrying & np.isinf(new)
        mean = np.where(begins, total / seen, mean)
        error = np.where(begins, error / seen, error)
        carrying |= begins
        part = seen / count
        moved, moved_error = increased(row / count, part * mean, part * error)
        mean = np.where(carrying, moved, mean)
        total = np.where(carrying, total, new)
        error = np.where(carrying, moved_error, new_error)
    count = float(len(values))
    return np.where(carrying, mean + error, total / count + error / count)


def _variance(values: Floats, *, careful: bool) -> Floats:
    step = increased if careful else finite_increased
    zero = np.zeros(values.shape[1])
    mean, mean_error, squares, squares_error = zero, zero, zero, zero
    for count, row in enumerate(values, start=1):
        delta = row - (mean + mean_error)
        mean, mean_error = step(delta / count, mean, mean_error)
        squares, squares_error = step(delta * (row - (mean + mean_error)), squares, squares_error)
    return (squares + squares_error) / len(values)
