"""What guards look at: facts as they stand at one moment. None means: not known, and that refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from actions.model import Execution, GuardResult, Identity, Plan
from actions.policy import Policy
from actions.ports import Approval, Past

Stage = Literal["proposed", "claimed", "session"]
"""When it was made, when it is claimed, and right before the first step in the acting session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSight:
    """What is known of one target from watching it."""

    name: str
    cluster: str
    engine: str
    up: bool | None
    role: str = ""
    data_age_seconds: float | None = None
    """Since its newest answer."""
    interval_seconds: float = 10.0
    answers: int = 0
    """Since the daemon began to watch it, or it came back."""
    distress: str = ""
    """Why slow probes wait: `load`, `connections`, `lock_waits`; empty when well."""
    lag_seconds: float | None = None
    """Of a replica behind its primary; None: not known, or not a replica."""
    lag_applies: bool = False
    """Whether it is a replica, or has some, so that lag must be known."""
    free_bytes: float | None = None
    """Free space of the filesystem that its data is on; None: not known."""
    size_bytes: float | None = None
    """Of that filesystem."""
    connections_used_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Everything that guards look at."""

    stage: Stage
    now: float
    """Unix time, seconds."""
    execution: Execution
    policy: Policy | None
    """None: a person asked for it."""
    run_now_by: str = ""
    """Who asked to begin it outside its windows; empty: nobody did."""
    stopped: str = ""
    """Why the kill switch is on; empty when it is off."""
    leader_seconds: float | None = None
    """Since when we hold the lease; None: we do not."""
    tilt_seconds: float | None = None
    """Since the last jump of the clock, or pause of the process; None: there was none."""
    target: TargetSight | None = None
    """None: it is not watched (any more)."""
    cluster_targets: Sequence[TargetSight] = ()
    """All targets of its cluster, itself among them."""
    targets_total: int = 0
    """How many targets are watched in all."""
    affected_targets: Sequence[str] = ()
    """Targets on which the same alert, or any plan of ours, is open now."""
    identity: Identity | None = None
    """As the acting session sees it (`session` only)."""
    fresh: Plan | None = None
    """The plan made anew in the acting session (`session` only)."""
    checks: Sequence[GuardResult] = ()
    """What `Action.check` said (`session` only)."""
    approvals: Sequence[Approval] = ()
    past: Sequence[Past] = ()
    """Executions of the last days, LIVE ones among them; our own too."""
    breaker_acknowledged_at: Mapping[str, float] = field(default_factory=dict)
    """By action: when a person last closed its circuit breaker."""
    banned_until: Mapping[str, float] = field(default_factory=dict)
    """By family: until when it is banned because it made things worse."""
    upstream: Sequence[str] = ()
    """Open incidents that lie under this one: the host is down, the store is away."""
    maintenance: Sequence[str] = ()
    """Backups, restores, upgrades that run on the cluster now."""
    symptom_firing: bool | None = None
    """Whether the alert still fires; None: there is none (schedule, person)."""
