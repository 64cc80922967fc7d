from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from actions.guards import answers
from actions.guards.judge import GUARDS, PASSING, first_refusal, judge
from actions.guards.sight import Sight
from actions.model import ActionClass, Mode, Refusal, State, canonical
from actions.window import Window
from tests.fixtures.sights import (
    FAMILY,
    NOW,
    a_check,
    a_past,
    a_plan,
    a_policy,
    a_sight,
    a_target,
    an_execution,
    by_person,
)

ORDER = [
    "kill_switch", "tilt", "leader", "policy", "identity", "freshness", "age", "second_source", "precondition",
    "dependency", "maintenance", "window", "budget", "busy", "blast_radius", "cool_down", "ban", "not_helping",
    "circuit_breaker", "headroom", "set_sanity", "approval", "plan_unchanged",
]  # fmt: skip
TONIGHT = Window(begin_minute=22 * 60, end_minute=24 * 60)
NEVER = Window(begin_minute=0, end_minute=60, days=())

REFUSED: dict[str, Sight] = {
    "kill_switch": a_sight(stopped="all"),
    "tilt": a_sight(tilt_seconds=1.0),
    "leader": a_sight(leader_seconds=None),
    "policy": a_sight(policy=None),
    "identity": a_sight(identity=None),
    "freshness": a_sight(target=a_target(up=False)),
    "age": a_sight(execution=an_execution(created=NOW - 1e6)),
    "second_source": a_sight(symptom_firing=False),
    "precondition": a_sight(checks=(a_check("second_source"), a_check("precondition", False))),
    "dependency": a_sight(upstream=("HostDown",)),
    "maintenance": a_sight(maintenance=("backup",)),
    "window": a_sight(policy=a_policy(windows=(TONIGHT,))),
    "budget": a_sight(past=[a_past(key, target="shop1", started=NOW) for key in ("p1", "p2")]),
    "busy": a_sight(past=[a_past(state=State.RUNNING, cluster="shop")]),
    "blast_radius": a_sight(targets_total=0),
    "cool_down": a_sight(past=[a_past(family=FAMILY, ended=NOW)]),
    "ban": a_sight(banned_until={FAMILY: NOW + 1}),
    "not_helping": a_sight(
        past=[
            a_past(key, incident_key=an_execution().incident.key, started=NOW - 7200)
            for key in ("p1", "p2", "p3")
        ]
    ),
    "circuit_breaker": a_sight(
        past=[a_past(key, action="postgresql.vacuum", state=State.FAILED_CLEAN) for key in ("p1", "p2", "p3")]
    ),
    "headroom": a_sight(target=a_target(distress="load")),
    "set_sanity": a_sight(a_plan(targets=("shop1", "crm1"))),
    "approval": a_sight(policy=a_policy(mode=Mode.APPROVE)),
    "plan_unchanged": a_sight(fresh=None),
}
"""By guard: a sight that this one alone refuses."""
WAITS = {"tilt", "leader", "window", "busy", "approval"}


def test_the_order_is_fixed() -> None:
    assert [guard.name for guard in GUARDS] == ORDER
    assert list(REFUSED) == ORDER


@pytest.mark.parametrize("stage", ["proposed", "claimed", "session"])
def test_all_guards_answer_at_every_stage_in_their_order(stage: Any) -> None:
    names = [result.guard for result in judge(a_sight(stage=stage, checks=()))]
    assert names == [name for name in ORDER if name != "precondition"]


@pytest.mark.parametrize(
    "sight", [a_sight(), by_person(), a_sight(stage="claimed"), a_sight(stage="proposed")]
)
def test_all_allow_when_all_is_well(sight: Sight) -> None:
    results = judge(sight)
    assert [result for result in results if not result.allowed] == []
    assert first_refusal(results) is None


@pytest.mark.parametrize("guard", ORDER)
def test_each_guard_refuses_alone(guard: str) -> None:
    results = judge(REFUSED[guard])
    refused = [result for result in results if not result.allowed]
    assert [result.guard for result in refused] == [guard]
    assert first_refusal(results) == Refusal(guard, refused[0].reason)


@pytest.mark.parametrize("guard", [each for each in ORDER if each not in {"identity", "plan_unchanged"}])
def test_a_proposal_waits_for_what_is_yet_to_come_and_for_nothing_else(guard: str) -> None:
    results = judge(dataclasses.replace(REFUSED[guard], stage="proposed"))
    refused = [result.guard for result in results if not result.allowed]
    assert refused == ([] if guard in WAITS else [guard])
    waiting = [result for result in results if result.inputs.get("pending")]
    assert [result.guard for result in waiting] == ([guard] if guard in WAITS else [])
    claimed = judge(dataclasses.replace(REFUSED[guard], stage="claimed"))
    assert [result.guard for result in claimed if not result.allowed] == [guard]
    if waiting:
        said = next(result for result in claimed if not result.allowed)
        assert waiting[0].reason == f"pending: {said.reason}"
        assert waiting[0].inputs == {**said.inputs, "pending": True}


@pytest.mark.parametrize("guard", ["identity", "plan_unchanged"])
def test_what_only_the_session_can_tell_is_asked_there(guard: str) -> None:
    for stage in ("proposed", "claimed"):
        assert first_refusal(judge(dataclasses.replace(REFUSED[guard], stage=stage))) is None


