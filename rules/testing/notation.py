"""The notation of series and of their values in tests: `up{job="x"}` and `0 1+2x10 _x3 stale`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from rules.labels import NAME, Labels, labels_of
from rules.promql.values import ABSENT, STALE, Floats
from rules.template.literals import BadLiteral, unquote

SAMPLES_MAX = 10_000_000
"""Of one series."""
_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(\{)?")
_LABEL = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*")
_STRING = re.compile(r"\s*(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)\s*")
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_WORD = r"(?i:inf|nan)(?![a-zA-Z0-9_:])"
_ITEM = re.compile(
    rf"(?:(?P<blank>_)|(?P<value>stale(?![a-zA-Z0-9_:])|[-+]?(?:{_NUMBER}|{_WORD}))"
    rf"(?P<step>[-+](?:{_NUMBER}|{_WORD}))?)(?:x(?P<times>[0-9]{{1,20}}))?(?=\s|$)"
)
_NO_NAMES = frozenset(["inf", "nan", "bool"])


class BadNotation(ValueError):
    """What stands there is no series, or no values; the message says at which character."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(f"1:{offset + 1}: {message}")


def labels(text: str) -> Labels:
    """Return the labels of `name{label="value"}`."""
    found = _METRIC.match(text)
    name = (found[1] or "") if found else ""
    at = found.end() if found else 0
    if name.lower() in _NO_NAMES:
        raise BadNotation(0, f"{name!r} cannot be the name of a metric")
    pairs: dict[str, str] = {}
    if found and found[2]:
        at = _braces(text, at, pairs)
    if text[at:].strip():
        raise BadNotation(at, f"unexpected {text[at:].strip()[:20]!r}")
    return labels_of({**pairs, NAME: name or pairs.get(NAME, "")})


def values(text: str) -> Floats:
    """Return the samples that a sequence like `1 2+3x4 _ stale` stands for."""
    pieces = list(_pieces(text))
    return np.concatenate(pieces) if pieces else np.empty(0)


def _braces(text: str, at: int, pairs: dict[str, str]) -> int:
    """Read labels up to the closing brace; return where the text goes on."""
    while not text[at:].lstrip().startswith("}"):
        at = _pair(text, at, pairs)
        rest = text[at:].lstrip()
        if rest.startswith(","):
            at = text.index(",", at) + 1
        elif not rest.startswith("}"):
            raise BadNotation(at, 'expected "," or "}" in the label set')
    return text.index("}", at) + 1


def _pair(text: str, at: int, pairs: dict[str, str]) -> int:
    """Read `label="value"`, `"label"="value"` or `"the metric's name"`."""
    word, quoted = _LABEL.match(text, at), _STRING.match(text, at)
    if not word and not quoted:
        raise BadNotation(at, 'expected a label or "}" in the label set')
    name, at = (word[1], word.end()) if word else _string(text, at)
    if not text.startswith("=", at) or text.startswith("=~", at):
        if word:
            raise BadNotation(at, 'expected "=" after the name of a label')
        pairs[NAME] = name
        return at
    pairs[name], at = _string(text, at + 1)
    return at


def _string(text: str, at: int) -> tuple[str, int]:
    found = _STRING.match(text, at)
    if not found:
        raise BadNotation(at, "expected a text in quotes")
    source = found[1]
    if source[0] == "'":
        source = '"' + re.sub(r"\\.|\"", _for_double, source[1:-1]) + '"'
    try:
        return unquote(source), found.end()
    except BadLiteral:
        raise BadNotation(at, f"{found[1]} is no text: an escape is wrong") from None


def _for_double(found: re.Match[str]) -> str:
    """Write a piece of a text in single quotes as it is in double ones."""
    return {'"': '\\"', "\\'": "'", '\\"': "\\?"}.get(found[0], found[0])


def _pieces(text: str) -> Iterator[Floats]:
    at = count = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        found = _ITEM.match(text, at)
        if not found or (found["step"] and (found["blank"] or not found["times"])):
            raise _unreadable(text, at)
        at = found.end()
        count += int(found["times"] or 0) + 1
        if count > SAMPLES_MAX:
            raise BadNotation(found.start(), f"more than {SAMPLES_MAX} samples")
        yield _piece(found)


def _piece(found: re.Match[str]) -> Floats:
    times = int(found["times"] or 0)
    if found["blank"]:
        return np.full(times if found["times"] else 1, ABSENT)
    steps = np.full(times + 1, _number(found["step"]) if found["step"] else 0.0)
    if found["value"] == "stale":
        return np.full(times + 1, STALE)
    steps[0] = _number(found["value"])
    with np.errstate(all="ignore"):
        return np.cumsum(steps)  # one after the other, as Prometheus adds them


def _number(text: str) -> float:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit() and not set(digits) & set("89"):
        return math.copysign(int(digits, 8), -1 if text[0] == "-" else 1)
    return float(text)


def _unreadable(text: str, at: int) -> BadNotation:
    if text.startswith("{{", at):
        return BadNotation(at, "native histograms are not supported")
    word = text[at:].split(maxsplit=1)[0][:20]
    return BadNotation(at, f"{word!r} is no value: write 1, 1+2x3, 1x3, _, _x3 or stale")
