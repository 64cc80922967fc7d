from __future__ import annotations

import math
from typing import Any

import pytest

from actions.guards.sight import Sight, TargetSight
from actions.model import ActionClass, Identity, State
from actions.ports import Past
from tests.fixtures.sights import (
    HOUR,
    NOW,
    a_past,
    a_plan,
    a_replica,
    a_sight,
    a_target,
    by_person,
    said,
)


def some(count: int, ago: float = 60.0, **changes: Any) -> list[Past]:
    """Return executions on other targets, begun a while ago."""
    each = {"started": NOW - ago, "ended": NOW - ago, **changes}
    return [a_past(f"p{key}", **{"target": f"t{key}", **each}) for key in range(count)]


def cluster(*members: TargetSight, total: int = 40, **changes: Any) -> Sight:
    return a_sight(a_plan(**changes), cluster_targets=members, targets_total=total)


def disruptive(*members: TargetSight, kind: ActionClass = ActionClass.C, role: str = "replica") -> Sight:
    """Return a sight of a disruptive plan for a replica, with others in its cluster."""
    target = a_target(role=role)
    plan = a_plan(action_class=kind, identity=Identity(system="7301", role=role))
    return a_sight(plan, target=target, cluster_targets=(target, *members))


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "touches 1 of 40 targets within an hour"),
        (a_sight(targets_total=0), False, "it is not known how many targets there are"),
        (a_sight(targets_total=1), True, "touches 1 of 1 targets within an hour"),
        # A symptom on more than a fifth has a common cause; three may have it by chance.
        (
            a_sight(targets_total=5, affected_targets=("a", "b")),
            True,
            "touches 1 of 5 targets within an hour",
        ),
        (
            a_sight(targets_total=5, affected_targets=("a", "b", "c")),
            False,
            "4 of 5 targets are affected at once; look for what they have in common, and repair that",
        ),
        (
            a_sight(affected_targets=("a", "b", "c", "d", "e", "f", "g")),
            True,
            "touches 1 of 40 targets within an hour",
        ),
        (
            a_sight(affected_targets=("a", "b", "c", "d", "e", "f", "g", "h")),
            False,
            "9 of 40 targets are affected at once; look for what they have in common, and repair that",
        ),
        (
            a_sight(affected_targets=("a", "b", "c", "d", "e", "f", "g", "shop1")),
            True,
            "touches 1 of 40 targets within an hour",
        ),
        # A tenth within the hour, or one.
        (a_sight(past=some(3)), True, "touches 4 of 40 targets within an hour"),
        (
            a_sight(past=some(4)),
            False,
            "5 of 40 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0, t1, t2, t3; wait",
        ),
        (
            by_person(past=some(4)),
            False,
            "5 of 40 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0, t1, t2, t3; wait",
        ),
        (a_sight(past=some(4, ago=HOUR)), True, "touches 1 of 40 targets within an hour"),
        (
            a_sight(past=some(4, ago=math.nan)),
            False,
            "5 of 40 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0, t1, t2, t3; wait",
        ),
        (
            a_sight(past=some(4, ago=HOUR, state=State.RUNNING)),
            False,
            "5 of 40 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0, t1, t2, t3; wait",
        ),
        (
            a_sight(past=some(4, ago=HOUR, state=State.NEEDS_HUMAN)),
            True,
            "touches 1 of 40 targets within an hour",
        ),
        (a_sight(past=some(4, state=State.DENIED)), True, "touches 1 of 40 targets within an hour"),
        (a_sight(past=some(4, target="shop1")), True, "touches 1 of 40 targets within an hour"),
        (
            a_sight(targets_total=9, past=some(1)),
            False,
            "2 of 9 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0; wait",
        ),
        (
            a_sight(targets_total=9, past=some(1, target="shop1")),
            True,
            "touches 1 of 9 targets within an hour",
        ),
        (
            a_sight(targets_total=19, past=some(1)),
            False,
            "2 of 19 targets would be acted on within an hour, 10% (or one) are allowed: shop1, t0; wait",
        ),
        (a_sight(targets_total=20, past=some(1)), True, "touches 2 of 20 targets within an hour"),
        # One node of a cluster.
        (
            cluster(a_target(), a_replica(), targets=("shop1", "shop2")),
            False,
            "shop1, shop2 are of one cluster; one of them at a time",
        ),
        (
            cluster(a_target(), a_replica(), targets=("shop1", "crm1")),
            True,
            "touches 2 of 40 targets within an hour",
        ),
        (
            cluster(a_target(), a_replica(), targets=("shop2",)),
            False,
            "shop1, shop2 are of one cluster; one of them at a time",
        ),
        (cluster(), False, "the members of the cluster of shop1 are not known"),
        (cluster(a_replica()), False, "the members of the cluster of shop1 are not known"),
        # The last healthy replica.
        (disruptive(a_replica()), True, "touches 1 of 40 targets within an hour"),
        (
            disruptive(),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(kind=ActionClass.D),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (disruptive(kind=ActionClass.B), True, "touches 1 of 40 targets within an hour"),
        (disruptive(kind=ActionClass.A), True, "touches 1 of 40 targets within an hour"),
        (disruptive(role="primary"), True, "touches 1 of 40 targets within an hour"),
        (
            disruptive(a_target(name="shop3")),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(up=False)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(up=None)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(distress="load")),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(data_age_seconds=20.0)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(data_age_seconds=None)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (disruptive(a_replica(lag_seconds=60.0)), True, "touches 1 of 40 targets within an hour"),
        (
            disruptive(a_replica(lag_seconds=60.1)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (
            disruptive(a_replica(lag_seconds=None)),
            False,
            "shop1 may be the last healthy replica of its cluster, so it is left alone; repair the others",
        ),
        (disruptive(a_replica(up=False), a_replica("shop3")), True, "touches 1 of 40 targets within an hour"),
    ],
)
def test_not_too_much_is_touched(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("blast_radius", sight)
    assert (result.guard, result.allowed, result.reason) == ("blast_radius", allowed, reason)


@pytest.mark.parametrize(
    ("planned", "watched"), [("replica", "primary"), ("primary", "replica"), ("", "replica")]
)
def test_a_replica_is_one_whether_the_plan_or_the_watching_says_so(planned: str, watched: str) -> None:
    target = a_target(role=watched)
    plan = a_plan(action_class=ActionClass.C, identity=Identity(system="7301", role=planned))
    assert not said("blast_radius", a_sight(plan, target=target, cluster_targets=(target,))).allowed


def test_what_is_touched_is_kept() -> None:
    looked = {"targets": 40, "affected": ["shop1"], "touched_in_an_hour": ["shop1", "t0"]}
    assert said("blast_radius", a_sight(past=some(1))).inputs == looked
    many = some(4)
    result = said("blast_radius", a_sight(past=many, affected_targets=("x",)))
    assert result.inputs == {
        "targets": 40,
        "affected": ["shop1", "x"],
        "touched_in_an_hour": ["shop1", "t0", "t1", "t2", "t3"],
    }