def test_a_proposal_does_not_wait_for_a_window_that_never_opens() -> None:
    results = judge(a_sight(stage="proposed", policy=a_policy(windows=(NEVER,))))
    refusal = first_refusal(results)
    assert refusal is not None
    assert refusal.guard == "window"


def test_what_passes_by_itself() -> None:
    assert set(PASSING) == {
        "tilt", "leader", "freshness", "dependency", "maintenance", "window", "budget", "busy", "blast_radius",
        "cool_down", "headroom",
    }  # fmt: skip


def test_the_first_in_the_order_is_the_reason_wherever_it_stands() -> None:
    results = judge(a_sight(stopped="all", leader_seconds=None, symptom_firing=False))
    assert [result.guard for result in results if not result.allowed] == [
        "kill_switch",
        "leader",
        "second_source",
    ]
    for shuffled in (results, results[::-1], results[7:] + results[:7]):
        refusal = first_refusal(shuffled)
        assert refusal is not None
        assert refusal.guard == "kill_switch"
    unknown = a_check("something", False, "else")
    assert first_refusal([unknown]) == Refusal("something", "else")
    assert first_refusal([unknown, *results]) == Refusal("kill_switch", results[0].reason)


def test_what_the_action_checked_stands_beside_ours() -> None:
    checks = (
        a_check("headroom", False, "the index needs 40 GiB", needed=40),
        a_check("identity", True, "same table"),
        a_check("table_is_ours", False, "it is a partition", bytes=math.inf),
        a_check("second_source"),
        a_check("precondition", True, "no build is running"),
    )
    results = judge(a_sight(checks=checks))
    names = [result.guard for result in results]
    assert [names.count(each) for each in ("identity", "second_source", "precondition", "headroom")] == [
        2,
        2,
        2,
        2,
    ]
    assert names.index("precondition") == names.index("second_source") + 2
    other, mine = (result for result in results if result.guard == "precondition")
    assert (other.allowed, other.reason, other.inputs) == (
        False,
        "it is a partition",
        {"bytes": "inf", "check": "table_is_ours"},
    )
    assert (mine.allowed, mine.inputs) == (True, {})
    assert first_refusal(results) == Refusal("precondition", "it is a partition")
    assert results[names.index("headroom") + 1].inputs == {"needed": 40}


def test_a_guard_that_fails_refuses() -> None:
    broken = a_sight(
        policy=a_policy(windows=(Window(begin_minute=0, end_minute=60, zone="Europe/Atlantis"),))
    )
    for stage in ("proposed", "claimed", "session"):
        results = judge(dataclasses.replace(broken, stage=stage))
        refused = [result for result in results if not result.allowed]
        assert [result.guard for result in refused] == ["window"]
        assert refused[0].reason == (
            "this guard failed (ZoneInfoNotFoundError: 'No time zone found with key Europe/Atlantis'), so nothing is"
            " done; report this"
        )
        assert refused[0].inputs == {"error": "ZoneInfoNotFoundError"}


@pytest.mark.parametrize(
    "sight", [*REFUSED.values(), a_sight(now=math.nan), a_sight(target=a_target(lag_seconds=math.inf))]
)
def test_all_results_are_fit_for_the_journal(sight: Sight) -> None:
    for result in judge(sight):
        assert json.loads(canonical(dict(result.inputs))) == result.inputs
        assert result.reason


def test_without_a_time_nothing_is_done() -> None:
    assert first_refusal(judge(a_sight(now=math.nan))) is not None


def test_class_d_by_auto_needs_its_target_named() -> None:
    plan = a_plan(action_class=ActionClass.D)
    assert first_refusal(judge(a_sight(plan, policy=a_policy(targets=("shop1",))))) is None
    refusal = first_refusal(judge(a_sight(plan, policy=a_policy(targets=("shop*",)))))
    assert refusal is not None
    assert refusal.guard == "approval"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1), (1.5, 1.5), (True, True), (None, None), ("x", "x"), (math.nan, "nan"), (-math.inf, "-inf"),
        ((1, math.inf), [1, "inf"]), ({1: (2,), "b": {"c": math.nan}}, {"1": [2], "b": {"c": "nan"}}),
    ],
)  # fmt: skip
def test_inputs_are_plain(value: Any, expected: Any) -> None:
    assert answers.plain(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"), (119.4, "119 s"), (120, "2.0 min"), (7199, "120.0 min"), (7200, "2.0 h"), (86400, "24.0 h"),
        (172799, "48.0 h"), (172800, "2.0 d"), (-5, "-5 s"), (math.nan, "nan s"),
    ],
)  # fmt: skip
def test_durations_are_written_for_people(seconds: float, expected: str) -> None:
    assert answers.seconds(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (2**20 - 1, "1024.0 KiB"), (2**20, "1.0 MiB"),
        (2**30, "1.0 GiB"), (1.5 * 2**40, "1536.0 GiB"),
    ],
)  # fmt: skip
def test_sizes_are_written_for_people(size: float, expected: str) -> None:
    assert answers.size(size) == expected


def test_only_a_no_becomes_pending() -> None:
    yes = answers.allow("window", "open", left=5)
    assert answers.pending(yes) is yes
    assert answers.pending(answers.refuse("window", "closed", left=0)) == answers.allow(
        "window", "pending: closed", left=0, pending=True
    )
