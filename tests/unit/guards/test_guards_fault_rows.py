"""Rows of the fault matrix that guards answer, each named after its row."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actions.guards.judge import first_refusal, judge
from actions.guards.sight import Sight
from actions.model import ActionClass, Execution, Identity, Mode, Plan, Prediction, State
from actions.policy import CoolDown
from actions.ports import Past
from actions.window import Window
from tests.fixtures.sights import (
    DAY,
    HOUR,
    NOW,
    a_past,
    a_plan,
    a_policy,
    a_replica,
    a_sight,
    a_target,
    an_approval,
    an_execution,
    an_incident,
)

MINUTE = 60.0


def why(sight: Sight) -> str:
    """Return the guard that refuses first; empty when nothing refuses."""
    refusal = first_refusal(judge(sight))
    return refusal.guard if refusal else ""


def done(execution: Execution, at: float, state: State, took: float = 30.0) -> Past:
    """Return what the store would say of an execution that was carried out."""
    return Past(
        id=execution.id,
        action=execution.plan.action,
        family=execution.plan.family,
        target=execution.plan.target,
        cluster=execution.plan.scope.cluster,
        incident_key=execution.incident.key,
        state=state,
        started=at,
        ended=at + took,
    )


@pytest.mark.parametrize(("late", "refused"), [(DAY - 1, ""), (DAY, "age"), (30 * DAY, "age")])
def test_f34_an_alert_that_comes_a_day_late_is_recorded_and_not_acted_on(late: float, refused: str) -> None:
    incident = an_incident(source="alertmanager", starts_at=NOW - 60 - late)
    sight = a_sight(stage="proposed", execution=an_execution(incident=incident))
    assert why(sight) == refused


def test_f34_an_alert_that_was_resolved_before_it_came_is_not_acted_on() -> None:
    assert why(a_sight(stage="proposed", symptom_firing=False)) == "second_source"
    assert why(a_sight(stage="claimed", symptom_firing=False)) == "second_source"


def test_f35_one_incident_on_200_targets_is_one_cause_and_none_is_acted_on() -> None:
    everywhere = [f"t{number}" for number in range(200)]
    assert why(a_sight(stage="proposed", targets_total=200, affected_targets=everywhere)) == "blast_radius"
    assert why(a_sight(stage="proposed", targets_total=200, affected_targets=everywhere[:39])) == ""


def test_f35_a_flood_of_plans_does_one_thing_per_cluster_and_two_in_all() -> None:
    running: list[Past] = []
    for number in range(100):
        target = a_target(name=f"t{number}", cluster=f"c{number % 10}")
        plan = a_plan(
            target=target.name,
            targets=(target.name,),
            scope=dataclasses.replace(a_plan().scope, cluster=target.cluster),
        )
        sight = a_sight(plan, target=target, targets_total=1000, past=running)
        sight = dataclasses.replace(sight, execution=dataclasses.replace(sight.execution, id=f"e{number}"))
        if not why(sight):
            running = [*running, done(sight.execution, NOW, State.RUNNING)]
        else:
            assert why(sight) == "busy"
    assert [past.cluster for past in running] == ["c0", "c1"]


def test_f35_after_three_failures_the_action_is_off_on_every_target() -> None:
    failed = [
        a_past(f"p{number}", action="postgresql.vacuum", state=State.FAILED_CLEAN, ended=NOW - 5 * HOUR)
        for number in range(3)
    ]
    assert why(a_sight(past=failed[:2])) == ""
    assert why(a_sight(past=failed)) == "circuit_breaker"
    assert why(a_sight(past=failed, breaker_acknowledged_at={"postgresql.vacuum": NOW - HOUR})) == ""


def every_five_minutes(cool_down: CoolDown, state: State) -> tuple[list[float], set[str]]:
    """Return when a rule that fires every 5 minutes for 24 h was acted on, and what refused it else."""
    past: list[Past] = []
    begun, refused = [], set()
    for tick in range(288):
        now = NOW + tick * 5 * MINUTE
        execution = an_execution(id=f"e{tick}", created=now)
        sight = a_sight(now=now, execution=execution, policy=a_policy(cool_down=cool_down), past=past)
        guard = why(sight)
        if guard:
            refused.add(guard)
        else:
            begun.append(now - NOW)
            past = [*past, done(execution, now, state)]
    return begun, refused


def test_f36_a_rule_that_fires_all_day_is_acted_on_three_times_and_then_a_person_is_asked() -> None:
    begun, refused = every_five_minutes(CoolDown(), State.SUCCEEDED)
    assert begun == [0.0, 35 * MINUTE, 70 * MINUTE]
    assert refused == {"cool_down", "budget", "not_helping"}


def test_f36_without_any_rest_the_budget_of_the_hour_and_of_the_incident_hold() -> None:
    begun, refused = every_five_minutes(CoolDown(after_success=0.0), State.SUCCEEDED)
    assert begun == [0.0, 5 * MINUTE, 60 * MINUTE]
    assert refused == {"budget", "not_helping"}


def test_f36_failures_rest_for_longer_each_time_until_the_breaker_opens() -> None:
    begun, refused = every_five_minutes(CoolDown(), State.FAILED_CLEAN)
    assert begun == [0.0, 125 * MINUTE, 370 * MINUTE]
    assert refused == {"cool_down", "not_helping"}


@pytest.mark.parametrize(
    ("minutes_left", "duration", "refused"),
    [(60, 1800.0, ""), (60, 1801.0, "window"), (10, 300.0, ""), (9, 300.0, "window"), (0, 1.0, "window")],
)
def test_f38_what_would_not_be_over_when_the_window_closes_is_not_begun(
    minutes_left: int, duration: float, refused: str
) -> None:
    window = Window(begin_minute=0, end_minute=12 * 60 + minutes_left)
    plan = a_plan(prediction=Prediction(duration_seconds=duration))
    for stage in ("claimed", "session"):
        assert why(a_sight(plan, stage=stage, policy=a_policy(windows=(window,)))) == refused


def test_f38_a_window_that_a_change_of_the_clocks_shortens_is_as_short_as_it_is() -> None:
    # 01:00 to 04:00 in Berlin is two hours long on 2026-03-29.
    window = Window(begin_minute=60, end_minute=240, zone="Europe/Berlin")
    now = dt.datetime(2026, 3, 29, 1, 0, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()

    def lasting(seconds: float) -> str:
        plan = a_plan(prediction=Prediction(duration_seconds=seconds))
        execution = an_execution(plan, created=now, incident=an_incident(starts_at=now))
        return why(a_sight(plan, now=now, execution=execution, policy=a_policy(windows=(window,))))

    assert lasting(3600.0) == ""
    assert lasting(3601.0) == "window"


def needing(count: int) -> Plan:
    return a_plan(action_class=ActionClass.D if count == 2 else ActionClass.C)


def asked(plan: Plan, proposer: str, *approvers: str) -> Sight:
    execution = an_execution(plan, policy="", mode=Mode.APPROVE, proposer=proposer)
    given = [an_approval(who, plan) for who in approvers]
    return a_sight(plan, execution=execution, policy=None, approvals=given, target=a_target())


@pytest.mark.parametrize(
    ("needed", "proposer", "approvers", "refused"),
    [
        (1, "anna", (), "approval"),
        (1, "anna", ("anna",), "approval"),
        (1, "anna", ("anna", "anna"), "approval"),
        (1, "anna", ("ben",), ""),
        (2, "anna", ("ben",), "approval"),
        (2, "anna", ("ben", "ben"), "approval"),
        (2, "anna", ("ben", "anna"), "approval"),
        (2, "anna", ("ben", "carl"), ""),
    ],
)
def test_f40_nobody_approves_twice_or_what_they_proposed(
    needed: int, proposer: str, approvers: tuple[str, ...], refused: str
) -> None:
    assert why(asked(needing(needed), proposer, *approvers)) == refused


@pytest.mark.parametrize(
    "seen",
    [
        Identity(system="9999", timeline=3, role="primary", database="shop", database_id=16384),
        Identity(),
        None,
    ],
)
def test_f50_another_server_behind_the_same_name_is_refused(seen: Identity | None) -> None:
    for kind in ActionClass:
        plan = a_plan(action_class=kind)
        sight = a_sight(plan, policy=a_policy(targets=("shop1",)))
        assert why(sight) == ""
        assert why(dataclasses.replace(sight, identity=seen)) == "identity"


@pytest.mark.parametrize(
    "changed", [{"role": "replica"}, {"timeline": 4}, {"role": "replica", "timeline": 4}]
)
def test_f53_a_primary_that_changed_between_plan_and_act_is_refused(changed: dict[str, Any]) -> None:
    seen = dataclasses.replace(a_plan().identity, **changed)
    assert why(a_sight(identity=seen, fresh=a_plan(identity=seen))) == "identity"


def test_f53_it_is_refused_as_soon_as_watching_shows_it() -> None:
    now_replica = a_replica("shop1")
    others = (now_replica, a_target(name="shop2"))
    sight = a_sight(stage="claimed", target=now_replica, cluster_targets=others, identity=None)
    assert why(sight) == "identity"


@pytest.mark.parametrize(
    ("targets", "refused"),
    [((), "set_sanity"), (("shop1",), ""), (("shop1", "b"), "set_sanity"), (tuple("abcdef"), "set_sanity")],
)
def test_f56_no_target_and_too_many_targets_are_refused(targets: tuple[str, ...], refused: str) -> None:
    assert why(a_sight(a_plan(targets=targets), targets_total=1000)) == refused


def test_f56_no_policy_allows_more_than_five() -> None:
    most = a_policy(targets_max=1000)
    assert why(a_sight(a_plan(targets=("shop1", *"abcd")), policy=most, targets_total=100)) == ""
    assert why(a_sight(a_plan(targets=("shop1", *"abcde")), policy=most, targets_total=100)) == "set_sanity"


def test_f13_a_lag_that_grew_since_it_was_asked_for_is_seen_at_the_last_moment() -> None:
    plan = a_plan(
        action_class=ActionClass.D,
        target="shop2",
        targets=("shop2",),
        identity=Identity(system="7301", role="replica"),
        prediction=Prediction(duration_seconds=10.0),
    )

    def at(lag: float | None, stage: str) -> str:
        replica = a_replica(lag_seconds=lag)
        members = (a_target(), replica, a_replica("shop3"))
        policy = a_policy(targets=("shop2",))
        return why(a_sight(plan, stage=stage, target=replica, cluster_targets=members, policy=policy))

    assert at(1.0, "claimed") == ""
    assert at(1.0, "session") == ""
    assert at(61.0, "session") == "headroom"
    assert at(None, "session") == "headroom"
