"""What holds of the guards whatever they look at."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actions.guards.judge import first_refusal, judge
from actions.guards.sight import Sight, TargetSight
from actions.model import ActionClass, Identity, Mode, Prediction, State, canonical
from actions.policy import Budget, CoolDown, Policy
from actions.window import DAYS, Window, closes_in, next_opening, open_now
from tests.fixtures.sights import (
    NOW,
    a_check,
    a_past,
    a_plan,
    a_policy,
    a_sight,
    a_target,
    an_approval,
    an_execution,
    an_incident,
)

number = st.sampled_from([0.0, 0.5, 1.0, 30.0, 59.0, 61.0, 3600.0, 1e9, -1.0, math.nan, math.inf])
maybe = st.none() | number
moment = number.map(lambda ago: NOW - ago)
name = st.sampled_from(["shop1", "shop2", "crm1", "crm2"])
role = st.sampled_from(["", "primary", "replica"])
identities = st.builds(
    Identity, system=st.sampled_from(["", "7301"]), timeline=st.sampled_from([0, 3]), role=role
)
targets = st.builds(
    TargetSight,
    name=name,
    cluster=st.sampled_from(["shop", "crm", ""]),
    engine=st.sampled_from(["postgresql", "host"]),
    up=st.sampled_from([True, True, False, None]),
    role=role,
    data_age_seconds=maybe,
    answers=st.integers(0, 5),
    distress=st.sampled_from(["", "load"]),
    lag_seconds=maybe,
    lag_applies=st.booleans(),
    free_bytes=maybe,
    size_bytes=maybe,
    connections_used_ratio=maybe,
) | st.just(a_target())
windows = st.builds(
    Window,
    begin_minute=st.integers(0, 1439),
    end_minute=st.integers(0, 1440),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Beirut", "Pacific/Auckland"]),
    days=st.lists(st.sampled_from(DAYS), unique=True).map(tuple),
)
policies = st.builds(
    Policy,
    name=st.just("vacuum"),
    action=st.just("postgresql.vacuum"),
    mode=st.sampled_from(Mode),
    place=st.just(a_policy().place),
    targets=st.sampled_from([(), ("shop1",), ("shop*",), ("crm*",)]),
    windows=st.lists(windows, max_size=2).map(tuple),
    urgent=st.booleans(),
    budget=st.builds(Budget, per_action_hour=st.integers(-1, 1000), global_hour=st.integers(0, 1000)),
    cool_down=st.builds(CoolDown, after_failure=st.sampled_from([0.0, 60.0, 1e7])),
    targets_max=st.integers(0, 9),
)
pasts = st.builds(
    a_past,
    st.sampled_from(["p1", "p2", "p3", "p4", "e1"]),
    action=st.sampled_from(["postgresql.vacuum", "postgresql.analyze"]),
    family=st.sampled_from([a_plan().family, "other"]),
    target=name,
    cluster=st.sampled_from(["shop", "crm"]),
    incident_key=st.sampled_from([an_incident().key, "other"]),
    state=st.sampled_from(State),
    started=moment,
    ended=moment,
)
checks = st.builds(
    a_check, st.sampled_from(["identity", "second_source", "precondition", "headroom", "else"]), st.booleans()
)


@st.composite
def sights(draw: Any) -> Sight:
    """Return any sight; each part is as likely what all guards allow."""
    plan = a_plan(
        action_class=draw(st.sampled_from(ActionClass)),
        identity=draw(st.just(a_plan().identity) | identities),
        targets=draw(st.just(("shop1",)) | st.lists(name, max_size=4).map(tuple)),
        prediction=Prediction(
            duration_seconds=draw(number), disk_bytes=draw(st.sampled_from([0, 10**6, 10**7, 10**12]))
        ),
    )
    whole = a_sight(
        plan,
        execution=an_execution(
            plan, created=draw(st.just(NOW - 1.0) | moment), mode=draw(st.sampled_from(Mode))
        ),
    )
    parts = {
        "stage": st.sampled_from(["proposed", "claimed", "session"]),
        "policy": policies,
        "stopped": st.sampled_from(["", "all"]),
        "leader_seconds": maybe,
        "tilt_seconds": maybe,
        "target": targets,
        "cluster_targets": st.lists(targets, max_size=3).map(tuple),
        "targets_total": st.integers(0, 50),
        "identity": identities,
        "fresh": st.just(a_plan(version=2)),
        "checks": st.lists(checks, max_size=3).map(tuple),
        "approvals": st.lists(
            st.builds(an_approval, st.sampled_from(["anna", "ben"]), st.just(plan)), max_size=2
        ),
        "past": st.lists(pasts, max_size=4),
        "banned_until": st.dictionaries(st.just(plan.family), moment),
        "breaker_acknowledged_at": st.dictionaries(st.just("postgresql.vacuum"), moment),
        "symptom_firing": st.sampled_from([True, False]),
        "upstream": st.lists(st.just("HostDown"), max_size=1),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(parts)), max_size=6))
    return dataclasses.replace(whole, **{each: draw(parts[each]) for each in sorted(chosen)})


def allows(sight: Sight) -> bool:
    return first_refusal(judge(sight)) is None


def without(sight: Sight) -> list[Sight]:
    """Return what is left when one thing is not known any more, for each thing that may be unknown."""
    nothing: dict[str, Any] = {
        "leader_seconds": None,
        "target": None,
        "cluster_targets": (),
        "targets_total": 0,
        "identity": None,
        "fresh": None,
        "approvals": (),
        "breaker_acknowledged_at": {},
        "symptom_firing": None,
    }
    gone: list[dict[str, Any]] = [{field: value} for field, value in nothing.items()]
    if sight.target is not None:
        unknown: dict[str, Any] = {
            "up": None,
            "data_age_seconds": None,
            "lag_seconds": None,
            "free_bytes": None,
            "size_bytes": None,
            "connections_used_ratio": None,
            "role": "",
            "answers": 0,
        }
        gone += [
            {"target": dataclasses.replace(sight.target, **{key: value})} for key, value in unknown.items()
        ]
        members = sight.cluster_targets
        gone += [
            {"cluster_targets": tuple(dataclasses.replace(each, **{key: value}) for each in members)}
            for key, value in unknown.items()
        ]
    return [dataclasses.replace(sight, **change) for change in gone]


@given(sights())
@settings(max_examples=150, deadline=None)
def test_knowing_less_never_allows_more(sight: Sight) -> None:
    if not allows(sight):
        for less in without(sight):
            assert not allows(less), less


@given(sights(), st.data())
@settings(max_examples=200, deadline=None)
def test_another_refusal_never_allows(sight: Sight, data: Any) -> None:
    refusal = data.draw(checks.map(lambda check: dataclasses.replace(check, allowed=False)))
    at = data.draw(st.integers(0, len(sight.checks)))
    more = dataclasses.replace(sight, checks=(*sight.checks[:at], refusal, *sight.checks[at:]))
    assert not allows(more)
    others: list[dict[str, Any]] = [{"stopped": "all"}, {"upstream": ("x",)}, {"maintenance": ("x",)}]
    for change in others:
        assert not allows(dataclasses.replace(sight, **change))


@given(sights(), st.lists(pasts, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_more_that_failed_or_is_under_way_never_allows(sight: Sight, more: list[Any]) -> None:
    worse = [dataclasses.replace(each, id=f"q{key}", state=State.RUNNING) for key, each in enumerate(more)]
    if not allows(sight):
        assert not allows(dataclasses.replace(sight, past=[*sight.past, *worse]))


@given(sights())
@settings(max_examples=200, deadline=None)
def test_what_a_later_stage_allows_the_earlier_ones_allow(sight: Sight) -> None:
    at = {stage: dataclasses.replace(sight, stage=stage) for stage in ("proposed", "claimed", "session")}
    if allows(at["session"]):
        assert allows(at["claimed"])
    if allows(at["claimed"]):
        assert allows(at["proposed"])


@given(sights())
@settings(max_examples=200, deadline=None)
def test_every_answer_fits_the_journal_and_nothing_raises(sight: Sight) -> None:
    results = judge(sight)
    for result in results:
        assert json.loads(canonical(dict(result.inputs))) == result.inputs
        assert "this guard failed" not in result.reason
    assert (first_refusal(results) is None) == all(result.allowed for result in results)


@given(st.lists(windows, min_size=1, max_size=3), st.integers(0, 3 * 366 * 1440))
@settings(max_examples=200, deadline=None)
def test_windows_are_consistent(some: list[Window], minutes: int) -> None:
    now = dt.datetime(2025, 1, 1, tzinfo=dt.UTC).timestamp() + minutes * 60
    left, begin = closes_in(some, now), next_opening(some, now)
    assert open_now(some, now) is (left > 0)
    if left == math.inf:
        assert begin == now
    elif left > 0:
        assert begin == now
        assert open_now(some, now + left - 1)
        assert not open_now(some, now + left)
    elif begin is not None:
        assert begin > now
        assert open_now(some, begin)
        assert not open_now(some, begin - 1)
        assert not open_now(some, (now + begin) / 2)
    else:
        assert not any(window.days for window in some)
