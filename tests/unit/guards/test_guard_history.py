from __future__ import annotations

from typing import Any

import pytest

from actions.guards.sight import Sight
from actions.model import State
from actions.policy import Budget, CoolDown
from actions.ports import Past
from tests.fixtures.sights import (
    DAY,
    FAMILY,
    HOUR,
    NOW,
    a_past,
    a_policy,
    a_sight,
    an_execution,
    an_incident,
    by_person,
    said,
)

INCIDENT = an_incident().key
MINUTE = 60.0
BAD = (State.ROLLED_BACK, State.FAILED_CLEAN, State.NEEDS_HUMAN, State.CLOSED_BY_HUMAN)
QUIET = (
    State.PROPOSED, State.AWAITING_APPROVAL, State.APPROVED, State.OBSERVED, State.REJECTED,
    State.REFUSED, State.DENIED, State.EXPIRED, State.CANCELLED,
)  # fmt: skip


def ended(*ends: tuple[State, float], **changes: Any) -> list[Past]:
    """Return executions of the same family, each with how it ended and how long ago."""
    return [
        a_past(
            f"p{key}",
            **{"family": FAMILY, "state": state, "started": NOW - ago, "ended": NOW - ago, **changes},
        )
        for key, (state, ago) in enumerate(ends)
    ]


def rested(*ends: tuple[State, float], **changes: Any) -> Sight:
    return a_sight(past=ended(*ends), **changes)


def failed(times: int, ago: float, **changes: Any) -> Sight:
    """Return a sight after so many failures in a row, a day apart, the last a while ago."""
    ends = [(State.FAILED_CLEAN, ago + (times - 1 - each) * DAY) for each in range(times)]
    return rested(*ends, **changes)


def resting(**changes: Any) -> dict[str, Any]:
    return {"policy": a_policy(cool_down=CoolDown(**changes))}


