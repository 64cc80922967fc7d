"""Whether enough people said yes to exactly this plan, or the policy says `auto`."""

from __future__ import annotations

from collections.abc import Iterable

from actions.guards.answers import allow, refuse
from actions.guards.permission import mode_now
from actions.guards.sight import Sight
from actions.model import SYSTEM, ActionClass, Execution, GuardResult, Mode
from actions.policy import Policy
from actions.ports import Approval


def approval(sight: Sight) -> GuardResult:
    """Refuse what needs more people than have said yes."""
    execution = sight.execution
    needed = approvals_needed(execution, sight.policy)
    who = approvers(execution, sight.approvals, sight.now)
    void = [each.who for each in sight.approvals if not _counts(execution, each, sight.now)]
    inputs = {"class": str(execution.plan.action_class), "needed": needed, "by": who, "do_not_count": void}
    if len(who) >= needed:
        return allow("approval", f"approved by {', '.join(who)}" if who else "needs no approval", **inputs)
    missing = needed - len(who)
    why = f"; {len(void)} do not count (expired, for another plan, or by the proposer)" if void else ""
    return refuse(
        "approval",
        f"class {execution.plan.action_class} needs {needed} approvals, {missing} are missing{why};"
        f" `dbarchitect plan approve {execution.id}`",
        **inputs,
    )


def approvals_needed(execution: Execution, policy: Policy | None) -> int:
    """Return how many people must say yes; `policy` None means that a person asked for it."""
    plan = execution.plan
    most = 2 if plan.action_class is ActionClass.D else 1
    if policy is None:
        return 0 if plan.action_class in (ActionClass.A, ActionClass.B) else most
    if mode_now(execution, policy) is not Mode.AUTO:
        return most
    if plan.action_class is ActionClass.D:
        named = {plan.target, *plan.targets} <= set(policy.targets)
        return 0 if named else most
    return 0


def approvers(execution: Execution, approvals: Iterable[Approval], now: float) -> list[str]:
    """Return whose approvals count at a moment, each once."""
    counted = {_name(each.who): each.who for each in approvals if _counts(execution, each, now)}
    return sorted(counted.values())


def _counts(execution: Execution, approval: Approval, now: float) -> bool:
    mine = approval.execution == execution.id
    same = approval.plan_hash == execution.plan_hash == execution.plan.plan_hash
    by_another = _name(approval.who) not in ("", _name(execution.proposer), _name(SYSTEM))
    return mine and same and by_another and now < approval.expires_at


def _name(who: str) -> str:
    """Return what makes two names one: a token that is written in another way is not another person."""
    return who.strip().casefold()
