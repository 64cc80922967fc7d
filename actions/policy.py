"""Policies: which alert leads to which action, how far, when, and how often. The first that matches wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from actions.model import Json, Mode
from actions.window import Window
from rules.model import Place

From = Literal["rules", "alertmanager", "any"]


@dataclass(frozen=True, slots=True)
class Match:
    """One matcher on a label, as Alertmanager writes them: `severity=~"warning|critical"`."""

    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str


@dataclass(frozen=True, slots=True)
class FromLabel:
    """A parameter's value that comes from a label of the alert."""

    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How often at the most. Hard maxima are in the code (`actions.guards.limits`)."""

    per_action_hour: int = 3
    per_action_day: int = 6
    per_target_hour: int = 2
    global_hour: int = 20
    per_incident_day: int = 3
    """Executions for one incident in 24 h; more do not help, and a person is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolDown:
    """How long the same family rests, seconds."""

    after_success: float = 1800.0
    after_failure: float = 7200.0
    """Doubles with every failure in a row."""
    after_rollback: float = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Times at which a policy asks for its action without any alert."""

    cron: str
    """Five fields, as crontab has them."""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy. `place` is where it stands in its file."""

    name: str
    action: str
    mode: Mode
    place: Place
    matches: tuple[Match, ...] = ()
    source: From = "rules"
    targets: tuple[str, ...] = ()
    """Names, or patterns with `*`; empty: every target."""
    parameters: Mapping[str, Json | FromLabel] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    """Empty: at any time."""
    urgent: bool = False
    """An action of class A or B may be begun outside the windows."""
    budget: Budget = Budget()
    cool_down: CoolDown = CoolDown()
    schedule: Schedule | None = None
    undo_on_stop: bool = False
    """Whether what was done is taken back when everything is told to stop in mid run."""
    expires_seconds: float = 86400.0
    """How long a plan of this policy waits for a person."""
    targets_max: int = 1
    """How many targets one plan may touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """All policies, in the order in which they are tried."""

    policies: tuple[Policy, ...] = ()
