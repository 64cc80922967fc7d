"""Alerts over time: through failures to look, restarts and reloads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.catalogue import CatalogueEntry
from collectors.model import Cost, Failure, Frame, Rejection, Target
from daemon.judge.bench import Bench, BenchOptions
from daemon.judge.feed import Reader
from rules.load import load
from rules.model import Alert, Group
from tests.unit.snapshot.making import Clock, answers, give, metric, probe, snapshot_of

N = metric("pg_n", "relname")
T0 = 1_800_000_000_000
RULES = """
groups:
  - name: g
    rules:
      - alert: TooMany
        expr: pg_n > 5
        for: 1m
        labels: {severity: warning}
      - record: job:n
        expr: sum by (target) (pg_n)
      - alert: TooManyInAll
        expr: job:n > 20
"""
CATALOGUE = (
    CatalogueEntry(metric=N, engine="postgresql", probe="p", source="", cost=Cost.LIGHT, every_seconds=0.0),
)


def groups(text: str = RULES) -> tuple[Group, ...]:
    return load({"rules.yaml": text})


class Court:
    """A snapshot of one target and a bench that judges it every 10 s."""

    def __init__(self, text: str = RULES) -> None:
        self.clock = Clock()
        self.snapshot = snapshot_of(Target(name="db1", engine="postgresql"), clock=self.clock)
        self.reader = Reader(self.snapshot, self.snapshot.engines)
        self.bench = self.new_bench(text)
        self.now = T0
        self.failure: Failure | None = None
        self.answer: dict[str, float] | None = {}
        answers(self.snapshot, at=T0 / 1000)

    @staticmethod
    def new_bench(text: str = RULES) -> Bench:
        return Bench(groups(text), BenchOptions(interval_seconds=10, catalogue=CATALOGUE))

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 10_000
            self.clock.now += 10
            if self.answer is not None:
                frame = Frame((N,), [(name,) for name in self.answer], [list(self.answer.values())])
                give(self.snapshot, frame, at=self.now / 1000, info=probe("p"))
            elif self.failure is not None:
                give(self.snapshot, failure=self.failure, at=self.now / 1000, info=probe("p"))
            notes = self.reader.look(self.now)
            verdicts = self.bench.judge(notes, list(self.bench.intervals()), trim=False)
            self.alerts: list[Alert] = [
                alert for verdict in verdicts for rule in verdict.result.rules for alert in rule.alerts
            ]

    def states(self) -> dict[str, str]:
        return {
            alert.labels.get("relname") or alert.labels.get("alertname"): alert.state.value
            for alert in self.alerts
        }


@pytest.fixture
def court() -> Court:
    return Court()


def saved(bench: Bench) -> Any:
    """What a store gives back of an export."""
    return json.loads(json.dumps(bench.export()))


def test_an_alert_is_pending_then_firing_then_over(court: Court) -> None:
    court.answer = {"a": 6, "b": 1}
    court.step()
    assert court.states() == {"a": "pending"}
    court.step(6)
    assert court.states() == {"a": "firing"}
    court.answer = {"a": 5, "b": 1}
    court.step()
    assert court.states() == {"a": "inactive"}


def test_a_target_that_stops_answering_resolves_nothing(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    court.answer = None
    answers(court.snapshot, up=False, at=court.now / 1000)
    court.step(30)
    assert court.states() == {"a": "firing"}
    [alert] = court.alerts
    assert alert.held_since_ms is not None
    answers(court.snapshot, at=court.now / 1000)
    court.answer = {"a": 1}
    court.step()
    assert court.states() == {"a": "inactive"}


def test_a_probe_that_fails_resolves_nothing_that_rests_on_it_also_through_a_record(court: Court) -> None:
    court.answer = {"a": 30}
    court.step(7)
    assert court.states() == {"a": "firing", "TooManyInAll": "firing"}
    court.answer, court.failure = None, Failure("denied", "permission denied")
    court.step(30)
    assert court.states() == {"a": "firing", "TooManyInAll": "firing"}


def test_a_lost_right_that_takes_the_probe_away_resolves_nothing(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    court.answer = None
    court.snapshot.keep_probes("db1", ())
    court.snapshot.reject("db1", [Rejection("p", "", "the role lacks pg_monitor")])
    court.step(30)
    assert court.states() == {"a": "firing"}


def test_a_probe_that_is_switched_off_ends_its_alerts(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    court.answer = None
    court.snapshot.keep_probes("db1", ())
    court.step()
    assert court.states() == {"a": "inactive"}


def test_after_a_restart_nothing_is_over_before_it_was_looked_at(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    exported = saved(court.bench)
    again = Court()
    again.now = court.now + 30_000
    again.bench.take(exported, court.now, again.now)
    again.answer = None
    again.snapshot.due("db1", "p", again.now / 1000 + 600)  # in the plan, and not run yet
    again.step(3)
    assert again.states() == {"a": "firing"}
    again.answer = {"a": 2}
    again.step()
    assert again.states() == {"a": "inactive"}


def test_the_time_away_does_not_count_for_what_is_pending(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(4)  # 30 s of a minute
    exported, saved_ms = saved(court.bench), court.now
    again = Court()
    again.now = saved_ms + 600_000
    again.bench.take(exported, saved_ms, again.now)
    again.answer = {"a": 6}
    again.step(2)
    assert again.states() == {"a": "pending"}
    again.step(2)
    assert again.states() == {"a": "firing"}


def test_after_a_day_away_what_was_pending_begins_anew(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(6)
    exported, saved_ms = saved(court.bench), court.now
    again = Court()
    again.now = saved_ms + 86_400_000
    again.bench.take(exported, saved_ms, again.now)
    again.answer = {"a": 6}
    again.step(6)
    assert again.states() == {"a": "pending"}


def test_a_reload_keeps_alerts_and_samples_of_rules_that_stay(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    fresh = Court.new_bench(RULES.replace("job:n > 20", "job:n > 5"))
    fresh.inherit(court.bench, court.now)
    court.bench = fresh
    court.step()
    assert court.states() == {"a": "firing", "TooManyInAll": "firing"}


def test_a_rule_that_is_gone_takes_its_alerts_with_it(court: Court) -> None:
    court.answer = {"a": 6}
    court.step(7)
    fresh = Court.new_bench("groups: [{name: other, rules: [{record: n, expr: pg_n}]}]\n")
    fresh.inherit(court.bench, court.now)
    court.bench = fresh
    court.step()
    assert court.alerts == []
    assert not any(labels.name == "ALERTS" for labels in _instants(court, "ALERTS"))


def _instants(court: Court, text: str) -> list[Any]:
    from rules.promql import Expression, Vector

    value = Expression(text).at(court.bench.window, court.now)
    assert isinstance(value, Vector)
    return [labels for labels, _ in value.items()]


def test_state_that_is_not_ours_is_refused(court: Court) -> None:
    with pytest.raises(ValueError, match="not the state"):
        court.bench.take([{"file": "rules.yaml"}], 0, T0)
