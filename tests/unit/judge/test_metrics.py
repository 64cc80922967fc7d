"""What the judge shows on /metrics: declared, and each series once."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.alertmanager import Sender
from daemon.config.peer import PeerSettings
from daemon.judge.bench import Verdict
from daemon.judge.judge import Judged
from daemon.judge.metrics import JUDGE_METRICS, JudgeMetrics
from daemon.peer import Peer
from rules.group import GroupResult, RuleResult
from rules.labels import labels_of
from rules.load import load
from rules.model import Alert, AlertState

(GROUP,) = load({"r.yaml": "groups: [{name: g, rules: [{alert: A, expr: up}, {alert: A, expr: up > 1}]}]"})


def alert(state: AlertState, **labels: str) -> Alert:
    named = labels_of({"alertname": "A", "severity": "warning", **labels})
    return Alert(labels=named, state=state, value=1.0, active_at_ms=1_700_000_000_500, last_seen_ms=0)


def test_every_series_is_declared_and_there_once() -> None:
    alerts = (
        alert(AlertState.FIRING, name='q"\\\n'),
        alert(AlertState.PENDING),
        alert(AlertState.INACTIVE, name="over"),
    )
    results = tuple(
        RuleResult(rule=rule, seconds=0.1, failure="broken", alerts=alerts) for rule in GROUP.rules
    )
    whole = GroupResult(group=GROUP, at_ms=1000, seconds=0.5, rules=results)
    judged = Judged(1.0, {GROUP.key: Verdict(whole, 15.0, 1.0)}, 10, 20)
    sender = Sender(Peer(PeerSettings(url="http://am:9093")))
    registry = CollectorRegistry()
    registry.register(JudgeMetrics(lambda: judged, lambda: {GROUP.key: 3}, lambda: (sender,), lambda: 4))
    text = generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    series = Counter((sample.name, tuple(sorted(sample.labels.items()))) for sample in samples)
    assert series.most_common(1)[0][1] == 1
    declared = {metric.name: set(metric.labels) for metric in JUDGE_METRICS}
    ours = [sample for sample in samples if sample.name.startswith("dbarchitect_")]
    assert {sample.name for sample in ours} == set(declared)
    assert all(set(sample.labels) == declared[sample.name] for sample in ours)
    (not_saved,) = [one for one in ours if one.name == "dbarchitect_alerts_save_failures_total"]
    assert not_saved.value == 4
    values = {
        (sample.name, sample.labels.get("alertstate")): sample.value
        for sample in samples
        if sample.name in ("ALERTS", "dbarchitect_alerts", "ALERTS_FOR_STATE")
    }
    assert values == {
        ("ALERTS", "firing"): 1,
        ("ALERTS", "pending"): 1,
        ("ALERTS_FOR_STATE", None): 1_700_000_000,
        ("dbarchitect_alerts", "firing"): 2,
        ("dbarchitect_alerts", "pending"): 2,
    }
