"""Which alerts fire right now, from our own rules and from Alertmanagers.

It is told whole states, not changes: what is repeated, late or out of order changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actions.model import Incident
from daemon.judge.judge import Judged
from daemon.received.notice import fingerprint_of
from daemon.received.store import Received
from rules.model import ALERT_NAME, AlertState

RULES = "rules"
ALERTMANAGER = "alertmanager"
ALERTS_MAX = 20_000
GroupKey = tuple[str, str]


@dataclass(slots=True)
class Firing:
    """The alerts that fire, by the key of their incident."""

    external_labels: Mapping[str, str] = field(default_factory=dict)
    """What our own alerts carry when they come back through an Alertmanager."""
    dropped: int = 0
    """Alerts that were not taken because too many fire."""
    resolved: deque[str] = field(default_factory=lambda: deque(maxlen=ALERTS_MAX))
    """Keys of incidents that are over and were not looked at yet."""
    _rules: dict[GroupKey, dict[str, Incident]] = field(default_factory=dict)
    _judged_at: dict[GroupKey, float] = field(default_factory=dict)
    _received: dict[str, Incident] = field(default_factory=dict)
    _heard: set[str] = field(default_factory=set)

    def judged(self, judged: Judged) -> None:
        """Take what our rules found; groups that were not evaluated again stay as they were."""
        for key, verdict in judged.verdicts.items():
            if self._judged_at.get(key) == verdict.at:
                continue
            self._judged_at[key] = verdict.at
            alerts = (alert for rule in verdict.result.rules for alert in rule.alerts)
            fire = [
                incident_of(RULES, alert.labels.as_dict(), (alert.fired_at_ms or alert.active_at_ms) / 1000)
                for alert in alerts
                if alert.state is AlertState.FIRING
            ]
            self._rules[key] = self._taken(self._rules.get(key, {}), fire)
        for key in [key for key in self._rules if key not in judged.verdicts]:
            self.resolved.extend(self._rules.pop(key))
            self._judged_at.pop(key, None)
        if judged.at:
            self._heard.add(RULES)

    def received(self, firing: Sequence[Received]) -> None:
        """Take what Alertmanagers have told, all of it."""
        fire = [
            incident_of(ALERTMANAGER, each.alert.labels, each.alert.starts_at)
            for each in firing
            if not self._is_our_own(each.alert.labels)
        ]
        self._received = self._taken(self._received, fire)
        self._heard.add(ALERTMANAGER)

    def heard(self, source: str) -> bool:
        """Tell whether a source has been heard since the start: before, silence says nothing."""
        return source in self._heard or source not in (RULES, ALERTMANAGER)

    def fires(self, incident: Incident) -> bool | None:
        """Tell whether an incident's alert fires; None when it has none, or its source was not heard yet."""
        if incident.source not in (RULES, ALERTMANAGER) or not self.heard(incident.source):
            return None
        return self.find(incident.key) is not None

    def find(self, key: str) -> Incident | None:
        """Return the incident of a key while its alert fires."""
        if found := self._received.get(key):
            return found
        return next((group[key] for group in self._rules.values() if key in group), None)

    def all(self) -> Iterator[Incident]:
        """Give every incident whose alert fires; our own rules' first."""
        for group in list(self._rules.values()):
            yield from list(group.values())
        yield from list(self._received.values())

    def targets_of(self, name: str) -> set[str]:
        """Return the targets on which an alert of this name fires."""
        return {each.labels.get("target", "") for each in self.all() if each.name == name} - {""}

    def __len__(self) -> int:
        return len(self._received) + sum(map(len, self._rules.values()))

    def _taken(self, before: Mapping[str, Incident], fire: Sequence[Incident]) -> dict[str, Incident]:
        room = ALERTS_MAX - len(self) + len(before)
        after = {each.key: each for each in fire[:room]}
        self.dropped += max(0, len(fire) - room)
        self.resolved.extend(key for key in before if key not in after)
        return after

    def _is_our_own(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a received alert is one of ours that an Alertmanager sent back."""
        own = {name: value for name, value in labels.items() if self.external_labels.get(name) != value}
        return any(self.find(incident_of(RULES, each, 0.0).key) is not None for each in (labels, own))


def incident_of(source: str, labels: Mapping[str, str], starts_at: float) -> Incident:
    """Return the incident of an alert."""
    return Incident(
        source=source,
        name=labels.get(ALERT_NAME, ""),
        labels=dict(labels),
        fingerprint=fingerprint_of(labels),
        starts_at=starts_at,
    )
