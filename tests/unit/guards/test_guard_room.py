from __future__ import annotations

import math
from typing import Any

import pytest

from actions.guards.room import is_light
from actions.guards.sight import Sight
from actions.model import ActionClass, Identity, Prediction
from tests.fixtures.sights import a_plan, a_policy, a_sight, a_target, by_person, said

GB = 10**9


def writes(disk: int, seconds: float = 300.0, **target: Any) -> Sight:
    plan = a_plan(prediction=Prediction(duration_seconds=seconds, disk_bytes=disk))
    return a_sight(plan, target=a_target(**target))


def heavy(**target: Any) -> Sight:
    return writes(0, 60.1, **target)


def light(kind: ActionClass = ActionClass.C, planned: str = "primary", **target: Any) -> Sight:
    plan = a_plan(
        action_class=kind,
        prediction=Prediction(duration_seconds=60.0, disk_bytes=1_000_000),
        identity=Identity(system="7301", role=planned),
    )
    return a_sight(plan, target=a_target(**target))


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "shop1 has room for it"),
        (a_sight(target=None), False, "shop1 is not watched, so its room is not known"),
        # Free disk: twice what is used, and a tenth of all.
        (writes(GB, free_bytes=12e9), True, "shop1 has room for it"),
        (
            writes(GB, free_bytes=12e9 - 1),
            False,
            "shop1 has 11.2 GiB of disk left, 11.2 GiB are needed (2 x 953.7 MiB + 10% of 93.1 GiB); make room first",
        ),
        (
            writes(1_000_001, free_bytes=None),
            False,
            "the free space of shop1 is not known, and 976.6 KiB would be used; watch its host and say so with the static labels `host` and `mountpoint` of the target",
        ),
        (
            writes(1_000_001, size_bytes=None),
            False,
            "the free space of shop1 is not known, and 976.6 KiB would be used; watch its host and say so with the static labels `host` and `mountpoint` of the target",
        ),
        (
            writes(1_000_001, free_bytes=math.nan),
            False,
            "shop1 has nan bytes of disk left, 9.3 GiB are needed (2 x 976.6 KiB + 10% of 93.1 GiB); make room first",
        ),
        (writes(1_000_000, free_bytes=None, size_bytes=None), True, "shop1 has room for it"),
        (writes(1_000_000, free_bytes=0.0), True, "shop1 has room for it"),
        (
            writes(1_000_001, free_bytes=0.0),
            False,
            "shop1 has 0 bytes of disk left, 9.3 GiB are needed (2 x 976.6 KiB + 10% of 93.1 GiB); make room first",
        ),
        (light(free_bytes=0.0), True, "shop1 has room for it"),
        # Distress, lag and connections, for what is heavy.
        (heavy(), True, "shop1 has room for it"),
        (heavy(distress="load"), False, "shop1 is in distress (load); this would add to it"),
        (heavy(lag_seconds=60.0), True, "shop1 has room for it"),
        (
            heavy(lag_seconds=60.1),
            False,
            "replication of shop1 is 60 s behind, 60 s are allowed; wait until it has caught up",
        ),
        (
            heavy(lag_seconds=500.0),
            False,
            "replication of shop1 is 8.3 min behind, 60 s are allowed; wait until it has caught up",
        ),
        (heavy(lag_seconds=None), False, "how far replication of shop1 is behind is not known"),
        (
            heavy(lag_seconds=math.nan),
            False,
            "replication of shop1 is nan s behind, 60 s are allowed; wait until it has caught up",
        ),
        (heavy(lag_seconds=None, lag_applies=False), True, "shop1 has room for it"),
        (heavy(connections_used_ratio=0.9), True, "shop1 has room for it"),
        (
            heavy(connections_used_ratio=0.901),
            False,
            "90% of the connections of shop1 are in use, 90% are allowed",
        ),
        (heavy(connections_used_ratio=None), False, "how many connections of shop1 are in use is not known"),
        (
            heavy(connections_used_ratio=math.nan),
            False,
            "nan% of the connections of shop1 are in use, 90% are allowed",
        ),
        (heavy(connections_used_ratio=None, engine="host"), True, "shop1 has room for it"),
        (heavy(connections_used_ratio=None, engine="exporter"), True, "shop1 has room for it"),
        (
            heavy(connections_used_ratio=None, engine="pgbouncer"),
            False,
            "how many connections of shop1 are in use is not known",
        ),
        (heavy(distress="load", engine="host"), False, "shop1 is in distress (load); this would add to it"),
        # What takes distress away is light, and may be done in distress.
        (
            light(distress="lock_waits", lag_seconds=None, connections_used_ratio=1.0),
            True,
            "shop1 has room for it",
        ),
        (light(ActionClass.D, lag_seconds=None), True, "shop1 has room for it"),
        # But a replica is made a primary only if its lag is known, and small.
        (light(ActionClass.D, role="replica"), True, "shop1 has room for it"),
        (
            light(ActionClass.D, role="replica", lag_seconds=61.0),
            False,
            "replication of shop1 is 61 s behind, 60 s are allowed; wait until it has caught up",
        ),
        (
            light(ActionClass.D, role="replica", lag_seconds=None),
            False,
            "how far replication of shop1 is behind is not known",
        ),
        (
            light(ActionClass.D, planned="replica", lag_seconds=None),
            False,
            "how far replication of shop1 is behind is not known",
        ),
        (light(ActionClass.C, role="replica", lag_seconds=None), True, "shop1 has room for it"),
    ],
)
def test_the_server_must_have_room(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("headroom", sight)
    assert (result.guard, result.allowed, result.reason) == ("headroom", allowed, reason)


@pytest.mark.parametrize(
    ("seconds", "disk", "expected"),
    [(60.0, 1_000_000, True), (60.1, 0, False), (1.0, 1_000_001, False), (math.nan, 0, False)],
)
def test_what_is_light(seconds: float, disk: int, expected: bool) -> None:
    assert is_light(a_plan(prediction=Prediction(duration_seconds=seconds, disk_bytes=disk))) is expected


def test_what_room_there_is_is_kept() -> None:
    looked = {"light": False, "disk_bytes": 20_000_000, "duration_seconds": 300.0}
    assert said("headroom", a_sight(target=None)).inputs == looked
    room = {
        "free_bytes": 80e9,
        "size_bytes": 100e9,
        "distress": "",
        "lag_applies": True,
        "lag_seconds": 0.5,
        "connections_used_ratio": 0.3,
    }
    assert said("headroom", a_sight()).inputs == looked | room
    refused = said("headroom", a_sight(target=a_target(distress="load", lag_seconds=math.inf)))
    assert refused.inputs == looked | room | {"distress": "load", "lag_seconds": "inf"}
    assert said("headroom", light()).inputs["light"] is True


def targets(*names: str, most: int = 1) -> Sight:
    return a_sight(a_plan(targets=names), policy=a_policy(targets_max=most))


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (targets("shop1"), True, "touches 1 of 1"),
        (
            targets(),
            False,
            "the plan touches no target at all, so something is wrong with how they were chosen",
        ),
        (targets("shop2"), False, "shop1 is not among the targets of its own plan; report this"),
        (targets("shop1", "a"), False, "the plan touches 2 targets, 1 are allowed; choose fewer"),
        (targets("shop1", "a", most=2), True, "touches 2 of 2"),
        (targets("shop1", "shop1"), True, "touches 1 of 1"),
        (targets("shop1", most=0), False, "the plan touches 1 targets, 0 are allowed; choose fewer"),
        (targets("shop1", "a", "b", "c", "d", most=9), True, "touches 5 of 5"),
        (
            targets("shop1", "a", "b", "c", "d", "e", most=9),
            False,
            "the plan touches 6 targets, 5 are allowed; choose fewer",
        ),
        (by_person(a_plan(targets=("shop1", "a", "b", "c", "d"))), True, "touches 5 of 5"),
        (
            by_person(a_plan(targets=("shop1", "a", "b", "c", "d", "e"))),
            False,
            "the plan touches 6 targets, 5 are allowed; choose fewer",
        ),
        (
            by_person(a_plan(targets=())),
            False,
            "the plan touches no target at all, so something is wrong with how they were chosen",
        ),
    ],
)
def test_the_set_of_targets_must_be_sane(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("set_sanity", sight)
    assert (result.guard, result.allowed, result.reason) == ("set_sanity", allowed, reason)


def test_the_set_is_kept() -> None:
    assert said("set_sanity", targets("shop1", "b", most=3)).inputs == {"targets": ["shop1", "b"], "limit": 3}
    assert said("set_sanity", targets("b", most=9)).inputs == {"targets": ["b"], "limit": 5}
