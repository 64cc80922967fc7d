from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from actions.guards.sight import Sight
from actions.model import Identity, Prediction, Scope
from tests.fixtures.sights import (
    a_plan,
    a_replica,
    a_sight,
    a_target,
    an_execution,
    said,
)


def seen(**changes: Any) -> Sight:
    return a_sight(identity=dataclasses.replace(a_plan().identity, **changes))


def unbound(action: str, engine: str) -> Sight:
    """Return a sight of a plan that does not say which server it is for."""
    return a_sight(a_plan(action=action, identity=Identity()), target=a_target(engine=engine))


def predicted(seconds: float = 300.0, disk: int = 20_000_000) -> Prediction:
    return Prediction(duration_seconds=seconds, disk_bytes=disk)


def grown(seconds: float, disk: int, now_seconds: float, now_disk: int) -> Sight:
    plan = a_plan(prediction=predicted(seconds, disk))
    return a_sight(plan, fresh=a_plan(prediction=predicted(now_seconds, now_disk)))


def fresh(**changes: Any) -> Sight:
    return a_sight(fresh=a_plan(**changes))


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "shop1 is what the plan was made for"),
        (
            a_sight(identity=None),
            False,
            "the session at shop1 did not say which server it is; make a new plan",
        ),
        (seen(system="7302"), False, "shop1 has system '7302', the plan is for '7301'; make a new plan"),
        (seen(system=""), False, "shop1 has system '', the plan is for '7301'; make a new plan"),
        (seen(timeline=4), False, "shop1 has timeline 4, the plan is for 3; make a new plan"),
        (seen(role="replica"), False, "shop1 has role 'replica', the plan is for 'primary'; make a new plan"),
        (seen(database="crm"), False, "shop1 has database 'crm', the plan is for 'shop'; make a new plan"),
        (
            seen(database_id=16385),
            False,
            "shop1 has database_id 16385, the plan is for 16384; make a new plan",
        ),
        (a_sight(stage="claimed", identity=None), True, "shop1 is what the plan was made for"),
        (a_sight(stage="proposed", identity=None), True, "shop1 is what the plan was made for"),
        (
            a_sight(target=None),
            False,
            "shop1 is not watched, so nobody knows whether it is the server of the plan; make a new plan",
        ),
        (
            a_sight(target=a_replica("shop1")),
            False,
            "shop1 is a replica now, the plan is for a primary; make a new plan",
        ),
        (
            a_sight(target=a_target(role="")),
            False,
            "shop1 is of a role that is not known, the plan is for a primary; make a new plan",
        ),
        (
            a_sight(stage="claimed", target=a_replica("shop1")),
            False,
            "shop1 is a replica now, the plan is for a primary; make a new plan",
        ),
        (
            a_sight(target=a_target(cluster="crm")),
            False,
            "shop1 belongs to the cluster 'crm' now, the plan is for 'shop'; make a new plan",
        ),
        (
            a_sight(target=a_target(cluster="")),
            False,
            "shop1 belongs to the cluster 'shop1' now, the plan is for 'shop'; make a new plan",
        ),
        (
            a_sight(a_plan(scope=Scope(cluster="shop1")), target=a_target(cluster="")),
            True,
            "shop1 is what the plan was made for",
        ),
        (
            unbound("postgresql.vacuum", "postgresql"),
            False,
            "the plan does not say which server shop1 was; make a new plan",
        ),
        (unbound("command", "postgresql"), True, "shop1 is what the plan was made for"),
        (unbound("postgresql.vacuum", "host"), True, "shop1 is what the plan was made for"),
    ],
)
def test_the_server_must_be_that_of_the_plan(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("identity", sight)
    assert (result.guard, result.allowed, result.reason) == ("identity", allowed, reason)


def test_what_was_planned_and_seen_is_kept() -> None:
    planned = {"system": "7301", "timeline": 3, "role": "primary", "database": "shop", "database_id": 16384}
    assert said("identity", seen(timeline=4)).inputs == {
        "planned": planned,
        "seen": planned | {"timeline": 4},
        "watched_role": "primary",
        "scope_cluster": "shop",
        "watched_cluster": "shop",
    }
    assert said("identity", a_sight(target=None, identity=None)).inputs == {
        "planned": planned,
        "seen": None,
        "watched_role": None,
        "scope_cluster": "shop",
        "watched_cluster": None,
    }


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "the plan is the one that was decided on"),
        (
            a_sight(fresh=None),
            False,
            "the plan could not be made anew at the target; nothing was done, make a new plan",
        ),
        (a_sight(stage="claimed", fresh=None), True, "the plan is the one that was decided on"),
        (a_sight(stage="proposed", fresh=None), True, "the plan is the one that was decided on"),
        (
            a_sight(stage="claimed", execution=an_execution(plan_hash="0" * 64)),
            False,
            "the stored plan does not have the hash under which it was decided on; nothing was done, make a new plan",
        ),
        (
            a_sight(stage="proposed", execution=an_execution(plan_hash="")),
            False,
            "the stored plan does not have the hash under which it was decided on; nothing was done, make a new plan",
        ),
        (
            fresh(parameters={"table": "public.customers"}),
            False,
            "the plan would be another one now (parameters); nothing was done, make a new plan",
        ),
        (
            fresh(identity=Identity(system="7302"), scope=Scope(cluster="crm")),
            False,
            "the plan would be another one now (identity, scope); nothing was done, make a new plan",
        ),
        (
            fresh(targets=("shop1", "shop2")),
            False,
            "the plan would be another one now (targets); nothing was done, make a new plan",
        ),
        (
            fresh(version=2, evidence={"dead_rows": 1}),
            False,
            "the plan would be another one now (version); nothing was done, make a new plan",
        ),
        # What moves by itself is not in it.
        (
            fresh(evidence={"dead_rows": 9}, warnings=("busy",), reason="now", summary="later"),
            True,
            "the plan is the one that was decided on",
        ),
        # 20 % more disk are borne, and anything small.
        (grown(300, 20_000_000, 300, 24_000_000), True, "the plan is the one that was decided on"),
        (
            grown(300, 20_000_000, 300, 24_000_001),
            False,
            "it would use 22.9 MiB of disk now, 19.1 MiB were expected; nothing was done, make a new plan",
        ),
        (grown(300, 20_000_000, 300, 1), True, "the plan is the one that was decided on"),
        (grown(300, 0, 300, 1_000_000), True, "the plan is the one that was decided on"),
        (
            grown(300, 0, 300, 1_000_001),
            False,
            "it would use 976.6 KiB of disk now, 0 bytes were expected; nothing was done, make a new plan",
        ),
        (grown(300, 0, 360, 0), True, "the plan is the one that was decided on"),
        (
            grown(300, 0, 360.1, 0),
            False,
            "it would take 6.0 min now, 5.0 min were expected; nothing was done, make a new plan",
        ),
        (grown(1, 0, 10, 0), True, "the plan is the one that was decided on"),
        (
            grown(1, 0, 10.1, 0),
            False,
            "it would take 10 s now, 1 s were expected; nothing was done, make a new plan",
        ),
        (
            grown(300, 0, float("nan"), 0),
            False,
            "it would take nan s now, 5.0 min were expected; nothing was done, make a new plan",
        ),
    ],
)
def test_the_plan_must_be_the_one_that_was_decided_on(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("plan_unchanged", sight)
    assert (result.guard, result.allowed, result.reason) == ("plan_unchanged", allowed, reason)


def test_both_hashes_and_predictions_are_kept() -> None:
    now = a_plan(prediction=predicted(9, 9), version=2)
    assert said("plan_unchanged", a_sight(fresh=now)).inputs == {
        "plan_hash": a_plan().plan_hash,
        "fresh_hash": now.plan_hash,
        "predicted": {"duration_seconds": 300.0, "disk_bytes": 20_000_000, "risk": ""},
        "predicted_now": {"duration_seconds": 9, "disk_bytes": 9, "risk": ""},
    }
    assert said("plan_unchanged", a_sight(fresh=None)).inputs["predicted_now"] is None
    assert said("plan_unchanged", a_sight(stage="claimed", fresh=None)).inputs == {
        "plan_hash": a_plan().plan_hash,
        "fresh_hash": None,
    }


def test_what_was_planned_and_seen_is_kept_also_when_all_is_well() -> None:
    inputs = said("identity", a_sight()).inputs
    assert inputs["planned"] == inputs["seen"]
    assert inputs["scope_cluster"] == inputs["watched_cluster"] == "shop"
