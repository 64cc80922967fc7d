from __future__ import annotations

import math
from typing import Any

import pytest

from tests.fixtures.sights import a_sight, said


@pytest.mark.parametrize(
    ("guard", "changes", "allowed", "reason"),
    [
        ("kill_switch", {}, True, "acting is not stopped"),
        (
            "kill_switch",
            {"stopped": "file /run/dbarchitect/STOP"},
            False,
            "acting is stopped: file /run/dbarchitect/STOP; somebody with the scope `admin` can take that back",
        ),
        ("tilt", {"tilt_seconds": None}, True, "the clock runs evenly"),
        ("tilt", {"tilt_seconds": 30.0}, True, "the clock runs evenly"),
        (
            "tilt",
            {"tilt_seconds": 29.9},
            False,
            "the clock jumped, or this process stood still, 30 s ago; nothing is done for 30 s after that",
        ),
        (
            "tilt",
            {"tilt_seconds": 0.0},
            False,
            "the clock jumped, or this process stood still, 0 s ago; nothing is done for 30 s after that",
        ),
        (
            "tilt",
            {"tilt_seconds": math.nan},
            False,
            "the clock jumped, or this process stood still, nan s ago; nothing is done for 30 s after that",
        ),
        ("leader", {"leader_seconds": 60.0}, True, "holds the lease for 60 s"),
        (
            "leader",
            {"leader_seconds": 59.9},
            False,
            "this daemon holds the lease for 60 s only; it observes for 60 s before it acts",
        ),
        (
            "leader",
            {"leader_seconds": None},
            False,
            "this daemon does not hold the lease; the one that does will act",
        ),
        (
            "leader",
            {"leader_seconds": math.nan},
            False,
            "this daemon holds the lease for nan s only; it observes for 60 s before it acts",
        ),
        ("leader", {"leader_seconds": 7200.0}, True, "holds the lease for 2.0 h"),
    ],
)
def test_whether_anything_may_be_done(
    guard: str, changes: dict[str, Any], allowed: bool, reason: str
) -> None:
    result = said(guard, a_sight(**changes))
    assert (result.guard, result.allowed, result.reason) == (guard, allowed, reason)


def test_what_they_looked_at_is_kept() -> None:
    assert said("kill_switch", a_sight()).inputs == {"stopped": ""}
    assert said("kill_switch", a_sight(stopped="all")).inputs == {"stopped": "all"}
    assert said("tilt", a_sight()).inputs == {"tilt_seconds": None}
    assert said("tilt", a_sight(tilt_seconds=1.0)).inputs == {"tilt_seconds": 1.0}
    assert said("tilt", a_sight(tilt_seconds=31.0)).inputs == {"tilt_seconds": 31.0}
    assert said("leader", a_sight()).inputs == {"leader_seconds": 600.0}
    assert said("leader", a_sight(leader_seconds=1.0)).inputs == {"leader_seconds": 1.0}
    assert said("leader", a_sight(leader_seconds=None)).inputs == {"leader_seconds": None}
