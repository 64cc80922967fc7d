"""Alerts over time: pending, firing, resolved; over restarts; and of what nobody could look at."""

from __future__ import annotations

import json

import pytest

from rules.errors import EvalError
from rules.labels import Labels, labels_of
from rules.model import AlertState
from rules.state import AlertingState, Remembered, Seen

MINUTE = 60_000
A = labels_of({"alertname": "A", "target": "db1"})
B = labels_of({"alertname": "A", "target": "db2"})


def seen(*labels: Labels, value: float = 1.0) -> list[Seen]:
    return [Seen(each, {"summary": f"at {value}"}, value) for each in labels]


def states(state: AlertingState) -> dict[str, str]:
    return {labels.get("target"): alert.state.value for labels, alert in state.active.items()}


def test_an_alert_is_pending_then_fires_then_is_resolved_and_forgotten() -> None:
    state = AlertingState(for_ms=2 * MINUTE)
    for minute, expected in ((0, "pending"), (1, "pending"), (2, "firing"), (3, "firing")):
        assert len(state.update(seen(A, value=minute), minute * MINUTE)) == 1
        assert states(state) == {"db1": expected}
    alert = state.active[A]
    assert (alert.active_at_ms, alert.fired_at_ms, alert.value) == (0, 2 * MINUTE, 3)
    assert alert.annotations == {"summary": "at 3"}
    for minute in (4, 10, 19):
        assert state.update([], minute * MINUTE) == []
        assert states(state) == {"db1": "inactive"}
        assert state.active[A].resolved_at_ms == 4 * MINUTE
    state.update([], 20 * MINUTE)
    assert states(state) == {}


def test_a_pending_alert_that_is_over_is_not_resolved_but_gone() -> None:
    state = AlertingState(for_ms=2 * MINUTE)
    state.update(seen(A), 0)
    state.update([], MINUTE)
    assert states(state) == {}


def test_an_alert_that_comes_back_is_a_new_one() -> None:
    state = AlertingState()
    state.update(seen(A), 0)
    state.update([], MINUTE)
    state.update(seen(A), 2 * MINUTE)
    alert = state.active[A]
    assert (alert.state, alert.active_at_ms, alert.resolved_at_ms) == (AlertState.FIRING, 2 * MINUTE, None)


def test_two_elements_with_the_labels_of_one_alert_change_nothing() -> None:
    state = AlertingState()
    state.update(seen(A), 0)
    with pytest.raises(EvalError, match="same labelset after applying alert labels"):
        state.update(seen(B, B), MINUTE)
    assert states(state) == {"db1": "firing"}


def test_more_alerts_than_the_limit_drop_all() -> None:
    state = AlertingState()
    state.update(seen(A), 0, limit=1)
    with pytest.raises(EvalError, match="exceeded limit of 1 with 2 alerts"):
        state.update(seen(A, B), MINUTE, limit=1)
    assert states(state) == {}


def test_what_nobody_could_look_at_is_kept_as_it_was() -> None:
    state = AlertingState(for_ms=3 * MINUTE)
    state.update(seen(A), 0)
    state.update(seen(A, B), 2 * MINUTE)
    state.update(seen(A, B), 3 * MINUTE)
    assert states(state) == {"db1": "firing", "db2": "pending"}
    for minute in range(4, 90):
        alive = state.update([], minute * MINUTE, unobserved=lambda _: True)
        assert len(alive) == 2
    assert states(state) == {"db1": "firing", "db2": "pending"}
    assert state.active[A].held_since_ms == 4 * MINUTE
    state.update([], 90 * MINUTE, unobserved=lambda labels: labels.get("target") == "db2")
    assert states(state) == {"db1": "inactive", "db2": "pending"}
    state.update(seen(B), 91 * MINUTE)
    assert states(state)["db2"] == "firing"
    assert state.active[B].held_since_ms is None


def test_what_was_resolved_is_forgotten_although_nobody_can_look_at_it() -> None:
    state = AlertingState()
    state.update(seen(A), 0)
    state.update([], MINUTE)
    state.update([], 30 * MINUTE, unobserved=lambda _: True)
    assert states(state) == {}


def test_time_that_nobody_could_look_does_not_begin_keep_firing_for() -> None:
    state = AlertingState(keep_firing_for_ms=5 * MINUTE)
    state.update(seen(A), 0)
    state.update([], 10 * MINUTE, unobserved=lambda _: True)
    assert state.active[A].keep_firing_since_ms is None
    state.update([], 20 * MINUTE)
    state.update([], 24 * MINUTE)
    assert states(state) == {"db1": "firing"}
    state.update([], 25 * MINUTE)
    assert states(state) == {"db1": "inactive"}


HOUR = 60 * MINUTE
NOW = 1_000 * HOUR


@pytest.mark.parametrize(
    ("waits", "active_before", "last_before", "since"),
    [
        # It was firing: it fires again at the next look.
        (30, 60, 5, NOW - 60 * MINUTE),
        # 20 of 30 minutes were over when the daemon went, 5 ago: less is left than the grace period at first,
        (30, 25, 5, NOW - 20 * MINUTE),
        # and more is left: the outage does not count.
        (60, 25, 5, NOW - 20 * MINUTE),
        (60, 58, 5, NOW - 50 * MINUTE),
        # Too long ago, and a rule that waits less than the grace period.
        (30, 90, 61, NOW),
        (9, 60, 5, NOW),
    ],
)
def test_after_a_restart_for_goes_on(waits: int, active_before: int, last_before: int, since: int) -> None:
    state = AlertingState(for_ms=waits * MINUTE)
    state.update(seen(A, B), NOW)
    last = Remembered(NOW - active_before * MINUTE, NOW - last_before * MINUTE)
    state.restore({A: last}, NOW)
    assert state.active[A].active_at_ms == since
    assert state.active[B].active_at_ms == NOW


def test_an_alert_waits_at_least_the_grace_period_after_a_restart() -> None:
    state = AlertingState(for_ms=30 * MINUTE)
    state.update(seen(A), NOW)
    state.restore({A: Remembered(NOW - 32 * MINUTE, NOW - 5 * MINUTE)}, NOW)  # 3 minutes were left
    state.update(seen(A), NOW + 9 * MINUTE)
    assert states(state) == {"db1": "pending"}
    state.update(seen(A), NOW + 10 * MINUTE)
    assert states(state) == {"db1": "firing"}


def test_the_state_survives_a_store() -> None:
    state = AlertingState(for_ms=MINUTE, keep_firing_for_ms=MINUTE)
    state.update(seen(A, value=float("nan")), 0)
    state.update(seen(A, value=float("inf")), MINUTE)
    state.update(seen(B), 2 * MINUTE)
    stored = json.loads(json.dumps(state.export(), allow_nan=False))
    other = AlertingState(for_ms=MINUTE, keep_firing_for_ms=MINUTE)
    other.take(stored)
    assert other.active == state.active
    assert states(other) == {"db1": "firing", "db2": "pending"}


@pytest.mark.parametrize("wrong", [[{}], ["a"], [{"labels": 5}], [None]])
def test_a_state_that_is_none_is_refused(wrong: list[object]) -> None:
    state = AlertingState()
    state.update(seen(A), 0)
    with pytest.raises(ValueError, match="not the state"):
        state.take(wrong)  # type: ignore[arg-type]
    assert states(state) == {"db1": "firing"}
