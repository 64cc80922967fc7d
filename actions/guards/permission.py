"""Whether a policy, or a person, wants this action on this target, as things stand now."""

from __future__ import annotations

from actions.guards.answers import allow, refuse
from actions.guards.sight import Sight
from actions.model import SYSTEM, Execution, GuardResult, Mode
from actions.policies.decide import MODES, covers
from actions.policy import Policy


def permission(sight: Sight) -> GuardResult:
    """Refuse what neither a policy that still stands nor a person asks for."""
    execution, policy = sight.execution, sight.policy
    inputs = {
        "policy": execution.policy,
        "proposer": execution.proposer,
        "mode": str(execution.mode),
        "place": str(policy.place) if policy else "",
    }
    against = _not_by_person(execution) if policy is None else _not_by_policy(sight, policy)
    if against:
        return refuse("policy", against, **inputs)
    by = f"the policy {policy.name!r} ({policy.place})" if policy else execution.proposer
    return allow("policy", f"asked for by {by}", **inputs)


def mode_now(execution: Execution, policy: Policy) -> Mode:
    """Return how far it may go: what held when it was proposed, or what the policy says now if less."""
    return min(execution.mode, policy.mode, key=MODES.index)


def _not_by_person(execution: Execution) -> str:
    if execution.policy:
        return (
            f"the policy {execution.policy!r} that proposed it does not exist any more; deny this plan,"
            " or propose the action by hand"
        )
    if execution.proposer in ("", SYSTEM):
        return "neither a policy nor a person asks for it; propose the action by hand if it is wanted"
    return ""


def _not_by_policy(sight: Sight, policy: Policy) -> str:
    execution, plan = sight.execution, sight.execution.plan
    if policy.name != execution.policy:
        return f"it was proposed by the policy {execution.policy!r}, not by {policy.name!r}"
    where = f"the policy {policy.name!r} ({policy.place})"
    if policy.action != plan.action:
        return f"{where} is for {policy.action} now, not for {plan.action}; deny this plan"
    if not covers(policy, plan.target):
        return f"{where} does not cover the target {plan.target!r} any more; deny this plan"
    if sight.stage != "proposed" and mode_now(execution, policy) is Mode.OBSERVE:
        return f"{where} only observes: this plan is a record of what would have been done"
    return ""
