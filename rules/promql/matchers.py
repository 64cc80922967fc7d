"""Label matchers. Regular expressions are RE2's, anchored at both ends: none takes more than linear time."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, cast

import re2

from rules.labels import NAME, Labels, quoted


class MatchOp(enum.StrEnum):
    """How a value is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class Pattern(Protocol):
    """A compiled regular expression."""

    def fullmatch(self, text: str) -> object | None:
        """Return something when the whole text matches."""


class BadPattern(ValueError):
    """A regular expression that RE2 does not take."""


@lru_cache(maxsize=4096)
def pattern(text: str) -> Pattern:
    """Compile a regular expression; raise BadPattern with RE2's reason."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        return cast("Pattern", re2.compile(text, options))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise BadPattern(reason.decode() if isinstance(reason, bytes) else str(reason)) from None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is not there counts as empty."""

    name: str
    op: MatchOp
    value: str
    _pattern: Pattern | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            object.__setattr__(self, "_pattern", pattern(self.value))

    def __str__(self) -> str:
        return f"{self.name}{self.op}{quoted(self.value)}"

    @property
    def is_name(self) -> bool:
        """Tell whether it fixes the metric name."""
        return self.name == NAME and self.op is MatchOp.EQUAL

    def matches(self, value: str) -> bool:
        """Tell whether a label's value fulfils it."""
        if self._pattern is None:
            return (value == self.value) is (self.op is MatchOp.EQUAL)
        return (self._pattern.fullmatch(value) is not None) is (self.op is MatchOp.REGEX)


def matching(labels: Labels, matchers: tuple[Matcher, ...]) -> bool:
    """Tell whether a series fulfils all conditions."""
    return all(each.matches(labels.get(each.name)) for each in matchers)
