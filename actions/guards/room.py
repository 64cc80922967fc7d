"""Whether the server can bear it: disk, load, lag, connections; and whether the set of targets is sane."""

from __future__ import annotations

from actions.guards.answers import allow, refuse, seconds, size
from actions.guards.limits import (
    CONNECTIONS_RATIO,
    DISK_FACTOR,
    DISK_RESERVE,
    LAG_SECONDS,
    LIGHT_SECONDS,
    LITTLE_BYTES,
    TARGETS_MAX,
)
from actions.guards.sight import Sight, TargetSight
from actions.model import ActionClass, GuardResult, Json, Plan

WITHOUT_CONNECTIONS = ("host", "exporter")
"""Engines that have no connections which could run out."""


def headroom(sight: Sight) -> GuardResult:
    """Refuse what the target has no room for; what takes little may be done in distress."""
    plan, target = sight.execution.plan, sight.target
    inputs: dict[str, Json] = {
        "light": is_light(plan),
        "disk_bytes": plan.prediction.disk_bytes,
        "duration_seconds": plan.prediction.duration_seconds,
    }
    if target is None:
        return refuse("headroom", f"{plan.target} is not watched, so its room is not known", **inputs)
    inputs |= {
        "free_bytes": target.free_bytes,
        "size_bytes": target.size_bytes,
        "distress": target.distress,
        "lag_applies": target.lag_applies,
        "lag_seconds": target.lag_seconds,
        "connections_used_ratio": target.connections_used_ratio,
    }
    against = _disk(plan, target) or _lag(plan, target) or ("" if is_light(plan) else _load(target))
    if against:
        return refuse("headroom", against, **inputs)
    return allow("headroom", f"{plan.target} has room for it", **inputs)


def is_light(plan: Plan) -> bool:
    """Tell whether a plan takes so little that a server in distress does not feel it."""
    prediction = plan.prediction
    return prediction.duration_seconds <= LIGHT_SECONDS and prediction.disk_bytes <= LITTLE_BYTES


def set_sanity(sight: Sight) -> GuardResult:
    """Refuse a plan for nothing, for more targets than it may touch, or whose set lacks its own target."""
    plan = sight.execution.plan
    most = min(sight.policy.targets_max, TARGETS_MAX) if sight.policy else TARGETS_MAX
    count = len(set(plan.targets))
    against = ""
    if not count:
        against = "the plan touches no target at all, so something is wrong with how they were chosen"
    elif count > most:
        against = f"the plan touches {count} targets, {most} are allowed; choose fewer"
    elif plan.target not in plan.targets:
        against = f"{plan.target} is not among the targets of its own plan; report this"
    if against:
        return refuse("set_sanity", against, targets=list(plan.targets), limit=most)
    return allow("set_sanity", f"touches {count} of {most}", targets=list(plan.targets), limit=most)


def _disk(plan: Plan, target: TargetSight) -> str:
    use, free, whole = plan.prediction.disk_bytes, target.free_bytes, target.size_bytes
    if use <= LITTLE_BYTES:
        return ""
    if free is None or whole is None:
        return (
            f"the free space of {target.name} is not known, and {size(use)} would be used; watch its host and"
            " say so with the static labels `host` and `mountpoint` of the target"
        )
    needed = DISK_FACTOR * use + DISK_RESERVE * whole
    if not free >= needed:
        return (
            f"{target.name} has {size(free)} of disk left, {size(needed)} are needed ({DISK_FACTOR:.0f} x"
            f" {size(use)} + {DISK_RESERVE:.0%} of {size(whole)}); make room first"
        )
    return ""


def _lag(plan: Plan, target: TargetSight) -> str:
    """Say whether replication is too far behind: for heavy work, and for making a replica anything else."""
    promotes = plan.action_class is ActionClass.D and "replica" in (target.role, plan.identity.role)
    if not target.lag_applies or (is_light(plan) and not promotes):
        return ""
    if target.lag_seconds is None:
        return f"how far replication of {target.name} is behind is not known"
    if not target.lag_seconds <= LAG_SECONDS:
        return (
            f"replication of {target.name} is {seconds(target.lag_seconds)} behind, {LAG_SECONDS:.0f} s are"
            " allowed; wait until it has caught up"
        )
    return ""


def _load(target: TargetSight) -> str:
    if target.distress:
        return f"{target.name} is in distress ({target.distress}); this would add to it"
    used = target.connections_used_ratio
    if target.engine in WITHOUT_CONNECTIONS:
        return ""
    if used is None:
        return f"how many connections of {target.name} are in use is not known"
    if not used <= CONNECTIONS_RATIO:
        return (
            f"{used:.0%} of the connections of {target.name} are in use, {CONNECTIONS_RATIO:.0%} are allowed"
        )
    return ""
