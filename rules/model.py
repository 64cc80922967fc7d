"""What a rule file says once it is read, and what becomes of its alerts."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from rules.labels import Labels
from rules.promql import Expression
from rules.template import Template

ALERT_NAME = "alertname"
ALERT_STATE = "alertstate"
ALERTS = "ALERTS"
FOR_STATE = "ALERTS_FOR_STATE"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Templated:
    """The text of a label or annotation: as written, and parsed."""

    text: str
    template: Template | None
    """None: the text is meant literally: it has no actions, or is a label of a recording rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A recording rule or an alerting rule."""

    name: str
    """The series that it writes, or the alert."""
    is_alert: bool
    expression: Expression
    place: Place
    expression_place: Place
    """Where the text of the expression begins."""
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: tuple[tuple[str, Templated], ...] = ()
    """Sorted by name; those of the group among them."""
    annotations: tuple[tuple[str, Templated], ...] = ()

    @property
    def expr(self) -> str:
        """Return the expression as it was written."""
        return self.expression.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated in order, at one moment."""

    name: str
    file: str
    place: Place
    rules: tuple[Rule, ...]
    interval_ms: int | None = None
    """None: as often as the one who evaluates does by default."""
    limit: int = 0
    """How many series or alerts one rule may give; 0: any number."""
    query_offset_ms: int | None = None
    """How far in the past series are looked at; None: by the default of the one who evaluates."""
    labels: tuple[tuple[str, str], ...] = ()
    """What every rule has unless it says otherwise; the rules' labels hold them already."""

    @property
    def key(self) -> tuple[str, str]:
        """Return file and name: no other group has both."""
        return self.file, self.name


class AlertState(enum.StrEnum):
    """How far an alert is."""

    INACTIVE = "inactive"
    """Resolved, and kept for a while so that it is said."""
    PENDING = "pending"
    FIRING = "firing"


@dataclass(slots=True, kw_only=True)
class Alert:
    """One alert of one rule; times are Unix milliseconds."""

    labels: Labels
    """Without a metric name; `alertname` among them."""
    annotations: dict[str, str] = field(default_factory=dict)
    state: AlertState = AlertState.PENDING
    value: float
    active_at_ms: int
    """Since when the condition has held."""
    last_seen_ms: int
    """When the condition was last seen to hold."""
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    keep_firing_since_ms: int | None = None
    """Since when it fires only because of `keep_firing_for`."""
    held_since_ms: int | None = None
    """Since when it is kept as it was because its target could not be observed."""
