"""Logarithms with the last digits that Go gives them, so that `floor(log10(x))` is what Prometheus says.

The method is the one of Sun's fdlibm, which Go follows: a power of two, and a polynomial for the rest.
"""

from __future__ import annotations

import math

import numpy as np

from rules.promql.values import Floats

_EVEN = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_ODD = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)
_LN_2_HIGH = 6.93147180369123816490e-01
_LN_2_LOW = 1.90821492927058770002e-10
_BITS = 1.4426950408889634073599246810019
"""The binary logarithm of e; divided as floats, it would be another number."""
_DIGITS = 0.43429448190325182765112891891661
"""The decimal logarithm of e."""


def natural(values: Floats) -> Floats:
    """Return the natural logarithms."""
    part, power = np.frexp(values)
    small = part < math.sqrt(2) / 2
    excess = np.where(small, part * 2, part) - 1
    power = power - 1.0 * small
    ratio = excess / (2 + excess)
    square = ratio * ratio
    fourth = square * square
    rest = square * _polynomial(fourth, _ODD) + fourth * _polynomial(fourth, _EVEN)
    half = 0.5 * excess * excess
    found = power * _LN_2_HIGH - ((half - (ratio * (half + rest) + power * _LN_2_LOW)) - excess)
    return np.where((values > 0) & (values < math.inf), found, np.log(values))


def binary(values: Floats) -> Floats:
    """Return the binary logarithms: powers of two are exact."""
    part, power = np.frexp(values)
    found = np.where(part == 0.5, power - 1.0, natural(part) * _BITS + power)  # noqa: PLR2004 - frexp's for 2**n
    return np.where((values > 0) & (values < math.inf), found, np.log(values))


def decimal(values: Floats) -> Floats:
    """Return the decimal logarithms: of 0.1 it is a little more than -1."""
    return natural(values) * _DIGITS


def _polynomial(x: Floats, factors: tuple[float, ...]) -> Floats:
    found = np.full(x.shape, factors[-1])
    for factor in reversed(factors[:-1]):
        found = factor + x * found
    return found
