"""Turns label values and numbers into the bytes that both Prometheus formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, islice

from pydantic_core import to_json

from collectors.model import LabelValues

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\x00": "\ufffd"})
_PLAIN = {int, float, type(None)}
_MAX = 1.7e308
_DIGITS_MAX = 300
"""What is longer is a whole number too large for a float, which readers refuse."""
_FEW = 4


def lines(prefix: str, rows: Sequence[str], values: Sequence[object]) -> bytes:
    """Return one line per value that is there; `prefix` + row is everything before the number."""
    if len(values) == 1:  # most frames of a server have one row
        value = number(values[0])
        return f"{prefix}{rows[0]}{value}\n".encode("utf-8", "replace") if value else b""
    texts = _texts(values)
    if all(texts):
        text = "".join([f"{prefix}{row}{value}\n" for row, value in zip(rows, texts, strict=True)])
    else:
        text = "".join([f"{prefix}{row}{value}\n" for row, value in zip(rows, texts, strict=True) if value])
    return text.encode("utf-8", "replace")


def patched(
    piece: bytes, prefix: str, rows: Sequence[str], then: Sequence[object], now: Sequence[object]
) -> bytes | None:
    """Return the lines of `then` with those replaced that differ in `now`; None when most of them do."""
    most = len(now) // 4
    pairs = enumerate(zip(then, now, strict=True))
    changed = list(islice((row for row, (old, new) in pairs if old != new), most + 1))
    if len(changed) > most:
        return None
    old_lines = piece.split(b"\n")
    old_lines.pop()
    if len(old_lines) != len(then) - then.count(None):
        return None
    found = iter(old_lines)
    whole = [b"" if value is None else next(found) for value in then] if None in then else old_lines
    for row in changed:
        value = number(now[row])
        whole[row] = f"{prefix}{rows[row]}{value}".encode("utf-8", "replace") if value else b""
    if not all(whole):
        whole = [line for line in whole if line]
    return b"\n".join([*whole, b""]) if whole else b""


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


def _texts(values: Sequence[object]) -> list[str]:
    """Return `number` of each value.

    pydantic's JSON writer gives the shortest exact digits as `repr` does, in a sixth of the time.
    """
    if len(values) < _FEW or not _PLAIN.issuperset(map(type, values)):
        return [number(value) for value in values]
    raw = to_json(values, inf_nan_mode="constants")
    if b"n" in raw:
        raw = raw.replace(b"null", b"").replace(b"-Infinity", b"-Inf").replace(b"Infinity", b"+Inf")
    texts = raw[1:-1].decode().split(",")
    if len(raw) > _DIGITS_MAX and max(map(len, texts)) > _DIGITS_MAX:
        return [number(value) for value in values]
    return texts
