"""Which series a question is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from rules.labels import NAME, Labels
from rules.promql.matchers import Matcher, MatchOp, matching

Query: TypeAlias = Sequence[Matcher] | Collection[Labels]
"""Conditions that a series fulfils, all of them; or the series themselves. An empty one is about none."""
EVERYTHING = (Matcher(NAME, MatchOp.NOT_EQUAL, ""),)
"""The query that is about every series with a name."""


class Wanted:
    """A query, ready to be compared with many series."""

    def __init__(self, query: Query) -> None:
        self._series = frozenset(each for each in query if isinstance(each, Labels))
        self._matchers = tuple(each for each in query if isinstance(each, Matcher))
        self._on_name = tuple(each for each in self._matchers if each.name == NAME)
        fixed = {each.value for each in self._on_name if each.is_name}
        self._names = fixed or {labels.name for labels in self._series}

    @property
    def names(self) -> set[str] | None:
        """Return the metric names that it fixes; None when it is not by name."""
        return self._names if self._names or not self._matchers else None

    def about(self, name: str) -> bool:
        """Tell whether series of this metric can be meant."""
        if self._matchers:
            return all(each.matches(name) for each in self._on_name)
        return name in self._names

    def places(self, series: Iterable[Labels], name: str | None = None) -> list[int]:
        """Return where the series that are meant stand; those of one metric, or of any."""
        if self._series:
            return [
                place
                for place, labels in enumerate(series)
                if (name is None or labels.name == name) and labels in self._series
            ]
        return [
            place
            for place, labels in enumerate(series)
            if (name is None or labels.name == name) and self._matchers and matching(labels, self._matchers)
        ]
