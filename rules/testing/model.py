"""What a test file says; times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from rules.labels import Labels
from rules.model import Place
from rules.promql.values import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series that is put in."""

    labels: Labels
    values: Floats
    """One an interval; STALE and ABSENT among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAlert:
    """An alert that should fire."""

    labels: Labels
    annotations: tuple[tuple[str, str], ...]
    """Sorted by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTest:
    """Which alerts of one name should fire at a time."""

    at_ms: int
    name: str
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedSample:
    """A sample that an expression should give."""

    text: str
    labels: Labels | None
    """None: the text is no series, as `fault` says."""
    value: float
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionTest:
    """What an expression should give at a time."""

    at_ms: int
    expr: str
    expected: tuple[ExpectedSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGroup:
    """Series, and what the rules should make of them."""

    __test__ = False  # pytest takes its name for a test's
    name: str
    place: Place
    interval_ms: int
    """Between the samples of the series."""
    start_ms: int
    """When everything begins, Unix milliseconds."""
    series: tuple[Series, ...]
    alerts: tuple[AlertTest, ...]
    expressions: tuple[ExpressionTest, ...]
    external_labels: tuple[tuple[str, str], ...]
    external_url: str

    @property
    def last_ms(self) -> int:
        """Return how long after the beginning the last test is."""
        times = [each.at_ms for each in self.alerts] + [each.at_ms for each in self.expressions]
        return max(times, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """A whole test file."""

    __test__ = False
    name: str
    rule_files: tuple[tuple[str, Place], ...]
    """Patterns, relative to the directory of the test file."""
    evaluation_interval_ms: int
    group_order: tuple[str, ...]
    fuzzy: bool
    """Whether floats that differ in their last bit are equal."""
    groups: tuple[TestGroup, ...]
