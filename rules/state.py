"""The alerts of one rule over time, exactly as Prometheus keeps them; and one rule of our own.

An alert whose target cannot be observed is not resolved: it stays as it was until somebody can look again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from rules.errors import EvalError
from rules.labels import Labels, labels_of
from rules.model import Alert, AlertState

RESOLVED_RETENTION_MS = 15 * 60 * 1000
"""How long an alert that is over is kept, so that everyone hears of it."""
OUTAGE_TOLERANCE_MS = 60 * 60 * 1000
"""How old the last word on an alert may be for its `for` to go on after a restart."""
GRACE_PERIOD_MS = 10 * 60 * 1000
"""How long an alert waits at least after a restart before it fires for the first time."""
Unobserved: TypeAlias = Callable[[Labels], bool]
"""Tells of an alert's labels whether what they name could not be observed this time."""
_TIMES = ("fired_at_ms", "resolved_at_ms", "keep_firing_since_ms", "held_since_ms")


@dataclass(frozen=True, slots=True)
class Seen:
    """An element of the expression's result, as the alert that it makes."""

    labels: Labels
    annotations: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last sample of an ALERTS_FOR_STATE series; Unix milliseconds."""

    active_at_ms: int
    """Its value: since when the alert was active."""
    at_ms: int
    """When the sample was taken."""


def never(_labels: Labels) -> bool:
    """Say that everything could be observed."""
    return False


@dataclass(slots=True)
class AlertingState:
    """The alerts of one rule, by their labels."""

    for_ms: int = 0
    keep_firing_for_ms: int = 0
    active: dict[Labels, Alert] = field(default_factory=dict)
    """Also those that were resolved a short while ago."""

    def update(
        self, seen: Iterable[Seen], at_ms: int, *, limit: int = 0, unobserved: Unobserved = never
    ) -> list[Alert]:
        """Take over what the expression gave at a time; return the alerts that are pending or firing.

        Raises EvalError when two elements make the same alert (nothing changes then), and when there are
        more than `limit` (all alerts are dropped then, as Prometheus does).
        """
        found: dict[Labels, Seen] = {}
        for each in seen:
            if each.labels in found:
                raise EvalError("vector contains metrics with the same labelset after applying alert labels")
            found[each.labels] = each
        for each in found.values():
            self._note(each, at_ms)
        alive = [
            alert
            for labels, alert in list(self.active.items())
            if self._goes_on(alert, at_ms, seen=labels in found, unobserved=unobserved)
        ]
        if 0 < limit < len(alive):
            self.active.clear()
            raise EvalError(f"exceeded limit of {limit} with {len(alive)} alerts")
        return alive

    def alerts(self) -> tuple[Alert, ...]:
        """Return copies of all alerts, also of those resolved a short while ago."""
        return tuple([replace(alert) for alert in self.active.values()])

    @property
    def state(self) -> AlertState:
        """Return the worst state among the alerts."""
        states = {alert.state for alert in self.active.values()}
        for worst in (AlertState.FIRING, AlertState.PENDING):
            if worst in states:
                return worst
        return AlertState.INACTIVE

    def restore(self, remembered: Mapping[Labels, Remembered], now_ms: int) -> None:
        """Let `for` go on where it was before a restart; call it once, after the first evaluation.

        `remembered` has the alerts' labels without a metric name. As in Prometheus: what is older than an
        hour is forgotten, an alert that was still pending goes on pending for at least ten minutes, the time
        of the outage does not count, and rules that wait less than these ten minutes begin anew.
        """
        if self.for_ms < GRACE_PERIOD_MS:
            return
        for labels, alert in self.active.items():
            last = remembered.get(labels)
            if last is not None and now_ms - last.at_ms <= OUTAGE_TOLERANCE_MS:
                alert.active_at_ms = self._restored(last, now_ms)

    def export(self) -> list[dict[str, Any]]:
        """Return all alerts as plain values, for a store."""
        return [_exported(alert) for alert in self.active.values()]

    def take(self, exported: Sequence[Mapping[str, Any]]) -> None:
        """Replace all alerts by what `export` gave; raise ValueError when it is something else."""
        try:
            alerts = [_imported(each) for each in exported]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the state of alerts: {error!r}") from None
        self.active = {alert.labels: alert for alert in alerts}

    def _note(self, seen: Seen, at_ms: int) -> None:
        alert = self.active.get(seen.labels)
        if alert is None or alert.state is AlertState.INACTIVE:
            self.active[seen.labels] = Alert(
                labels=seen.labels,
                annotations=seen.annotations,
                value=seen.value,
                active_at_ms=at_ms,
                last_seen_ms=at_ms,
            )
            return
        alert.value, alert.annotations, alert.last_seen_ms = seen.value, seen.annotations, at_ms
        alert.active_at_ms = min(alert.active_at_ms, at_ms)  # a clock that was set back
        alert.keep_firing_since_ms = alert.held_since_ms = None

    def _goes_on(self, alert: Alert, at_ms: int, *, seen: bool, unobserved: Unobserved) -> bool:
        """Move an alert on to this time; tell whether it is pending or firing."""
        if not seen:
            return self._outlives(alert, at_ms, unobserved)
        if alert.state is AlertState.PENDING and at_ms - alert.active_at_ms >= self.for_ms:
            alert.state, alert.fired_at_ms = AlertState.FIRING, at_ms
        return True

    def _outlives(self, alert: Alert, at_ms: int, unobserved: Unobserved) -> bool:
        """Decide about an alert whose condition was not seen this time."""
        if alert.state is AlertState.INACTIVE:
            if at_ms - (alert.resolved_at_ms or 0) > RESOLVED_RETENTION_MS:
                del self.active[alert.labels]
            return False
        if unobserved(alert.labels):
            if alert.held_since_ms is None:
                alert.held_since_ms = at_ms
            return True
        alert.held_since_ms = None
        if alert.state is AlertState.PENDING:
            del self.active[alert.labels]
            return False
        if self._keeps_firing(alert, at_ms):
            return True
        alert.state, alert.resolved_at_ms = AlertState.INACTIVE, at_ms
        return False

    def _keeps_firing(self, alert: Alert, at_ms: int) -> bool:
        if not self.keep_firing_for_ms:
            return False
        if alert.keep_firing_since_ms is None:
            alert.keep_firing_since_ms = at_ms
        return at_ms - alert.keep_firing_since_ms < self.keep_firing_for_ms

    def _restored(self, last: Remembered, now_ms: int) -> int:
        down_at_ms = last.at_ms // 1000 * 1000
        active_at_ms = last.active_at_ms // 1000 * 1000
        remaining_ms = self.for_ms - (down_at_ms - active_at_ms)
        if remaining_ms <= 0:  # it was firing
            return active_at_ms
        if remaining_ms < GRACE_PERIOD_MS:
            return now_ms + GRACE_PERIOD_MS - self.for_ms
        return active_at_ms + now_ms - down_at_ms


def _exported(alert: Alert) -> dict[str, Any]:
    return {
        "labels": alert.labels.as_dict(),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "value": repr(alert.value),  # JSON knows neither NaN nor infinity
        "active_at_ms": alert.active_at_ms,
        "last_seen_ms": alert.last_seen_ms,
        **{name: getattr(alert, name) for name in _TIMES},
    }


def _imported(exported: Mapping[str, Any]) -> Alert:
    return Alert(
        labels=labels_of(exported["labels"]),
        annotations=dict(exported["annotations"]),
        state=AlertState(exported["state"]),
        value=float(exported["value"]),
        active_at_ms=int(exported["active_at_ms"]),
        last_seen_ms=int(exported["last_seen_ms"]),
        **{name: _time(exported.get(name)) for name in _TIMES},
    )


def _time(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None
