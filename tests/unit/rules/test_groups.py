"""Groups: rules in order over a window, what they write into it, and what one failing rule does to the others."""

from __future__ import annotations

import json
from itertools import count

import numpy as np

from rules.group import GroupRun, RunSettings
from rules.labels import labels_of
from rules.load import load
from rules.model import Group
from rules.promql import Expression, Vector
from rules.window import Window

MINUTE = 60_000


def group(rules: str, more: str = "") -> Group:
    (loaded,) = load({"a.yaml": f"groups:\n- name: g\n  {more}\n  rules:\n{rules}"})
    return loaded


def put(window: Window, at_ms: int, **values: float) -> None:
    series = [labels_of({"__name__": "up", "target": name}) for name in values]
    window.write("up", series, at_ms, list(values.values()))


def look(window: Window, expr: str, at_ms: int) -> dict[str, float]:
    found = Expression(expr).at(window, at_ms)
    assert isinstance(found, Vector)
    return {str(labels): value for labels, value in found.items()}


def test_a_rule_sees_what_the_rules_before_it_wrote() -> None:
    window = Window()
    run = GroupRun(
        group("  - {record: b, expr: up * 2}\n  - {record: c, expr: b + 1, labels: {x: y}}\n"), window, window
    )
    put(window, MINUTE, db1=1.0, db2=2.0)
    result = run.evaluate(MINUTE)
    assert [each.samples for each in result.rules] == [2, 2]
    assert look(window, "c", MINUTE) == {
        '{__name__="c", target="db1", x="y"}': 3,
        '{__name__="c", target="db2", x="y"}': 5,
    }


def test_a_recorded_series_that_is_no_longer_given_ends_at_once() -> None:
    window = Window()
    run = GroupRun(group("  - {record: b, expr: up > 0}\n"), window, window)
    put(window, MINUTE, db1=1.0, db2=2.0)
    run.evaluate(MINUTE)
    put(window, 2 * MINUTE, db1=0.0, db2=2.0)
    run.evaluate(2 * MINUTE)
    assert look(window, "b", 2 * MINUTE) == {'{__name__="b", target="db2"}': 2}
    put(window, 3 * MINUTE, db1=5.0, db2=2.0)
    run.evaluate(3 * MINUTE)
    assert len(look(window, "b", 3 * MINUTE)) == 2


def test_a_rule_that_fails_keeps_its_alerts_and_the_others_go_on() -> None:
    window = Window()
    rules = "  - {alert: A, expr: up + on () other}\n  - {alert: B, expr: up > 0}\n"
    run = GroupRun(group(rules), window, window)
    other = (labels_of({"__name__": "other"}),)
    put(window, MINUTE, db1=1.0)
    window.write("other", other, MINUTE, [1.0])
    assert run.evaluate(MINUTE).failures == ()
    put(window, 2 * MINUTE, db1=1.0, db2=1.0)
    window.write("other", other, 2 * MINUTE, [1.0])
    result = run.evaluate(2 * MINUTE)
    (failed,) = result.failures
    assert "multiple matches for labels" in failed.failure
    assert [alert.state.value for alert in failed.alerts] == ["firing"]
    assert len(result.rules[1].alerts) == 2


def test_a_defect_in_one_rule_does_not_stop_the_others() -> None:
    class Broken(Window):
        def instants(self, selector: object, at_ms: int, lookback_ms: int) -> Vector:
            if getattr(selector, "name", "") == "broken":
                raise IndexError("out of bounds")
            return super().instants(selector, at_ms, lookback_ms)  # type: ignore[arg-type]

    window = Broken()
    run = GroupRun(group("  - {alert: A, expr: broken}\n  - {record: b, expr: up}\n"), window, window)
    put(window, MINUTE, db1=1.0)
    result = run.evaluate(MINUTE)
    assert result.rules[0].failure == "internal error: IndexError: out of bounds"
    assert result.rules[1].samples == 1


