"""Numbers with a fraction, written as Go's strconv.FormatFloat writes them."""

from __future__ import annotations

import math
from decimal import Decimal


def format_float(value: float, verb: str = "g", precision: int | None = None) -> str:
    """Return the number in form `e`, `f`, `g`, `b` or `x`; without a precision the shortest that is exact.

    The shortest `g` takes an exponent below 1e-4 and from 1e+06 on.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb == "b":
        return _binary(value)
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


def _binary(value: float) -> str:
    """Return the mantissa as a whole number, and the power of two."""
    mantissa, exponent = _parts(value)
    return f"{_minus(value)}{mantissa}p{exponent:+d}"


def _hexadecimal(value: float, verb: str, precision: int | None) -> str:
    mantissa, exponent = _parts(value)
    shift = max(0, 53 - mantissa.bit_length()) if mantissa else 0
    # The first digit is 1; thirteen follow.
    mantissa, exponent = mantissa << shift, exponent - shift + 52 if mantissa else 0
    digits = 13
    if precision is not None and precision < digits:
        mantissa, exponent = _rounded(mantissa, exponent, 4 * (digits - precision))
        digits = precision
    text = f"{mantissa:0{digits + 1}x}"
    fraction = text[1:].rstrip("0") if precision is None else text[1:].ljust(precision, "0")
    shown = f"{_minus(value)}0x{text[0]}{'.' if fraction else ''}{fraction}p{exponent:+03d}"
    return shown.upper() if verb == "X" else shown


def _parts(value: float) -> tuple[int, int]:
    """Return a whole mantissa and the power of two it is multiplied by, as they are stored."""
    if value == 0:
        return 0, _LEAST_POWER
    power = max(math.frexp(value)[1] - 53, _LEAST_POWER)
    return int(math.ldexp(abs(value), -power)), power


def _rounded(mantissa: int, exponent: int, bits: int) -> tuple[int, int]:
    """Cut bits off, to the nearest, halves to even."""
    kept, rest = divmod(mantissa, 1 << bits)
    half = 1 << (bits - 1)
    kept += rest > half or (rest == half and kept % 2 == 1)
    size = kept.bit_length()
    if size > 1 and size % 4 == 2:  # noqa: PLR2004 - the leading 1 became 10
        return kept >> 1, exponent + 1
    return kept, exponent


def _minus(value: float) -> str:
    return "-" if math.copysign(1, value) < 0 else ""


_LEAST_POWER = -1074
