"""Turns label values and numbers into the bytes that both Prometheus formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from collectors.model import LabelValues

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\x00": "\ufffd"})
_PLAIN = (int, float)
_MAX = 1.7e308


def lines(prefix: str, rows: Sequence[str], values: Sequence[object]) -> bytes:
    """Return one line per value that is there; `prefix` + row is everything before the number."""
    if _all_plain(values):
        text = "".join([f"{prefix}{row}{value!r}\n" for row, value in zip(rows, values, strict=True)])
    else:
        text = "".join(
            [
                f"{prefix}{row}{rendered}\n"
                for row, value in zip(rows, values, strict=True)
                if (rendered := number(value))
            ]
        )
    return text.encode("utf-8", "replace")


def rows_of(template: str, keys: Sequence[LabelValues]) -> list[str]:
    """Return `template` filled with each key: label values escaped, anything unprintable replaced."""
    try:
        text = "".join(chain.from_iterable(keys))
    except TypeError:
        return [template % tuple(escape(str(value)) for value in key) for key in keys]
    if text.isascii() and "\\" not in text and '"' not in text and "\n" not in text and "\x00" not in text:
        return [template % key for key in keys]
    return [template % tuple([escape(value) for value in key]) for key in keys]


def escape(value: str) -> str:
    """Return a label value as it stands between quotes.

    Lone surrogates and NUL, which no reader accepts, become replacement characters.
    """
    if not value.isascii():
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value.translate(_ESCAPES)


def number(value: object) -> str:
    """Return a sample's value as text; empty when there is none or it is not a number."""
    if value is None:
        return ""
    if isinstance(value, int):
        # int() makes 1 of True; whatever is too large for a float would be an error to a reader.
        return repr(int(value)) if -_MAX < value < _MAX else _special(float("inf") * (1 if value > 0 else -1))
    try:
        real = float(value)  # type: ignore[arg-type] # whatever a driver gives, Decimal included
    except (TypeError, ValueError, OverflowError):
        return ""
    return repr(real) if math.isfinite(real) else _special(real)


def help_text(text: str, *, quotes: bool) -> str:
    """Return a HELP line's text; OpenMetrics escapes quotes too."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", " ").replace("\x00", "")
    return text.replace('"', '\\"') if quotes else text


def _special(real: float) -> str:
    return "NaN" if math.isnan(real) else "+Inf" if real > 0 else "-Inf"


def _all_plain(values: Sequence[object]) -> bool:
    """Tell whether Python's own `repr` is right for every value: finite ints and floats only."""
    kinds = set(map(type, values))
    if not kinds.issubset(_PLAIN):
        return False
    try:
        if int in kinds:
            return math.isfinite(float(sum(map(abs, values))))  # type: ignore[arg-type]
        return math.isfinite(sum(values))  # type: ignore[arg-type]
    except OverflowError:
        return False
