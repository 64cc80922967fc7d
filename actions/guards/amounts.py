"""How much is done: budgets, what goes on at the same time, and how much of the fleet is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from actions.guards.answers import allow, refuse
from actions.guards.history import BEGUN, others
from actions.guards.knowledge import is_fresh
from actions.guards.limits import (
    AFFECTED_LEAST,
    AFFECTED_SHARE,
    DAY,
    GLOBAL_AT_A_TIME,
    HOUR,
    LAG_SECONDS,
    MAXIMA,
    PER_CLUSTER_AT_A_TIME,
    TARGETS_SHARE_HOUR,
)
from actions.guards.sight import Sight, TargetSight
from actions.model import WORKING, ActionClass, GuardResult, Json
from actions.policy import Budget
from actions.ports import Past


def budget(sight: Sight) -> GuardResult:
    """Refuse what was done as often as the policy, or the hard limits, allow."""
    plan, most = sight.execution.plan, allowed_budget(sight)
    touched = {plan.target, *plan.targets}

    def same(past: Past) -> bool:
        return past.action == plan.action

    counts = (
        (f"{plan.action} in an hour", "per_action_hour", HOUR, same),
        (f"{plan.action} in a day", "per_action_day", DAY, same),
        (f"on {plan.target} in an hour", "per_target_hour", HOUR, lambda past: past.target in touched),
        ("of all actions in an hour", "global_hour", HOUR, lambda _: True),
    )
    inputs: dict[str, Json] = {}
    over = []
    for what, name, span, counted in counts:
        limit, count = getattr(most, name), _begun(sight, span, counted)
        inputs[name] = {"count": count, "limit": limit}
        if not count < limit:
            over.append(f"{count} {what}, {limit} are allowed")
    if over:
        return refuse(
            "budget", f"too often: {'; '.join(over)}; raise `budget` of the policy, or wait", **inputs
        )
    return allow("budget", "within the budget", **inputs)


def allowed_budget(sight: Sight) -> Budget:
    """Return the policy's budget, cut to the hard limits; those alone for what a person asked for."""
    if sight.policy is None:
        return MAXIMA
    asked = sight.policy.budget
    return Budget(
        **{each.name: min(getattr(asked, each.name), getattr(MAXIMA, each.name)) for each in fields(Budget)}
    )


def busy(sight: Sight) -> GuardResult:
    """Refuse while something else is done on the cluster, or too much anywhere."""
    cluster = sight.execution.plan.scope.cluster
    working = [past for past in others(sight) if past.state in WORKING]
    here = [past for past in working if past.cluster == cluster]
    inputs = {"cluster": [past.id for past in here], "everywhere": [past.id for past in working]}
    if len(here) >= PER_CLUSTER_AT_A_TIME:
        return refuse("busy", f"{_named(here)} is under way on {cluster}; one at a time", **inputs)
    if len(working) >= GLOBAL_AT_A_TIME:
        return refuse("busy", f"{_named(working)} are under way; {GLOBAL_AT_A_TIME} at a time", **inputs)
    return allow("busy", f"nothing else is under way on {cluster}", **inputs)


def blast_radius(sight: Sight) -> GuardResult:
    """Refuse what would touch too much at once, whoever asks for it."""
    total = sight.targets_total
    affected = {*sight.affected_targets, sight.execution.plan.target}
    touched = _touched(sight)
    inputs = {"targets": total, "affected": sorted(affected), "touched_in_an_hour": sorted(touched)}
    against = _too_wide(total, affected, touched) or _in_cluster(sight)
    if against:
        return refuse("blast_radius", against, **inputs)
    return allow("blast_radius", f"touches {len(touched)} of {total} targets within an hour", **inputs)


def _begun(sight: Sight, span: float, counted: Callable[[Past], bool]) -> int:
    """Count what was begun within a span; what has no time counts."""
    return sum(
        past.state in BEGUN and counted(past) and not past.started <= sight.now - span
        for past in others(sight)
    )


def _named(working: Sequence[Past]) -> str:
    return ", ".join(f"{past.action} on {past.target} ({past.id})" for past in working)


def _touched(sight: Sight) -> set[str]:
    """Return the targets that would have been acted on within the hour."""
    recent = {
        past.target
        for past in others(sight)
        if past.state in BEGUN and (past.state in WORKING or not past.started <= sight.now - HOUR)
    }
    return recent | {sight.execution.plan.target, *sight.execution.plan.targets}


def _too_wide(total: int, affected: set[str], touched: set[str]) -> str:
    if not total > 0:
        return "it is not known how many targets there are"
    if len(affected) > max(AFFECTED_LEAST, AFFECTED_SHARE * total):
        return (
            f"{len(affected)} of {total} targets are affected at once; look for what they have in common,"
            " and repair that"
        )
    if len(touched) > max(1, TARGETS_SHARE_HOUR * total):
        return (
            f"{len(touched)} of {total} targets would be acted on within an hour, {TARGETS_SHARE_HOUR:.0%}"
            f" (or one) are allowed: {', '.join(sorted(touched))}; wait"
        )
    return ""


def _in_cluster(sight: Sight) -> str:
    plan, members = sight.execution.plan, {each.name: each for each in sight.cluster_targets}
    if plan.target not in members:
        return f"the members of the cluster of {plan.target} are not known"
    nodes = sorted(members.keys() & {plan.target, *plan.targets})
    if len(nodes) > 1:
        return f"{', '.join(nodes)} are of one cluster; one of them at a time"
    disruptive = plan.action_class in (ActionClass.C, ActionClass.D)
    if disruptive and "replica" in (plan.identity.role, members[plan.target].role):
        return _last_replica(plan.target, list(members.values()))
    return ""


def _last_replica(name: str, members: Sequence[TargetSight]) -> str:
    if any(each.name != name and _healthy_replica(each) for each in members):
        return ""
    return f"{name} may be the last healthy replica of its cluster, so it is left alone; repair the others"


def _healthy_replica(target: TargetSight) -> bool:
    lag = target.lag_seconds
    well = target.role == "replica" and target.up is True and not target.distress and is_fresh(target)
    return well and lag is not None and lag <= LAG_SECONDS
