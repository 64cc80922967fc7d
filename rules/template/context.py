"""What a template is expanded with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class QuerySample(Protocol):
    """One series of an instant query's answer; the metric's name is the label `__name__`."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The series' labels."""

    @property
    def value(self) -> float:
        """The series' value."""


@dataclass(frozen=True)
class TemplateContext:
    """The alert's (or recorded series') labels and value, and what belongs to the place.

    In Prometheus `labels` are those of the sample that the expression gave, with `__name__` if it has one.
    `query` evaluates an expression at the rule's time; what it raises becomes the template's error.
    `time` is the rule's time in Unix seconds, for the function `now`.
    """

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Callable[[str], Sequence[QuerySample]] | None = None
    time: float = 0.0
