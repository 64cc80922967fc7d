"""Numbers with a fraction, written as Go's strconv.FormatFloat writes them."""

from __future__ import annotations

import math
from decimal import Decimal


def format_float(value: float, verb: str = "g", precision: int | None = None) -> str:
    """Return the number in form `e`, `f` or `g` (or `E`, `G`); without a precision the shortest that is exact.

    The shortest `g` takes an exponent below 1e-4 and from 1e+06 on.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb in "xX":
        return _hexadecimal(value, verb, precision)
    if precision is not None:
        return f"%.{precision}{verb}" % value
    return _shortest(value, verb)


_LARGE_EXPONENT = 6
_SMALL_EXPONENT = -4


def _shortest(value: float, verb: str) -> str:
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).lstrip("0").rstrip("0") or "0"
    scale = 0 if value == 0 else len(digits) + int(exponent) - 1
    minus = "-" if sign else ""
    if verb in "eE" or (verb in "gG" and not _SMALL_EXPONENT <= scale < _LARGE_EXPONENT):
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        mark = "e" if verb in "eg" else "E"
        return f"{minus}{text[0]}{fraction}{mark}{scale:+03d}"
    return minus + f"{abs(Decimal(repr(value))):f}".removesuffix(".0") if value else minus + "0"


def _hexadecimal(value: float, verb: str, precision: int | None) -> str:
    mantissa, exponent = float.hex(value).split("p")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    if precision is not None:
        fraction = fraction[:precision].ljust(precision, "0")
    text = f"{whole}{'.' if fraction else ''}{fraction}p{int(exponent):+03d}"
    return text.upper() if verb == "X" else text
