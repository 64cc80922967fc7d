"""Fills the labels and annotations of an alert in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from rules.labels import Labels
from rules.model import Templated
from rules.template import Template, TemplateContext, expand_or_say
from rules.template.nodes import Identifier, Node

Query: TypeAlias = Callable[[str, int], Sequence[tuple[Labels, float]]]
"""Evaluates an expression at a time; raises RulesError."""


_FLEETING = frozenset(["query", "now"])
"""Functions that give something else at another time."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What every alert of one evaluation is filled in with."""

    at_ms: int
    query: Query
    external_labels: Mapping[str, str]
    external_url: str


def is_lasting(texts: Sequence[tuple[str, Templated]]) -> bool:
    """Tell whether the texts stay the same as long as an alert's labels and value do."""
    used = (part for _, each in texts if each.template for part in parts_of(each.template))
    return not any(isinstance(part, Identifier) and part.name in _FLEETING for part in used)


def parts_of(template: Template) -> Iterator[Node]:
    """Give every part of a template's tree."""
    waiting: list[object] = list(template.definitions.values())
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Node):
            yield part
            waiting += [getattr(part, each.name) for each in fields(part)]


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
