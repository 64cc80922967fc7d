"""Whether the server is the one that the plan was made for, and the plan the one that was decided on."""

from __future__ import annotations

import dataclasses

from actions.guards.answers import allow, refuse, seconds, size
from actions.guards.limits import GROWTH, LITTLE_BYTES, LITTLE_SECONDS
from actions.guards.sight import Sight
from actions.model import GuardResult, Identity, Json, Plan

_MOVING = ("evidence", "prediction", "warnings", "summary", "reason")
"""Fields that are not part of a plan's essence."""


def identity(sight: Sight) -> GuardResult:
    """Refuse another server, database, timeline or role than the plan's."""
    plan, target = sight.execution.plan, sight.target
    inputs = {
        "planned": dataclasses.asdict(plan.identity),
        "seen": dataclasses.asdict(sight.identity) if sight.identity else None,
        "watched_role": target.role if target else None,
        "scope_cluster": plan.scope.cluster,
        "watched_cluster": target.cluster if target else None,
    }
    against = _against_watched(sight)
    if not against and sight.stage == "session":
        against = _against_seen(plan, sight.identity)
    if against:
        return refuse("identity", f"{against}; make a new plan", **inputs)
    return allow("identity", f"{plan.target} is what the plan was made for", **inputs)


def plan_unchanged(sight: Sight) -> GuardResult:
    """Refuse when the plan, made anew now, is another than the one that was decided on."""
    execution, fresh = sight.execution, sight.fresh
    planned = execution.plan
    inputs: dict[str, Json] = {
        "plan_hash": execution.plan_hash,
        "fresh_hash": fresh.plan_hash if fresh else None,
    }
    against = ""
    if execution.plan_hash != planned.plan_hash:
        against = "the stored plan does not have the hash under which it was decided on"
    elif sight.stage == "session":
        inputs["predicted"] = dataclasses.asdict(planned.prediction)
        inputs["predicted_now"] = dataclasses.asdict(fresh.prediction) if fresh else None
        against = _changed(planned, fresh)
    if against:
        return refuse("plan_unchanged", f"{against}; nothing was done, make a new plan", **inputs)
    return allow("plan_unchanged", "the plan is the one that was decided on", **inputs)


def _against_watched(sight: Sight) -> str:
    """Say what of the watched target is not as in the plan."""
    plan, target = sight.execution.plan, sight.target
    if target is None:
        return f"{plan.target} is not watched, so nobody knows whether it is the server of the plan"
    cluster = target.cluster or target.name
    if plan.scope.cluster != cluster:
        return f"{plan.target} belongs to the cluster {cluster!r} now, the plan is for {plan.scope.cluster!r}"
    if plan.identity.role and target.role != plan.identity.role:
        role = f"a {target.role} now" if target.role else "of a role that is not known"
        return f"{plan.target} is {role}, the plan is for a {plan.identity.role}"
    if not plan.identity.system and plan.action.startswith(f"{target.engine}."):
        return f"the plan does not say which server {plan.target} was"
    return ""


def _against_seen(plan: Plan, seen: Identity | None) -> str:
    """Say what of the server at the other end is not as in the plan."""
    if seen is None:
        return f"the session at {plan.target} did not say which server it is"
    for field in dataclasses.fields(Identity):
        planned, now = getattr(plan.identity, field.name), getattr(seen, field.name)
        if planned != now:
            return f"{plan.target} has {field.name} {now!r}, the plan is for {planned!r}"
    return ""


def _changed(planned: Plan, fresh: Plan | None) -> str:
    if fresh is None:
        return "the plan could not be made anew at the target"
    if fresh.essence != planned.essence:
        return f"the plan would be another one now ({', '.join(_differences(planned, fresh))})"
    was, now = planned.prediction, fresh.prediction
    if not now.disk_bytes <= max(GROWTH * was.disk_bytes, LITTLE_BYTES):
        return f"it would use {size(now.disk_bytes)} of disk now, {size(was.disk_bytes)} were expected"
    if not now.duration_seconds <= max(GROWTH * was.duration_seconds, LITTLE_SECONDS):
        return (
            f"it would take {seconds(now.duration_seconds)} now,"
            f" {seconds(was.duration_seconds)} were expected"
        )
    return ""


def _differences(planned: Plan, fresh: Plan) -> list[str]:
    """Name what differs of all that a decision is bound to."""
    names = [field.name for field in dataclasses.fields(Plan) if field.name not in _MOVING]
    return [name for name in names if getattr(planned, name) != getattr(fresh, name)]
