"""`avg`, `stddev` and `stdvar`."""

from __future__ import annotations

import math

import numpy as np

from rules.promql.groups import Groups
from rules.promql.values import Floats, Vector


def means(groups: Groups, vector: Vector) -> Floats:
    """Return the mean of each group, also where the sum is too large for a float."""
    sums = groups.sums(vector.values, vector.present)
    found = sums / groups.counts(vector.present)
    for group in np.flatnonzero(~np.isfinite(sums)):
        found[group] = _stepwise(vector.values[groups.members(int(group), vector.present)])
    return found


def variances(groups: Groups, vector: Vector) -> Floats:
    """Return the population variance of each group; NaN where a member is infinite or NaN."""
    centre = means(groups, vector)[groups.of]
    squares = np.square(vector.values - centre)
    return groups.sums(squares, vector.present) / groups.counts(vector.present)


def deviations(groups: Groups, vector: Vector) -> Floats:
    """Return the population standard deviation of each group."""
    return np.sqrt(variances(groups, vector))


def _stepwise(values: Floats) -> float:
    """Return the mean, moved step by step, with infinities as Prometheus has them."""
    if np.isnan(values).any():
        return math.nan
    infinite = values[np.isinf(values)]
    if len(infinite):
        return float(infinite[0]) if (infinite == infinite[0]).all() else math.nan
    mean = lost = 0.0
    for count, value in enumerate(values.tolist(), 1):
        step = value / count - mean / count
        moved = mean + step
        lost += (mean - moved) + step if abs(mean) >= abs(step) else (step - moved) + mean
        mean = moved
    return mean + lost