def test_series_tell_of_alerts_and_end_with_them() -> None:
    window = Window()
    run = GroupRun(
        group("  - {alert: A, expr: up == 0, for: 1m, labels: {severity: page}}\n"), window, window
    )
    common = 'alertname="A"'
    for minute, state in ((1, "pending"), (2, "firing")):
        put(window, minute * MINUTE, db1=0.0)
        run.evaluate(minute * MINUTE)
        assert look(window, "ALERTS", minute * MINUTE) == {
            f'{{__name__="ALERTS", {common}, alertstate="{state}", severity="page", target="db1"}}': 1
        }
        assert look(window, "ALERTS_FOR_STATE", minute * MINUTE) == {
            f'{{__name__="ALERTS_FOR_STATE", {common}, severity="page", target="db1"}}': 60
        }
    put(window, 3 * MINUTE, db1=1.0)
    run.evaluate(3 * MINUTE)
    assert look(window, '{__name__=~"ALERTS.*"}', 3 * MINUTE) == {}


def test_templates_ask_know_where_they_are_and_say_when_they_fail() -> None:
    window = Window()
    rules = (
        "  - alert: A\n    expr: up == 0\n    labels: {site: '{{ $externalLabels.site }}'}\n    annotations:\n"
        "      asked: '{{ with query \"up + 5\" }}{{ . | first | value }}{{ end }}'\n"
        "      failed: '{{ query \"up +\" }}'\n"
        "      url: '{{ $externalURL }}'\n"
    )
    settings = RunSettings(external_url="http://here/")
    run = GroupRun(group(rules), window, window, {"site": "x"}, settings)
    put(window, MINUTE, db1=0.0)
    (alert,) = run.evaluate(MINUTE).rules[0].alerts
    assert alert.labels.get("site") == "x"
    assert alert.annotations["asked"] == "5"
    assert alert.annotations["url"] == "http://here/"
    assert alert.annotations["failed"].startswith("<error expanding template: ")


def test_what_a_target_that_is_not_observed_had_is_not_resolved() -> None:
    window = Window()
    gone: set[str] = set()
    settings = RunSettings(unobserved=lambda _rule, labels: labels.get("target") in gone)
    run = GroupRun(group("  - {alert: A, expr: up == 0}\n"), window, window, {}, settings)
    put(window, MINUTE, db1=0.0, db2=0.0)
    run.evaluate(MINUTE)
    window.end("up", 2 * MINUTE)
    gone.add("db1")
    alerts = run.evaluate(2 * MINUTE).rules[0].alerts
    assert {each.labels.get("target"): each.state.value for each in alerts} == {
        "db1": "firing",
        "db2": "inactive",
    }
    assert len(look(window, 'ALERTS{alertstate="firing"}', 2 * MINUTE)) == 1


def test_series_are_looked_at_and_written_with_the_groups_offset() -> None:
    window = Window()
    run = GroupRun(
        group("  - {record: b, expr: up}\n  - {alert: A, expr: up}\n", "query_offset: 1m"), window, window
    )
    put(window, MINUTE, db1=1.0)
    put(window, 2 * MINUTE, db1=2.0)
    result = run.evaluate(2 * MINUTE)
    assert look(window, "b", MINUTE) == {'{__name__="b", target="db1"}': 1}
    assert look(window, "timestamp(b)", MINUTE) == {'{target="db1"}': 60}
    assert result.rules[1].alerts[0].active_at_ms == 2 * MINUTE


def test_a_reload_keeps_alerts_of_rules_that_stay_and_ends_the_series_of_those_that_go() -> None:
    window = Window()
    old = GroupRun(
        group("  - {alert: A, expr: up}\n  - {alert: B, expr: up}\n  - {record: c, expr: up}\n"),
        window,
        window,
    )
    put(window, MINUTE, db1=1.0)
    old.evaluate(MINUTE)
    new = GroupRun(group("  - {record: d, expr: up}\n  - {alert: A, expr: up > 0}\n"), window, window)
    new.inherit(old, 2 * MINUTE)
    assert look(window, 'c or ALERTS{alertname="B"}', 2 * MINUTE) == {}
    put(window, 3 * MINUTE, db1=1.0)
    (alert,) = new.evaluate(3 * MINUTE).rules[1].alerts
    assert alert.active_at_ms == MINUTE
    new.end(4 * MINUTE)
    assert look(window, '{__name__=~"ALERTS.*|d"}', 4 * MINUTE) == {}


