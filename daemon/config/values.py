"""Types of single values in the configuration: names, paths, numbers, each with a message of its own."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from collectors.definition import RESERVED_LABELS, Duration

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,99}")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_LABEL_VALUE_MAX = 500
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "should be 1 to 100 of the letters A to Z, digits and _ . - : @, the first a letter, digit or _"
        )
    return value


def _label_name(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("a label's name has letters A to Z, digits and _, and does not start with __")
    if value in RESERVED_LABELS:
        raise ValueError(f"the label {value} is set by others: choose another name")
    return value


def _label_value(value: str) -> str:
    if not value or len(value) > _LABEL_VALUE_MAX or not value.isprintable():
        raise ValueError(f"should be 1 to {_LABEL_VALUE_MAX} printable characters")
    return value


def _not_truth(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("should be a whole number, without quotes")  # noqa: TRY004 - pydantic's way
    return value


def _absolute_path(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError("should be a whole path, starting with /")
    return value


def _sha256(value: str) -> str:
    if not _SHA256.fullmatch(value.lower()):
        raise ValueError(
            'should be the 64 hexadecimal digits of `printf %s "$TOKEN" | sha256sum`, not the token'
        )
    return value.lower()


def within(least: float, most: float, words: str) -> AfterValidator:
    """Return a check that a number lies between two others; `words` says so to people."""

    def check(value: float) -> float:
        if not least <= value <= most:
            raise ValueError(f"should be {words}")
        return value

    return AfterValidator(check)


Name = Annotated[str, AfterValidator(_name)]
"""Safe in a label, an address and a file's name."""
LabelName = Annotated[str, AfterValidator(_label_name)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Count = Annotated[int, BeforeValidator(_not_truth)]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Interval = Annotated[Duration, within(0.5, 86400, "from 500ms to 1d")]
Deadline = Annotated[Duration, within(0.05, 300, "from 50ms to 5m")]
Share = Annotated[Duration, within(0.01, 60, "from 10ms to 1m")]
