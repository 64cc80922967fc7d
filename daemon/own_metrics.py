"""Every metric that the daemon gives about itself, whichever part of it speaks."""

from __future__ import annotations

from collectors.model import MetricDef
from daemon.acting.metrics import ACTING_METRICS
from daemon.judge.keepers import KEEPER_METRICS
from daemon.judge.metrics import JUDGE_METRICS
from daemon.received.desk import RECEIVED_METRICS
from daemon.selfmetrics import TARGET_METRICS, SelfMetrics


def own_metrics() -> list[MetricDef]:
    """Return what the daemon says of itself, of its process and of what it judges."""
    # One with a label comes once for each of its values.
    process = {metric.name: metric for metric, _ in SelfMetrics("").process_lines()}.values()
    return [*TARGET_METRICS, *process, *JUDGE_METRICS, *RECEIVED_METRICS, *KEEPER_METRICS, *ACTING_METRICS]