def test_two_rules_of_one_name_are_told_apart_over_a_store() -> None:
    rules = "  - {alert: A, expr: up > 1}\n  - {alert: A, expr: up > 2}\n  - {alert: A, expr: up, labels: {x: y}}\n"
    window = Window()
    run = GroupRun(group(rules), window, window)
    put(window, MINUTE, db1=2.0)
    run.evaluate(MINUTE)
    other = GroupRun(group(rules), window, window)
    other.take(json.loads(json.dumps(run.export())))
    assert [len(each.alerts) for each in other.evaluate(2 * MINUTE).rules] == [1, 0, 1]
    assert {alert.active_at_ms for alert in other.alerts()} == {MINUTE}


def test_a_quiet_rule_notices_the_first_alert_and_a_loud_one_the_last() -> None:
    window = Window()
    run = GroupRun(group("  - {alert: A, expr: up == 0}\n"), window, window)
    for minute, value, firing in ((1, 1.0, 0), (2, 1.0, 0), (3, 0.0, 1), (4, 1.0, 0), (5, 1.0, 0)):
        put(window, minute * MINUTE, db1=value)
        run.evaluate(minute * MINUTE)
        assert len(look(window, "ALERTS", minute * MINUTE)) == firing
    for minute in (18, 20, 22):
        put(window, minute * MINUTE, db1=1.0)
        run.evaluate(minute * MINUTE)
    assert run.alerts() == ()


def test_the_time_that_rules_take_is_told_by_the_clock_that_is_given() -> None:
    window = Window()
    run = GroupRun(group("  - {record: b, expr: up}\n  - {record: c, expr: up}\n"), window, window)
    result = run.evaluate(MINUTE, clock=map(float, count()).__next__)
    assert [each.seconds for each in result.rules] == [1, 1]
    assert result.seconds == 5
    assert run.evaluate(2 * MINUTE).seconds == 0


def test_values_that_are_no_numbers_are_recorded_as_what_they_are() -> None:
    window = Window()
    run = GroupRun(group("  - {record: b, expr: up / 0}\n"), window, window)
    put(window, MINUTE, db1=0.0, db2=1.0)
    run.evaluate(MINUTE)
    values = look(window, "b", MINUTE)
    assert np.isnan(values['{__name__="b", target="db1"}'])
    assert np.isinf(values['{__name__="b", target="db2"}'])


def test_texts_are_made_anew_when_the_value_changes_or_they_tell_of_other_things() -> None:
    window = Window()
    rules = (
        "  - alert: A\n    expr: up\n    labels: {level: '{{ $value }}'}\n    annotations: {a: '{{ $value }}'}\n"
        "  - alert: B\n    expr: up > bool 5\n    annotations: {a: '{{ query \"up\" | first | value }}'}\n"
        "  - alert: C\n    expr: up > bool 5\n    annotations: {a: '{{ if true }}{{ now }}{{ end }}'}\n"
    )
    run = GroupRun(group(rules), window, window)
    said = []
    for minute, value in ((1, 0.0), (2, 0.0), (3, -0.0), (4, 1.0)):
        put(window, minute * MINUTE, db1=value)
        result = run.evaluate(minute * MINUTE)
        said.append(
            [
                [alert.annotations["a"] for alert in rule.alerts if alert.state == "firing"]
                for rule in result.rules
            ]
        )
    assert [one for one, _, _ in said] == [["0"], ["0"], ["-0"], ["1"]]
    assert [one for _, one, _ in said] == [["0"], ["0"], ["-0"], ["1"]]
    assert len({one[0] for _, _, one in said}) == 4
