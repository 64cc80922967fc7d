"""What the rules can ask for: which metrics, and how far back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rules.labels import NAME
from rules.promql.context import LOOKBACK_MS
from rules.promql.expression import Expression
from rules.promql.matchers import Matcher

MARGIN_MS = 60_000
"""Evaluations may be late, and a range begins with the sample before it."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A selector that does not fix the metric's name."""

    tests: tuple[Matcher, ...]
    past_ms: int


class Needs:
    """How many milliseconds of each metric the window must keep."""

    def __init__(self, expressions: Iterable[Expression], always: Iterable[str] = ()) -> None:
        self._named: dict[str, int] = dict.fromkeys(always, LOOKBACK_MS + MARGIN_MS)
        self._patterns: list[_Pattern] = []
        self._known: dict[str, int | None] = {}
        for expression in expressions:
            for reach in expression.reaches():
                past = reach.past_ms + (0 if reach.range_ms else LOOKBACK_MS) + MARGIN_MS
                name = reach.selector.name
                if name:
                    self._named[name] = max(past, self._named.get(name, 0))
                else:
                    tests = tuple(each for each in reach.selector.matchers if each.name == NAME)
                    self._patterns.append(_Pattern(tests, past))

    def keep(self, name: str) -> int | None:
        """Return how far back a metric can be asked for, in milliseconds; None when it cannot at all."""
        if name not in self._known:
            self._known[name] = self._look(name)
        return self._known[name]

    def named(self) -> dict[str, int]:
        """Return the metrics that are asked for by name, and how far back, in milliseconds."""
        return dict(self._named)

    def _look(self, name: str) -> int | None:
        found = [each.past_ms for each in self._patterns if all(test.matches(name) for test in each.tests)]
        if name in self._named:
            found.append(self._named[name])
        return max(found, default=None)
