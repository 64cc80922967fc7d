from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from actions.guards.amounts import allowed_budget
from actions.guards.limits import MAXIMA
from actions.guards.sight import Sight
from actions.model import State
from actions.policy import Budget
from actions.ports import Past
from tests.fixtures.sights import (
    DAY,
    HOUR,
    NOW,
    a_past,
    a_plan,
    a_policy,
    a_sight,
    by_person,
    said,
)

VACUUM = "postgresql.vacuum"
BUSY = (State.CLAIMED, State.RUNNING, State.RESOLVING, State.VERIFYING, State.COMPENSATING)
QUIET = (
    State.PROPOSED, State.AWAITING_APPROVAL, State.APPROVED, State.OBSERVED, State.REJECTED,
    State.REFUSED, State.DENIED, State.EXPIRED, State.CANCELLED,
)  # fmt: skip


def some(count: int, ago: float = 60.0, **changes: Any) -> list[Past]:
    """Return executions on other targets, begun a while ago."""
    each = {"started": NOW - ago, "ended": NOW - ago, **changes}
    return [a_past(f"p{key}", **{"target": f"t{key}", **each}) for key in range(count)]


def fleet(sight_of: Callable[..., Sight] = a_sight, **changes: Any) -> Sight:
    return sight_of(**{"targets_total": 1000, **changes})


