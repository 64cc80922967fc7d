"""What the judge says of itself on /metrics, and the alerts as Prometheus' own series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.registry import Collector

from collectors.model import Kind, MetricDef
from daemon.alertmanager.sender import Sender
from daemon.judge.judge import Judged
from rules.labels import Labels
from rules.model import ALERT_STATE, ALERTS, FOR_STATE, AlertState


def _of(name: str, kind: Kind, text: str, *labels: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"dbarchitect_{name}", kind=kind, help=text, labels=labels, unit=unit)


GROUP_SECONDS = _of(
    "rule_group_last_duration_seconds",
    Kind.GAUGE,
    "Duration of the group's last evaluation.",
    "rule_group",
    unit="seconds",
)
GROUP_AT = _of(
    "rule_group_last_evaluation_timestamp_seconds",
    Kind.GAUGE,
    "Unix time of the group's last evaluation.",
    "rule_group",
    unit="seconds",
)
GROUP_RULES = _of("rule_group_rules", Kind.GAUGE, "Rules in the group.", "rule_group")
GROUP_MISSED = _of(
    "rule_group_iterations_missed_total",
    Kind.COUNTER,
    "Evaluations of the group that were left out because others took too long.",
    "rule_group",
)
RULE_FAILING = _of(
    "rule_failing", Kind.GAUGE, "1 while the rule's last evaluation failed.", "rule_group", "rule"
)
ALERTS_COUNT = _of("alerts", Kind.GAUGE, "Alerts by state and severity.", "alertstate", "severity")
WINDOW_SAMPLES = _of(
    "window_samples_total", Kind.COUNTER, "Samples that were taken into the window of the rules."
)
WINDOW_BYTES = _of("window_bytes", Kind.GAUGE, "Memory that the samples in the window take.", unit="bytes")
SENT = _of(
    "alertmanager_alerts_sent_total", Kind.COUNTER, "Alerts that an Alertmanager took.", "alertmanager"
)
SEND_FAILED = _of(
    "alertmanager_requests_failed_total",
    Kind.COUNTER,
    "Requests to an Alertmanager that gave an error.",
    "alertmanager",
)
SEND_DROPPED = _of(
    "alertmanager_alerts_dropped_total",
    Kind.COUNTER,
    "Alerts given up: refused by the Alertmanager, or too many waited.",
    "alertmanager",
)
SEND_WAITING = _of("alertmanager_alerts_waiting", Kind.GAUGE, "Alerts that wait to be sent.", "alertmanager")
SAVE_FAILURES = _of(
    "alerts_save_failures_total",
    Kind.COUNTER,
    "Times that the state of alerts could not be written to its file.",
)
JUDGE_BROKEN = _of(
    "judge_failures_total", Kind.COUNTER, "Evaluations that a defect of the daemon's own broke off."
)
JUDGE_METRICS = (
    JUDGE_BROKEN,
    GROUP_SECONDS,
    GROUP_AT,
    GROUP_RULES,
    GROUP_MISSED,
    RULE_FAILING,
    ALERTS_COUNT,
    WINDOW_SAMPLES,
    WINDOW_BYTES,
    SENT,
    SEND_FAILED,
    SEND_DROPPED,
    SEND_WAITING,
    SAVE_FAILURES,
)


class JudgeMetrics(Collector):
    """Gives the newest verdicts as metrics."""

    def __init__(
        self,
        judged: Callable[[], Judged],
        missed: Callable[[], Mapping[tuple[str, str], int]],
        senders: Callable[[], Sequence[Sender]] = tuple,
        save_failures: Callable[[], int] = int,
    ) -> None:
        self._judged = judged
        self._missed = missed
        self._senders = senders
        self._save_failures = save_failures

    def collect(self) -> Iterator[Metric]:
        """Give every family that has a sample."""
        judged = self._judged()
        found = {metric.name: _family(metric) for metric in JUDGE_METRICS}
        counts: Counter[tuple[str, str]] = Counter()
        shown: set[tuple[Labels, AlertState]] = set()
        dated: set[Labels] = set()
        alerts, since = (_family(MetricDef(name=name, kind=Kind.GAUGE, help=text)) for name, text in _SERIES)
        for key, verdict in judged.verdicts.items():
            group = {"rule_group": ";".join(key)}
            _add(found, GROUP_SECONDS, group, verdict.result.seconds)
            _add(found, GROUP_AT, group, verdict.at)
            _add(found, GROUP_RULES, group, len(verdict.result.rules))
            # Rules may have one name, and even give the same alert: a series may be there only once.
            for name in dict.fromkeys(rule.rule.name for rule in verdict.result.failures):
                _add(found, RULE_FAILING, {**group, "rule": name}, 1)
            for alert in (alert for rule in verdict.result.rules for alert in rule.alerts):
                if alert.state is AlertState.INACTIVE:
                    continue
                labels = alert.labels.as_dict()
                counts[alert.state.value, labels.get("severity", "")] += 1
                if (alert.labels, alert.state) not in shown:
                    alerts.add_sample(ALERTS, {**labels, ALERT_STATE: alert.state.value}, 1)
                if alert.labels not in dated:
                    since.add_sample(FOR_STATE, labels, alert.active_at_ms // 1000)
                shown.add((alert.labels, alert.state))
                dated.add(alert.labels)
        for key, count in self._missed().items():
            _add(found, GROUP_MISSED, {"rule_group": ";".join(key)}, count)
        for (state, severity), count in counts.items():
            _add(found, ALERTS_COUNT, {"alertstate": state, "severity": severity}, count)
        for sender in self._senders():
            to = {"alertmanager": sender.peer.address}
            _add(found, SENT, to, sender.sent)
            _add(found, SEND_FAILED, to, sender.failed)
            _add(found, SEND_DROPPED, to, sender.dropped)
            _add(found, SEND_WAITING, to, sender.waiting)
        _add(found, SAVE_FAILURES, {}, self._save_failures())
        _add(found, JUDGE_BROKEN, {}, judged.broken)
        _add(found, WINDOW_SAMPLES, {}, judged.window_samples)
        _add(found, WINDOW_BYTES, {}, judged.window_bytes)
        yield from (family for family in (*found.values(), alerts, since) if family.samples)


_SERIES = (
    (ALERTS, "1 for each alert that is pending or firing."),
    (FOR_STATE, "Unix time since which the alert's condition has held."),
)


def _family(metric: MetricDef) -> Metric:
    kind = "counter" if metric.kind is Kind.COUNTER else "gauge"
    return Metric(metric.name.removesuffix("_total") if kind == "counter" else metric.name, metric.help, kind)


def _add(found: Mapping[str, Metric], metric: MetricDef, labels: dict[str, str], value: float) -> None:
    found[metric.name].add_sample(metric.name, labels, float(value))
