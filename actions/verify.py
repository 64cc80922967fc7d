"""Whether samples after differ from samples before: statistics for `Action.judge`. Pure.

Sources: H. B. Mann and D. R. Whitney, Ann. Math. Statist. 18 (1947), for U and its exact distribution;
E. L. Lehmann, Nonparametrics (1975), for ties and the correction for continuity; B. Efron, Ann. Statist.
7 (1979), for the bootstrap. Samples are of one quantity per call (or per row, per second), so that a quiet
night is not taken for an improvement; where there are things that the plan does not touch, they are the
control.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from actions.model import Verdict

SAMPLES_MIN = 10
"""Fewer samples on either side tell nothing."""
ALPHA = 0.01
LEAST_EFFECT = 0.10
"""A change of less than a tenth is none, however sure it is."""
EXACT_UP_TO = 20
"""Up to so many samples on each side, without ties, the distribution of U is counted out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What two sets of samples say of each other."""

    ratio: float
    """(Median after / median before) / (the same of the control): the difference of differences.

    0.8 is a fifth less.
    """
    p: float
    """How likely such a difference is by chance alone, two-sided."""
    low: float
    high: float
    """Interval that has the ratio with a confidence of 1 - ALPHA."""


def median_of_ratios(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Return the median of after / before over the keys that both have: time per call, by statement.

    Keys that were 0 or less before are left out; None when no key is left.
    """
    ratios = [after[key] / before[key] for key in before if before[key] > 0 and key in after]
    return median(ratios) if ratios else None


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p-value of the test of Mann and Whitney; 1 when a side is empty.

    U is the number of pairs in which the one after is larger, ties counting half. Exact for small samples
    without ties, else by the normal distribution of mean nm/2 and variance
    nm/12 (N + 1 - sum(t^3 - t) / (N(N - 1))), where N = n + m and t values are tied.
    """
    n, m = len(before), len(after)
    if not n or not m:
        return 1.0
    u = sum(1.0 if b > a else 0.5 if b == a else 0.0 for a in before for b in after)
    ties = Counter([*before, *after])
    if n <= EXACT_UP_TO and m <= EXACT_UP_TO and max(ties.values()) == 1:
        return _exact(int(min(u, n * m - u)), n, m)
    total = n + m
    tied = sum(count**3 - count for count in ties.values()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - tied))
    if deviation == 0:
        return 1.0
    distance = max(abs(u - n * m / 2) - 0.5, 0.0) / deviation
    return math.erfc(distance / math.sqrt(2))


def ratio_interval(
    before: Sequence[float], after: Sequence[float], *, confidence: float = 1 - ALPHA, draws: int = 2000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of median(after) / median(before).

    (0, inf) where a side is empty or not positive. The draws are always the same ones: a verdict can be
    checked again from what the journal has.
    """
    if not before or not after or min(*before, *after) <= 0:
        return 0.0, math.inf
    chance = np.random.default_rng(20240229)
    drawn = [np.median(chance.choice(side, (draws, len(side))), axis=1) for side in (after, before)]
    cut = (1 - confidence) / 2
    low, high = np.quantile(drawn[0] / drawn[1], [cut, 1 - cut])
    return float(low), float(high)


def change(
    before: Sequence[float],
    after: Sequence[float],
    control: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Change | None:
    """Return what changed; None where there are too few samples, or one is not positive.

    `control` is (before, after) of what the plan does not touch.
    """
    sides = (before, after, *(control or ()))
    if min(len(side) for side in sides) < SAMPLES_MIN or min(min(side) for side in sides) <= 0:
        return None
    common = median(control[1]) / median(control[0]) if control else 1.0
    adjusted = [value / common for value in after]
    low, high = ratio_interval(before, adjusted)
    return Change(
        ratio=median(adjusted) / median(before), p=mann_whitney(before, adjusted), low=low, high=high
    )


def verdict(
    before: Sequence[float],
    after: Sequence[float],
    control: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    least_effect: float = LEAST_EFFECT,
) -> Verdict:
    """Say whether less has become of something that less is better of: time, bytes, dead rows.

    IMPROVED or WORSE need both: a change of `least_effect` at least, and a chance of less than ALPHA that
    it is none. NEUTRAL means that the interval excludes such a change; all else is INCONCLUSIVE.
    """
    found = change(before, after, control)
    if found is None:
        return Verdict.INCONCLUSIVE
    if found.p < ALPHA and found.ratio <= 1 - least_effect:
        return Verdict.IMPROVED
    if found.p < ALPHA and found.ratio >= 1 + least_effect:
        return Verdict.WORSE
    within = found.low > 1 - least_effect and found.high < 1 + least_effect
    return Verdict.NEUTRAL if within else Verdict.INCONCLUSIVE


def _exact(u: int, n: int, m: int) -> float:
    """Return twice the share of all orders of n and m values with a U of at most this; at most 1."""
    # ways[j][k]: orders of i values of the one side and j of the other with U = k, by the largest of all.
    ways = [[1] + [0] * (n * m) for _ in range(m + 1)]
    for _ in range(n):
        row = [[1] + [0] * (n * m)]
        for j in range(1, m + 1):
            row.append([row[j - 1][k] + (ways[j][k - j] if k >= j else 0) for k in range(n * m + 1)])
        ways = row
    return min(1.0, 2 * sum(ways[m][: u + 1]) / math.comb(n + m, m))
