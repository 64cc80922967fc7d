"""Gives an action its parameters: from a policy, from labels, from a person. Each is typed and checked.

This is the only way for a label into an action: what comes out is a value of the parameter's type within its
bounds, never a piece of anything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from actions.action import ActionInfo, Parameter
from actions.model import Json
from actions.policy import FromLabel
from collectors.definition import duration_text, seconds
from collectors.strict_yaml import did_you_mean

IDENTIFIER_BYTES_MAX = 63
"""What PostgreSQL takes for a name."""
TEXT_MAX = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


class BadValue(ValueError):
    """A value that is not of its parameter's type, or out of its bounds."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Parameters that hold, or the reasons why they do not."""

    values: Mapping[str, Json] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    """By parameter: `policy`, `label NAME`, `default` or `asked`."""


def resolve_parameters(
    info: ActionInfo, written: Mapping[str, Json | FromLabel], labels: Mapping[str, str]
) -> Resolved:
    """Return an action's parameters for one alert: those that a policy writes, else labels, else defaults."""
    found = _Found()
    for parameter in info.parameters:
        given = written.get(parameter.name)
        if isinstance(given, FromLabel):
            _take_label(parameter, given.label, labels, found, named=True)
        elif given is not None:
            found.take(parameter, given, "policy", typed)
        else:
            _take_label(parameter, parameter.label, labels, found, named=False)
    return found.whole()


def parameters_asked(info: ActionInfo, texts: Mapping[str, str]) -> Resolved:
    """Return an action's parameters as a person wrote them, defaults filled in."""
    found = _Found()
    known = {parameter.name for parameter in info.parameters}
    for name in texts:
        if name not in known:
            found.problems.append(f"{info.name} has no parameter {name!r} {_near(name, known)}".strip())
    for parameter in info.parameters:
        if parameter.name in texts:
            found.take(parameter, texts[parameter.name], "asked", from_text)
        else:
            found.fall_back(parameter, "")
    return found.whole()


def typed(parameter: Parameter, value: Json) -> Json:
    """Return a value that stands in a policy as the parameter's type; raise BadValue."""
    match parameter.type:
        case "integer" | "number":
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadValue(f"should be {_article(parameter.type)}, without quotes")
            if parameter.type == "integer" and not isinstance(value, int):
                raise BadValue("should be a whole number")
            return _within(parameter, value)
        case "boolean":
            if not isinstance(value, bool):
                raise BadValue("should be true or false")
            return value
        case _:
            if not isinstance(value, str):
                raise BadValue(f"should be {_article(parameter.type)}: put quotes around it")
            return from_text(parameter, value)


def from_text(parameter: Parameter, text: str) -> Json:
    """Return the value that a text stands for, of the parameter's type; raise BadValue."""
    value = _READERS[parameter.type](text)
    if parameter.choices and value not in parameter.choices:
        near = _near(text, parameter.choices)
        raise BadValue(f"should be one of {', '.join(parameter.choices)} {near}".strip())
    return _within(parameter, value) if parameter.type in _ORDERED else value


class _Found:
    """Gathers values and reasons."""

    def __init__(self) -> None:
        self.values: dict[str, Json] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[str] = []

    def take(
        self, parameter: Parameter, given: Json, origin: str, read: Callable[[Parameter, Json], Json]
    ) -> None:
        """Take a value if it holds."""
        try:
            self.values[parameter.name] = read(parameter, given)
            self.origins[parameter.name] = origin
        except BadValue as error:
            where = f" (from the {origin})" if origin.startswith("label") else ""
            self.problems.append(f"{parameter.name}{where}: {error}")

    def fall_back(self, parameter: Parameter, why: str) -> None:
        """Take the default, or say that there is none."""
        if parameter.required and parameter.default is None:
            self.problems.append(f"{parameter.name}: is required{why}")
        elif parameter.default is not None:
            self.values[parameter.name] = parameter.default
            self.origins[parameter.name] = "default"

    def whole(self) -> Resolved:
        """Return the values; none when there are problems."""
        if self.problems:
            return Resolved(problems=tuple(self.problems))
        return Resolved(values=self.values, origins=self.origins)


def _take_label(
    parameter: Parameter, label: str, labels: Mapping[str, str], found: _Found, *, named: bool
) -> None:
    """Take a label's value. One that the policy names has to be there."""
    text = labels.get(label, "") if label else ""
    if text:
        found.take(parameter, text, f"label {label}", from_text)
    elif named:
        found.problems.append(
            f"{parameter.name}: the alert has no label {label!r}, which the policy takes it from"
        )
    else:
        found.fall_back(parameter, f", and the alert has no label {label!r}" if label else "")


def _within(parameter: Parameter, value: float) -> float:
    show = duration_text if parameter.type == "duration" else _plain
    if parameter.least is not None and value < parameter.least:
        raise BadValue(f"should be at least {show(parameter.least)}")
    if parameter.most is not None and value > parameter.most:
        raise BadValue(f"should be at most {show(parameter.most)}")
    return value


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(int(value)) if value == int(value) else str(value)  # noqa: PLR2004


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise BadValue("should be a whole number")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise BadValue("should be a number")
    return float(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise BadValue("should be true or false")
    return text == "true"


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise BadValue(f"is {error}") from None


def _identifier(text: str) -> str:
    size = len(_encoded(text))
    if not size or size > IDENTIFIER_BYTES_MAX:
        raise BadValue(f"should be a name of 1 to {IDENTIFIER_BYTES_MAX} bytes, not of {size}")
    return text


def _text(text: str) -> str:
    if not text or len(text) > TEXT_MAX:
        raise BadValue(f"should be text of 1 to {TEXT_MAX} letters, not of {len(text)}")
    _encoded(text)
    return text


def _encoded(text: str) -> bytes:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadValue("is not UTF-8 text") from None
    if b"\0" in encoded:
        raise BadValue("holds a NUL byte")
    return encoded


def _near(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return f"({hint})" if hint else ""


_READERS: Mapping[str, Callable[[str], Json]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _truth,
    "duration": _duration,
    "choice": lambda text: text,
    "identifier": _identifier,
    "text": _text,
}
_ORDERED = ("integer", "number", "duration")


def _article(kind: str) -> str:
    words = {"integer": "a whole number", "number": "a number", "identifier": "a name", "choice": "a word"}
    return words.get(kind, "a duration such as 5m" if kind == "duration" else "text")
