"""Asks all guards, in a fixed order: the first refusal is the reason, all results are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from actions.guards import (
    amounts,
    approval,
    history,
    knowledge,
    permission,
    room,
    surroundings,
    switch,
    whose,
)
from actions.guards.answers import pending, plain, refuse
from actions.guards.sight import Sight
from actions.model import GuardResult, Refusal


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard: its name, and how it looks."""

    name: str
    look: Callable[[Sight], GuardResult] | None = None
    """None: only the action itself has something to say here (`Action.check`)."""
    can_wait: Callable[[Sight], bool] = lambda _: False
    """Whether a proposal may be made although it refuses now: it passes by itself, or people see to it."""
    passes: bool = False
    """Whether a refusal passes by itself, so that an approved plan may wait for it and be judged again."""


def _always(_: Sight) -> bool:
    return True


GUARDS = (
    Guard("kill_switch", switch.kill_switch),
    Guard("tilt", switch.tilt, _always, passes=True),
    Guard("leader", switch.leader, _always, passes=True),
    Guard("policy", permission.permission),
    Guard("identity", whose.identity),
    Guard("freshness", knowledge.freshness, passes=True),
    Guard("age", knowledge.age),
    Guard("second_source", knowledge.second_source),
    Guard("precondition"),
    Guard("dependency", surroundings.dependency, passes=True),
    Guard("maintenance", surroundings.maintenance, passes=True),
    Guard("window", surroundings.window, surroundings.can_open, passes=True),
    Guard("budget", amounts.budget, passes=True),
    Guard("busy", amounts.busy, _always, passes=True),
    Guard("blast_radius", amounts.blast_radius, passes=True),
    Guard("cool_down", history.cool_down, passes=True),
    Guard("ban", history.ban),
    Guard("not_helping", history.not_helping),
    Guard("circuit_breaker", history.circuit_breaker),
    Guard("headroom", room.headroom, passes=True),
    Guard("set_sanity", room.set_sanity),
    Guard("approval", approval.approval, _always),
    Guard("plan_unchanged", whose.plan_unchanged),
)
"""All guards, in the order in which a refusal is THE reason. The names are a closed list, safe as labels."""
PASSING = frozenset(guard.name for guard in GUARDS if guard.passes)
"""Guards whose refusal passes by itself."""
_RANK = {guard.name: rank for rank, guard in enumerate(GUARDS)}
_OTHER = "precondition"


def judge(sight: Sight) -> list[GuardResult]:
    """Return what all guards say at a stage, in their order; those of `Action.check` beside ours."""
    checks = [_named(check) for check in sight.checks]
    results: list[GuardResult] = []
    for guard in GUARDS:
        if guard.look is not None:
            results.append(_ask(guard, guard.look, sight))
        results += [check for check in checks if check.guard == guard.name]
    return results


def first_refusal(results: Iterable[GuardResult]) -> Refusal | None:
    """Return the refusal that counts: the first in the order of the guards; None when all allow."""
    refused = sorted((each for each in results if not each.allowed), key=lambda each: _rank(each.guard))
    return Refusal(refused[0].guard, refused[0].reason) if refused else None


def _ask(guard: Guard, look: Callable[[Sight], GuardResult], sight: Sight) -> GuardResult:
    try:
        result = look(sight)
        waits = sight.stage == "proposed" and not result.allowed and guard.can_wait(sight)
    except Exception as error:  # noqa: BLE001 - a guard that fails has not allowed anything
        return refuse(
            guard.name,
            f"this guard failed ({type(error).__name__}: {error}), so nothing is done; report this",
            error=type(error).__name__,
        )
    return pending(result) if waits else result


def _named(check: GuardResult) -> GuardResult:
    """Return an action's check under a name of the closed list."""
    inputs = check.inputs if check.guard in _RANK else {**check.inputs, "check": check.guard}
    guard = check.guard if check.guard in _RANK else _OTHER
    return GuardResult(guard=guard, allowed=check.allowed, reason=check.reason, inputs=plain(inputs))


def _rank(guard: str) -> int:
    return _RANK.get(guard, len(_RANK))
