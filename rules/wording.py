"""Fills the labels and annotations of an alert in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rules.labels import Labels
from rules.model import Templated

Query: TypeAlias = Callable[[str, int], Sequence[tuple[Labels, float]]]
"""Evaluates an expression at a time; raises RulesError."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What every alert of one evaluation is filled in with."""

    at_ms: int
    query: Query
    external_labels: Mapping[str, str]
    external_url: str


def worded(
    texts: Sequence[tuple[str, Templated]], alert: str, labels: Labels, value: float, moment: Moment
) -> dict[str, str]:
    """Return the texts filled in; what goes wrong is said in the text itself."""
    del alert, labels, value, moment
    return {name: each.text for name, each in texts}