def generous(**changes: Any) -> Sight:
    policy = a_policy(budget=Budget(**dict.fromkeys(Budget.__dataclass_fields__, 10**6)))
    return fleet(policy=policy, **changes)


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "within the budget"),
        (fleet(past=some(2, action=VACUUM)), True, "within the budget"),
        (
            fleet(past=some(3, action=VACUUM)),
            False,
            "too often: 3 postgresql.vacuum in an hour, 3 are allowed; raise `budget` of the policy, or wait",
        ),
        (
            fleet(past=some(3, ago=HOUR - 1, action=VACUUM)),
            False,
            "too often: 3 postgresql.vacuum in an hour, 3 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(past=some(3, ago=HOUR, action=VACUUM)), True, "within the budget"),
        (
            fleet(past=some(3, ago=math.nan, action=VACUUM)),
            False,
            "too often: 3 postgresql.vacuum in an hour, 3 are allowed; raise `budget` of the policy, or wait",
        ),
        (
            fleet(past=some(3, ago=-60, action=VACUUM)),
            False,
            "too often: 3 postgresql.vacuum in an hour, 3 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(past=some(5, ago=HOUR, action=VACUUM)), True, "within the budget"),
        (
            fleet(past=some(6, ago=HOUR, action=VACUUM)),
            False,
            "too often: 6 postgresql.vacuum in a day, 6 are allowed; raise `budget` of the policy, or wait",
        ),
        (
            fleet(past=some(6, ago=DAY - 1, action=VACUUM)),
            False,
            "too often: 6 postgresql.vacuum in a day, 6 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(past=some(6, ago=DAY, action=VACUUM)), True, "within the budget"),
        (fleet(past=some(1, target="shop1")), True, "within the budget"),
        (
            fleet(past=some(2, target="shop1")),
            False,
            "too often: 2 on shop1 in an hour, 2 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(past=some(2, ago=HOUR, target="shop1")), True, "within the budget"),
        (fleet(past=some(19)), True, "within the budget"),
        (
            fleet(past=some(20)),
            False,
            "too often: 20 of all actions in an hour, 20 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(past=some(20, ago=HOUR)), True, "within the budget"),
        (
            fleet(past=some(20, action=VACUUM, target="shop1")),
            False,
            "too often: 20 postgresql.vacuum in an hour, 3 are allowed; 20 postgresql.vacuum in a day, 6 are allowed; 20 on shop1 in an hour, 2 are allowed; 20 of all actions in an hour, 20 are allowed; raise `budget` of the policy, or wait",
        ),
        # A budget of nothing allows nothing; one beyond the hard limits is cut to them.
        (
            fleet(policy=a_policy(budget=Budget(per_action_hour=0))),
            False,
            "too often: 0 postgresql.vacuum in an hour, 0 are allowed; raise `budget` of the policy, or wait",
        ),
        (
            fleet(policy=a_policy(budget=Budget(global_hour=-1))),
            False,
            "too often: 0 of all actions in an hour, -1 are allowed; raise `budget` of the policy, or wait",
        ),
        (generous(past=some(29, action=VACUUM)), True, "within the budget"),
        (
            generous(past=some(30, action=VACUUM)),
            False,
            "too often: 30 postgresql.vacuum in an hour, 30 are allowed; raise `budget` of the policy, or wait",
        ),
        (generous(past=some(19, target="shop1")), True, "within the budget"),
        (
            generous(past=some(20, target="shop1")),
            False,
            "too often: 20 on shop1 in an hour, 20 are allowed; raise `budget` of the policy, or wait",
        ),
        (
            generous(past=some(60)),
            False,
            "too often: 60 of all actions in an hour, 60 are allowed; raise `budget` of the policy, or wait",
        ),
        # A person is held to the hard limits alone.
        (fleet(by_person, past=some(29, action=VACUUM)), True, "within the budget"),
        (
            fleet(by_person, past=some(30, action=VACUUM)),
            False,
            "too often: 30 postgresql.vacuum in an hour, 30 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(by_person, past=some(199, ago=2 * HOUR, action=VACUUM)), True, "within the budget"),
        (
            fleet(by_person, past=some(200, ago=2 * HOUR, action=VACUUM)),
            False,
            "too often: 200 postgresql.vacuum in a day, 200 are allowed; raise `budget` of the policy, or wait",
        ),
        (fleet(by_person, past=some(59)), True, "within the budget"),
        (
            fleet(by_person, past=some(60)),
            False,
            "too often: 60 of all actions in an hour, 60 are allowed; raise `budget` of the policy, or wait",
        ),
    ],
)
def test_nothing_is_done_too_often(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("budget", sight)
    assert (result.guard, result.allowed, result.reason) == ("budget", allowed, reason)


@pytest.mark.parametrize("state", list(State))
def test_what_had_no_effect_is_not_counted(state: State) -> None:
    result = said("budget", fleet(past=some(3, action=VACUUM, state=state)))
    assert result.allowed is (state in QUIET)


def test_another_target_of_the_plan_counts_too() -> None:
    plan = a_plan(targets=("shop1", "crm1"))
    assert not said("budget", a_sight(plan, past=some(2, target="crm1"))).allowed


def test_the_execution_itself_is_not_counted() -> None:
    past = [a_past("e1", action=VACUUM, target="shop1", cluster="shop", started=NOW, state=State.CLAIMED)]
    sight = a_sight(past=past, policy=a_policy(budget=Budget(per_action_hour=1, per_target_hour=1)))
    assert said("budget", sight).allowed
    assert said("busy", sight).allowed
    assert said("blast_radius", sight).allowed


def test_counts_and_limits_are_kept() -> None:
    past = [*some(2, action=VACUUM), *some(4, ago=2 * HOUR, action=VACUUM), *some(1, target="shop1")]
    past = [
        a_past(f"x{key}", action=each.action, target=each.target, started=each.started)
        for key, each in enumerate(past)
    ]
    assert said("budget", fleet(past=past)).inputs == {
        "per_action_hour": {"count": 2, "limit": 3},
        "per_action_day": {"count": 6, "limit": 6},
        "per_target_hour": {"count": 1, "limit": 2},
        "global_hour": {"count": 3, "limit": 20},
    }
    assert said("budget", fleet()).inputs["global_hour"] == {"count": 0, "limit": 20}


def test_a_budget_is_cut_to_the_hard_limits() -> None:
    assert allowed_budget(generous()) == MAXIMA
    assert allowed_budget(by_person()) == MAXIMA
    assert allowed_budget(a_sight()) == Budget()
    mixed = Budget(per_action_hour=1, per_action_day=999)
    assert allowed_budget(a_sight(policy=a_policy(budget=mixed))) == Budget(
        per_action_hour=1, per_action_day=200
    )


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "nothing else is under way on shop"),
        (a_sight(past=[a_past("p1", state=State.RUNNING)]), True, "nothing else is under way on shop"),
        (
            a_sight(past=[a_past("p1", state=State.RUNNING, cluster="shop", target="shop2")]),
            False,
            "postgresql.analyze on shop2 (p1) is under way on shop; one at a time",
        ),
        (
            by_person(past=[a_past("p1", state=State.RUNNING, cluster="shop", target="shop2")]),
            False,
            "postgresql.analyze on shop2 (p1) is under way on shop; one at a time",
        ),
        (
            a_sight(past=[a_past("p1", state=State.RUNNING), a_past("p2", state=State.CLAIMED)]),
            False,
            "postgresql.analyze on other (p1), postgresql.analyze on other (p2) are under way; 2 at a time",
        ),
        (
            by_person(past=[a_past("p1", state=State.RUNNING), a_past("p2", state=State.CLAIMED)]),
            False,
            "postgresql.analyze on other (p1), postgresql.analyze on other (p2) are under way; 2 at a time",
        ),
    ],
)
def test_one_at_a_time(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("busy", sight)
    assert (result.guard, result.allowed, result.reason) == ("busy", allowed, reason)


@pytest.mark.parametrize("state", list(State))
def test_only_what_is_under_way_keeps_others_waiting(state: State) -> None:
    result = said("busy", a_sight(past=[a_past(state=state, cluster="shop")]))
    assert result.allowed is (state not in BUSY)
    under_way = ["p1"] if state in BUSY else []
    assert result.inputs == {"cluster": under_way, "everywhere": under_way}


def test_what_is_under_way_elsewhere_is_kept() -> None:
    past = [a_past("p1", state=State.RUNNING), a_past("p2", state=State.CLAIMED)]
    assert said("busy", a_sight(past=past)).inputs == {"cluster": [], "everywhere": ["p1", "p2"]}
