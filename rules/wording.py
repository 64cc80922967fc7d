"""Fills the labels and annotations of an alert in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rules.labels import Labels
from rules.model import Templated
from rules.template import TemplateContext, expand_or_say

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
    texts: Sequence[tuple[str, Templated]], labels: Labels, value: float, moment: Moment
) -> dict[str, str]:
    """Return the texts filled in; what goes wrong is said in the text itself."""
    context: TemplateContext | None = None
    found = {}
    for name, each in texts:
        if each.template is None:
            found[name] = each.text
            continue
        context = context or _context(labels, value, moment)
        found[name] = expand_or_say(each.template, context)
    return found


@dataclass(frozen=True, slots=True)
class _Answer:
    """A series that `query` gives a template."""

    labels: Mapping[str, str]
    value: float


def _context(labels: Labels, value: float, moment: Moment) -> TemplateContext:
    def query(text: str) -> Sequence[_Answer]:
        return [_Answer(each.as_dict(), number) for each, number in moment.query(text, moment.at_ms)]

    return TemplateContext(
        labels=labels.as_dict(),
        value=value,
        external_labels=moment.external_labels,
        external_url=moment.external_url,
        query=query,
        time=moment.at_ms / 1000,
    )
