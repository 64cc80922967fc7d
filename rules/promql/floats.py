"""Numbers as text, the way Go writes them."""

from __future__ import annotations

import math
from decimal import Decimal


def plain(value: float) -> str:
    """Write a number without exponent, with as many digits as tell it apart (strconv's 'f', -1)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return format(Decimal(repr(value)), "f").removesuffix(".0")