OK, FAILED, BACK, CLOSED = State.SUCCEEDED, State.FAILED_CLEAN, State.ROLLED_BACK, State.CLOSED_BY_HUMAN


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "rested enough"),
        (
            rested((OK, 29 * MINUTE)),
            False,
            "p0 did the same on the same thing 29.0 min ago (succeeded); it rests for another 60 s (`cool_down` of the policy)",
        ),
        (rested((OK, 30 * MINUTE)), True, "rested enough"),
        (
            rested((OK, -10 * MINUTE)),
            False,
            "p0 did the same on the same thing -600 s ago (succeeded); it rests for another 40.0 min (`cool_down` of the policy)",
        ),
        (
            rested((FAILED, 119 * MINUTE)),
            False,
            "p0 did the same on the same thing 119.0 min ago (failed_clean); it rests for another 60 s (`cool_down` of the policy)",
        ),
        (rested((FAILED, 120 * MINUTE)), True, "rested enough"),
        (
            rested((CLOSED, 119 * MINUTE)),
            False,
            "p0 did the same on the same thing 119.0 min ago (closed_by_human); it rests for another 60 s (`cool_down` of the policy)",
        ),
        (rested((CLOSED, 120 * MINUTE)), True, "rested enough"),
        (
            rested((BACK, 23 * HOUR)),
            False,
            "p0 did the same on the same thing 23.0 h ago (rolled_back); it rests for another 60.0 min (`cool_down` of the policy)",
        ),
        (rested((BACK, 24 * HOUR)), True, "rested enough"),
        # It doubles with every failure in a row, for a week at the most.
        (
            failed(2, 4 * HOUR - 1),
            False,
            "p1 did the same on the same thing 4.0 h ago (failed_clean); it rests for another 1 s (`cool_down` of the policy)",
        ),
        (failed(2, 4 * HOUR), True, "rested enough"),
        (
            failed(3, 8 * HOUR - 1),
            False,
            "p2 did the same on the same thing 8.0 h ago (failed_clean); it rests for another 1 s (`cool_down` of the policy)",
        ),
        (failed(3, 8 * HOUR), True, "rested enough"),
        (
            failed(7, 128 * HOUR - 1),
            False,
            "p6 did the same on the same thing 5.3 d ago (failed_clean); it rests for another 1 s (`cool_down` of the policy)",
        ),
        (failed(7, 128 * HOUR), True, "rested enough"),
        (
            failed(8, 7 * DAY - 1),
            False,
            "p7 did the same on the same thing 7.0 d ago (failed_clean); it rests for another 1 s (`cool_down` of the policy)",
        ),
        (failed(8, 7 * DAY), True, "rested enough"),
        (
            failed(2000, 7 * DAY - 1),
            False,
            "p1999 did the same on the same thing 7.0 d ago (failed_clean); it rests for another 1 s (`cool_down` of the policy)",
        ),
        (failed(2000, 7 * DAY), True, "rested enough"),
        (
            failed(2, 9 * DAY, **resting(after_failure=10 * DAY)),
            False,
            "p1 did the same on the same thing 9.0 d ago (failed_clean); it rests for another 24.0 h (`cool_down` of the policy)",
        ),
        (failed(2, 10 * DAY, **resting(after_failure=10 * DAY)), True, "rested enough"),
        (failed(40, 2**30 - 1.0, **resting(after_failure=1e-3)), True, "rested enough"),
        # A success ends the row, whatever the order in which they come.
        (rested((FAILED, 30 * HOUR), (OK, 20 * HOUR), (FAILED, 2 * HOUR)), True, "rested enough"),
        (rested((FAILED, 2 * HOUR), (FAILED, 30 * HOUR), (OK, 20 * HOUR)), True, "rested enough"),
        (rested((FAILED, 3 * HOUR), (FAILED, 3 * HOUR), (OK, 31 * MINUTE)), True, "rested enough"),
        (
            rested((FAILED, 30 * HOUR), (CLOSED, 20 * HOUR), (FAILED, 7 * HOUR)),
            False,
            "p2 did the same on the same thing 7.0 h ago (failed_clean); it rests for another 60.0 min (`cool_down` of the policy)",
        ),
        # The rest after a rollback outlasts what comes after it, and a failure may outlast a rollback.
        (
            rested((BACK, 5 * HOUR), (OK, 4 * HOUR)),
            False,
            "p0 did the same on the same thing 5.0 h ago (rolled_back); it rests for another 19.0 h (`cool_down` of the policy)",
        ),
        (
            rested((BACK, 5 * HOUR), (FAILED, 4.5 * HOUR)),
            False,
            "p0 did the same on the same thing 5.0 h ago (rolled_back); it rests for another 19.0 h (`cool_down` of the policy)",
        ),
        (
            rested((BACK, 25 * HOUR), (FAILED, 3 * HOUR)),
            False,
            "p1 did the same on the same thing 3.0 h ago (failed_clean); it rests for another 60.0 min (`cool_down` of the policy)",
        ),
        (rested((BACK, 25 * HOUR), (FAILED, 4 * HOUR)), True, "rested enough"),
        (
            rested((BACK, HOUR), **resting(after_rollback=0.0)),
            False,
            "p0 did the same on the same thing 60.0 min ago (rolled_back); it rests for another 60.0 min (`cool_down` of the policy)",
        ),
        (rested((OK, 0), **resting(after_success=0.0)), True, "rested enough"),
        # What needs a person is settled first, whoever asks.
        (
            rested((State.NEEDS_HUMAN, 9 * DAY)),
            False,
            "p0 did the same on the same thing and needs a person; settle that first",
        ),
        (
            by_person(past=ended((State.NEEDS_HUMAN, 9 * DAY), (State.NEEDS_HUMAN, DAY))),
            False,
            "p0, p1 did the same on the same thing and needs a person; settle that first",
        ),
        (by_person(past=ended((OK, 0), (BACK, 0))), True, "anna asked for it: no rest is kept"),
    ],
)
def test_the_same_on_the_same_thing_rests(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("cool_down", sight)
    assert (result.guard, result.allowed, result.reason) == ("cool_down", allowed, reason)


@pytest.mark.parametrize("state", list(State))
def test_only_what_was_done_is_rested_from(state: State) -> None:
    allowed = said("cool_down", rested((state, 0))).allowed
    assert allowed is (state not in (OK, *BAD))


def test_another_family_needs_no_rest() -> None:
    assert said("cool_down", a_sight(past=ended((OK, 0), family=FAMILY + "x"))).allowed
    assert said("cool_down", a_sight(past=ended((State.NEEDS_HUMAN, 0), family="x"))).allowed
    assert said("cool_down", a_sight(past=[a_past("e1", family=FAMILY, ended=NOW)])).allowed


def test_until_when_it_rests_is_kept() -> None:
    assert said("cool_down", a_sight()).inputs == {"last": "", "state": "", "until": None}
    looked = {"last": "p0", "state": "succeeded", "until": NOW + 1740}
    assert said("cool_down", rested((OK, 60))).inputs == looked
    assert said("cool_down", rested((OK, 3600))).inputs == looked | {"until": NOW - 1800}
    assert said("cool_down", rested((State.NEEDS_HUMAN, 1))).inputs == {"needs_human": ["p0"]}
    assert said("cool_down", by_person()).inputs == {"needs_human": []}


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "not banned"),
        (
            a_sight(banned_until={FAMILY: NOW + 1}),
            False,
            "it made things worse and is banned for another 1 s: postgresql.vacuum shop1 shop.public.orders",
        ),
        (
            by_person(banned_until={FAMILY: NOW + 89 * DAY}),
            False,
            "it made things worse and is banned for another 89.0 d: postgresql.vacuum shop1 shop.public.orders",
        ),
        (a_sight(banned_until={FAMILY: NOW}), True, "not banned"),
        (
            a_sight(banned_until={FAMILY: float("nan")}),
            False,
            "it made things worse and is banned for another nan s: postgresql.vacuum shop1 shop.public.orders",
        ),
        (a_sight(banned_until={FAMILY + "2": NOW + 1}), True, "not banned"),
    ],
)
def test_what_made_it_worse_is_banned(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("ban", sight)
    assert (result.guard, result.allowed, result.reason) == ("ban", allowed, reason)


def test_until_when_it_is_banned_is_kept() -> None:
    assert said("ban", a_sight()).inputs == {"until": None}
    assert said("ban", a_sight(banned_until={FAMILY: 7.0})).inputs == {"until": 7.0}
    assert said("ban", a_sight(banned_until={FAMILY: NOW + 7})).inputs == {"until": NOW + 7}


def answers(count: int, ago: float = HOUR, **changes: Any) -> list[Past]:
    """Return executions for the same incident."""
    begun = {"incident_key": INCIDENT, "started": NOW - ago, "ended": NOW - ago}
    return [a_past(f"p{key}", **{**begun, **changes}) for key in range(count)]


def incident(source: str, count: int, **changes: Any) -> Sight:
    about = an_incident(source=source, name="")
    return a_sight(
        execution=an_execution(incident=about), past=answers(count, incident_key=about.key), **changes
    )


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "0 executions for this within a day"),
        (a_sight(past=answers(2)), True, "2 executions for this within a day"),
        (
            a_sight(past=answers(3)),
            False,
            "3 executions within a day did not help against PostgresTableBloat, 3 are allowed; look for the cause",
        ),
        (
            a_sight(past=answers(3, ago=DAY - 1)),
            False,
            "3 executions within a day did not help against PostgresTableBloat, 3 are allowed; look for the cause",
        ),
        (a_sight(past=answers(3, ago=DAY)), True, "0 executions for this within a day"),
        (
            a_sight(past=answers(3, ago=float("nan"))),
            False,
            "3 executions within a day did not help against PostgresTableBloat, 3 are allowed; look for the cause",
        ),
        (a_sight(past=answers(3, state=State.REFUSED)), True, "0 executions for this within a day"),
        (
            a_sight(past=answers(3, state=State.RUNNING)),
            False,
            "3 executions within a day did not help against PostgresTableBloat, 3 are allowed; look for the cause",
        ),
        (a_sight(past=answers(3, incident_key="another")), True, "0 executions for this within a day"),
        (
            a_sight(past=answers(1), policy=a_policy(budget=Budget(per_incident_day=1))),
            False,
            "1 executions within a day did not help against PostgresTableBloat, 1 are allowed; look for the cause",
        ),
        (
            a_sight(past=answers(9), policy=a_policy(budget=Budget(per_incident_day=99))),
            True,
            "9 executions for this within a day",
        ),
        (
            a_sight(past=answers(10), policy=a_policy(budget=Budget(per_incident_day=99))),
            False,
            "10 executions within a day did not help against PostgresTableBloat, 10 are allowed; look for the cause",
        ),
        (
            incident("alertmanager", 3),
            False,
            "3 executions within a day did not help against this alert, 3 are allowed; look for the cause",
        ),
        (incident("schedule", 30), True, "30 executions for this within a day"),
        (incident("person", 30), True, "30 executions for this within a day"),
        # A person may answer an alert too, and is held to the hard limit.
        (incident("rules", 9, policy=None), True, "9 executions for this within a day"),
        (
            incident("rules", 10, policy=None),
            False,
            "10 executions within a day did not help against this alert, 10 are allowed; look for the cause",
        ),
    ],
)
def test_what_does_not_help_is_not_repeated_all_day(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("not_helping", sight)
    assert (result.guard, result.allowed, result.reason) == ("not_helping", allowed, reason)


def test_what_did_not_help_is_kept() -> None:
    assert said("not_helping", a_sight(past=answers(1))).inputs == {"executions": ["p0"], "limit": 3}
    assert said("not_helping", a_sight(past=answers(3))).inputs == {
        "executions": ["p0", "p1", "p2"],
        "limit": 3,
    }


def test_two_that_ended_at_one_moment_are_no_trouble() -> None:
    assert said("cool_down", rested((BACK, HOUR), (BACK, HOUR))).inputs["last"] == "p0"
