from __future__ import annotations

import math
from typing import Any

import pytest

from actions.guards.sight import Sight
from actions.model import Incident
from tests.fixtures.sights import (
    DAY,
    HOUR,
    NOW,
    a_check,
    a_policy,
    a_sight,
    a_target,
    an_execution,
    an_incident,
    by_person,
    said,
)


def target(**changes: Any) -> Sight:
    return a_sight(target=a_target(**changes))


def asked(source: str, begun_ago: float, made_ago: float = 60.0, **changes: Any) -> Sight:
    """Return a sight of a plan made a while ago for an incident that had begun so much earlier."""
    made = NOW - made_ago
    incident = an_incident(source=source, starts_at=made - begun_ago)
    return a_sight(execution=an_execution(incident=incident, created=made), **changes)


def from_person(waited: float) -> Sight:
    incident = Incident(source="person")
    execution = an_execution(policy="", proposer="anna", incident=incident, created=NOW - waited)
    return by_person(execution=execution)


def zero(source: str, starts_at: float = 0.0) -> Sight:
    return a_sight(execution=an_execution(incident=an_incident(source=source, starts_at=starts_at)))


def symptom(source: str, firing: bool | None, stage: str = "session", checked: bool = True) -> Sight:
    return a_sight(
        stage=stage,
        execution=an_execution(incident=an_incident(source=source)),
        symptom_firing=firing,
        checks=(a_check("second_source"),) if checked else (a_check("identity"),),
    )


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "shop1 answered 4 s ago"),
        (a_sight(target=None), False, "shop1 is not watched; add it to `targets`"),
        (target(up=None), False, "nobody knows whether shop1 is up; see `dbarchitect status`"),
        (
            target(up=False),
            False,
            "shop1 is down, or cannot be reached from here; that is not for this action to repair",
        ),
        (target(data_age_seconds=None), False, "shop1 has not answered yet"),
        (target(data_age_seconds=0.0), True, "shop1 answered 0 s ago"),
        (target(data_age_seconds=19.9), True, "shop1 answered 20 s ago"),
        (
            target(data_age_seconds=20.0),
            False,
            "shop1 answered 20 s ago, its interval is 10 s; what is more than 2 intervals old is not acted on",
        ),
        (target(data_age_seconds=100.0, interval_seconds=60.0), True, "shop1 answered 100 s ago"),
        (
            target(data_age_seconds=120.0, interval_seconds=60.0),
            False,
            "shop1 answered 2.0 min ago, its interval is 60 s; what is more than 2 intervals old is not acted on",
        ),
        (
            target(data_age_seconds=math.nan),
            False,
            "shop1 answered nan s ago, its interval is 10 s; what is more than 2 intervals old is not acted on",
        ),
        (
            target(interval_seconds=math.nan),
            False,
            "shop1 answered 4 s ago, its interval is nan s; what is more than 2 intervals old is not acted on",
        ),
        (target(answers=3), True, "shop1 answered 4 s ago"),
        (target(answers=2), False, "shop1 answered 2 times since it is watched; 3 are needed"),
        (target(answers=0), False, "shop1 answered 0 times since it is watched; 3 are needed"),
    ],
)
def test_what_is_known_must_be_new(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("freshness", sight)
    assert (result.guard, result.allowed, result.reason) == ("freshness", allowed, reason)


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "the plan was made 60 s ago"),
        # The plan waited.
        (asked("rules", 60, made_ago=DAY - 1), True, "the plan was made 24.0 h ago"),
        (
            asked("rules", 60, made_ago=DAY),
            False,
            "the plan was made 24.0 h ago and held for 24.0 h; wait for a new one, or propose the action by hand",
        ),
        (
            asked("rules", 60, made_ago=HOUR, policy=a_policy(expires_seconds=HOUR)),
            False,
            "the plan was made 60.0 min ago and held for 60.0 min; wait for a new one, or propose the action by hand",
        ),
        (
            asked("rules", 60, made_ago=2 * DAY, policy=a_policy(expires_seconds=3 * DAY)),
            True,
            "the plan was made 2.0 d ago",
        ),
        (asked("rules", 60, made_ago=-60), True, "the plan was made 0 s ago"),
        (
            asked("rules", 60, made_ago=-61),
            False,
            "the plan was made in the future: the clock was set back; deny it and wait for a new one",
        ),
        (
            asked("rules", 60, made_ago=math.nan),
            False,
            "the plan was made in the future: the clock was set back; deny it and wait for a new one",
        ),
        (from_person(7 * DAY - 1), True, "the plan was made 7.0 d ago"),
        (
            from_person(7 * DAY),
            False,
            "the plan was made 7.0 d ago and held for 7.0 d; wait for a new one, or propose the action by hand",
        ),
        # The incident was old when the plan was made.
        (asked("rules", 30 * DAY), True, "the plan was made 60 s ago"),
        (asked("alertmanager", DAY - 1), True, "the plan was made 60 s ago"),
        (
            asked("alertmanager", DAY),
            False,
            "the alert began 24.0 h before it came here; it is recorded, and not acted on",
        ),
        (asked("schedule", HOUR - 1), True, "the plan was made 60 s ago"),
        (asked("schedule", HOUR), False, "its time was missed by 60.0 min; the next one is waited for"),
        (asked("schedule", 60), True, "the plan was made 60 s ago"),
        # Or has not even begun.
        (asked("alertmanager", -60), True, "the plan was made 60 s ago"),
        (
            asked("alertmanager", -61),
            False,
            "its begin lies 61 s in the future; check the clock of whoever sent it",
        ),
        (asked("rules", -61), False, "its begin lies 61 s in the future; check the clock of whoever sent it"),
        (
            asked("schedule", -61),
            False,
            "its begin lies 61 s in the future; check the clock of whoever sent it",
        ),
        (
            zero("alertmanager"),
            False,
            "it is not known since when the condition holds; alerts must carry startsAt",
        ),
        (zero("rules"), False, "it is not known since when the condition holds; alerts must carry startsAt"),
        (zero("rules", 1.0), True, "the plan was made 60 s ago"),
        (
            zero("schedule", -1.0),
            False,
            "it is not known since when the condition holds; alerts must carry startsAt",
        ),
        (zero("person"), True, "the plan was made 60 s ago"),
    ],
)
def test_what_was_asked_long_ago_is_not_done(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("age", sight)
    assert (result.guard, result.allowed, result.reason) == ("age", allowed, reason)


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "the symptom holds"),
        (by_person(checks=()), True, "asked for without an alert"),
        (symptom("rules", True), True, "the symptom holds"),
        (symptom("rules", False), False, "the alert does not fire any more; nothing needs to be done"),
        (
            symptom("rules", None),
            False,
            "nobody can tell whether the alert still fires; wait for it, or deny it",
        ),
        (
            symptom("alertmanager", None),
            False,
            "nobody can tell whether the alert still fires; wait for it, or deny it",
        ),
        (
            symptom("rules", None, "proposed"),
            False,
            "nobody can tell whether the alert still fires; wait for it, or deny it",
        ),
        (
            symptom("rules", True, checked=False),
            False,
            "postgresql.vacuum did not look at the target itself before it began; report this",
        ),
        (
            symptom("alertmanager", True, checked=False),
            False,
            "postgresql.vacuum did not look at the target itself before it began; report this",
        ),
        (symptom("rules", True, "claimed", checked=False), True, "the symptom holds"),
        (symptom("rules", True, "proposed", checked=False), True, "the symptom holds"),
        (symptom("schedule", None, checked=False), True, "asked for without an alert"),
        (symptom("schedule", False), False, "the alert does not fire any more; nothing needs to be done"),
        (
            symptom("person", False, "claimed"),
            False,
            "the alert does not fire any more; nothing needs to be done",
        ),
    ],
)
def test_the_symptom_must_hold(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("second_source", sight)
    assert (result.guard, result.allowed, result.reason) == ("second_source", allowed, reason)


def test_what_was_known_is_kept() -> None:
    assert said("freshness", a_sight(target=None)).inputs == {"target": "shop1", "watched": False}
    known = {
        "target": "shop1",
        "watched": True,
        "up": True,
        "data_age_seconds": 4.0,
        "interval_seconds": 10.0,
        "answers": 100,
    }
    assert said("freshness", a_sight()).inputs == known
    assert said("freshness", target(answers=1)).inputs == known | {"answers": 1}
    waited = {
        "source": "alertmanager",
        "starts_at": NOW - 60 - DAY,
        "created": NOW - 60,
        "waited_seconds": 60.0,
        "waits_at_most_seconds": 86400.0,
    }
    assert said("age", asked("alertmanager", DAY)).inputs == waited
    assert said("age", asked("alertmanager", DAY - 1)).inputs == waited | {"starts_at": NOW - 59 - DAY}
    assert said("age", from_person(7 * DAY)).inputs["waits_at_most_seconds"] == 7 * DAY
    for firing, stage, checked in (
        (True, "session", True),
        (True, "session", False),
        (False, "claimed", True),
        (None, "claimed", False),
    ):
        assert said("second_source", symptom("rules", firing, stage, checked)).inputs == {
            "source": "rules",
            "symptom_firing": firing,
            "checked_at_target": checked,
        }


@pytest.mark.parametrize(
    ("check", "looked"),
    [("second_source", True), ("precondition", True), ("identity", False), ("headroom", False)],
)
def test_the_action_must_have_looked_at_the_target(check: str, looked: bool) -> None:
    sight = a_sight(checks=(a_check(check),))
    assert said("second_source", sight).allowed is looked
    assert said("second_source", sight).inputs["checked_at_target"] is looked
