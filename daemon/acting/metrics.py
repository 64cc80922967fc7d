"""What acting says of itself on /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.registry import Collector

from collectors.model import Kind, MetricDef
from daemon.acting.tally import BUCKETS, Tally


def _of(name: str, kind: Kind, text: str, *labels: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"dbarchitect_{name}", kind=kind, help=text, labels=labels, unit=unit)


ACTIONS = _of(
    "actions_total",
    Kind.COUNTER,
    "Executions by action and outcome: the state in which they ended, or needs_human.",
    "action",
    "outcome",
)
DURATION = "action_duration_seconds"
DURATION_BUCKET = _of(
    f"{DURATION}_bucket", Kind.COUNTER, "Executions that took at most so long.", "action", "le"
)
DURATION_SUM = _of(
    f"{DURATION}_sum",
    Kind.COUNTER,
    "Time that executions took, verification included.",
    "action",
    unit="seconds",
)
DURATION_COUNT = _of(f"{DURATION}_count", Kind.COUNTER, "Executions that were begun and ended.", "action")
REFUSALS = _of(
    "guard_refusals_total", Kind.COUNTER, "Times that a guard refused, waiting plans asked anew.", "guard"
)
PENDING = _of("approvals_pending", Kind.GAUGE, "Plans that wait for approval.")
PENDING_AGE = _of(
    "approvals_pending_oldest_seconds", Kind.GAUGE, "Age of the oldest plan that waits.", unit="seconds"
)
HUMAN = _of("executions_needing_human", Kind.GAUGE, "Executions that a person must settle.")
HUMAN_AGE = _of(
    "executions_needing_human_oldest_seconds",
    Kind.GAUGE,
    "Time since the oldest of them needs a person.",
    unit="seconds",
)
RUNNING = _of("executions_running", Kind.GAUGE, "Executions under way, verification included.")
LEASE = _of("lease_held", Kind.GAUGE, "1 while this daemon is the one that may act, else 0.")
ENABLED = _of("actions_enabled", Kind.GAUGE, "0 while the kill switch is on or cannot be read, else 1.")
STOPPED = _of("actions_stop_flags", Kind.GAUGE, "Stop flags that are set.")
STORE = _of("acting_store_available", Kind.GAUGE, "0 while the journal cannot be read or written, else 1.")
DROPPED = _of(
    "acting_alerts_dropped_total", Kind.COUNTER, "Alerts not looked at because too many fire at once."
)
PUT_OFF = _of(
    "acting_alerts_put_off_total",
    Kind.COUNTER,
    "Looks at which an alert had to wait because enough plans were made within the hour.",
)
ACTING_METRICS = (
    ACTIONS,
    DURATION_BUCKET,
    DURATION_SUM,
    DURATION_COUNT,
    REFUSALS,
    PENDING,
    PENDING_AGE,
    HUMAN,
    HUMAN_AGE,
    RUNNING,
    LEASE,
    ENABLED,
    STOPPED,
    STORE,
    DROPPED,
    PUT_OFF,
)


@dataclass(slots=True)
class Standing:
    """How things stand; None: not known, and not shown."""

    enabled: bool = False
    leader: bool = False
    store: bool = False
    flags: int = 0
    pending: int | None = None
    pending_oldest_seconds: float = 0.0
    human: int | None = None
    human_oldest_seconds: float = 0.0
    running: int | None = None
    dropped: int = 0
    put_off: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class ActingMetrics(Collector):
    """Gives what `standing` returns at the moment of the scrape; None: acting is off, and nothing is said."""

    def __init__(self, standing: Callable[[], Standing | None]) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        """Give every family that has a sample."""
        now = self._standing()
        if now is None:
            return
        yield _family(ENABLED, ({}, now.enabled))
        yield _family(LEASE, ({}, now.leader))
        yield _family(STORE, ({}, now.store))
        yield _family(STOPPED, ({}, now.flags))
        yield _family(DROPPED, ({}, now.dropped))
        yield _family(PUT_OFF, ({}, now.put_off))
        if now.pending is not None:
            yield _family(PENDING, ({}, now.pending))
            yield _family(PENDING_AGE, ({}, now.pending_oldest_seconds))
        if now.human is not None:
            yield _family(HUMAN, ({}, now.human))
            yield _family(HUMAN_AGE, ({}, now.human_oldest_seconds))
        if now.running is not None:
            yield _family(RUNNING, ({}, now.running))
        yield _family(REFUSALS, *(({"guard": guard}, count) for guard, count in sorted(now.refusals.items())))
        yield from _tallied(now.tally)


def _tallied(tally: Tally) -> Iterator[Metric]:
    ended = sorted(tally.outcomes.items())
    yield _family(ACTIONS, *(({"action": one, "outcome": state}, count) for (one, state), count in ended))
    took = sorted(tally.durations.items())
    buckets = [
        ({"action": action, "le": f"{bound:g}"}, count)
        for action, each in took
        for bound, count in zip((*BUCKETS, float("inf")), (*accumulate(each.counts), each.total), strict=True)
    ]
    yield _family(DURATION_BUCKET, *((_le(labels), count) for labels, count in buckets))
    yield _family(DURATION_SUM, *(({"action": action}, each.seconds) for action, each in took))
    yield _family(DURATION_COUNT, *(({"action": action}, each.total) for action, each in took))


def _le(labels: dict[str, str]) -> dict[str, str]:
    return labels | {"le": "+Inf"} if labels["le"] == "inf" else labels


def _family(metric: MetricDef, *samples: tuple[dict[str, str], float]) -> Metric:
    kind = "counter" if metric.kind is Kind.COUNTER else "gauge"
    family = Metric(metric.name.removesuffix("_total"), metric.help, kind)
    for labels, value in samples:
        family.add_sample(metric.name, labels, float(value))
    return family
