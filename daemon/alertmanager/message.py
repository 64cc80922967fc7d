"""One alert as Alertmanager's v2 API takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from daemon.moment import moment
from rules.labels import Labels, labels_of
from rules.model import ALERT_NAME, Alert, AlertState


@dataclass(frozen=True, slots=True)
class Message:
    """An alert at the moment it is sent; `labels` are what Alertmanager knows it by."""

    labels: Labels
    annotations: Mapping[str, str]
    starts_at: float
    """Unix time, seconds."""
    ends_at: float
    """When it was resolved; in the future while it fires: it is over then unless it is sent again."""
    generator_url: str
    resolved: bool

    def as_json(self) -> dict[str, Any]:
        """Return what goes over the wire."""
        return {
            "labels": self.labels.as_dict(),
            "annotations": dict(self.annotations),
            "startsAt": moment(self.starts_at),
            "endsAt": moment(self.ends_at),
            "generatorURL": self.generator_url,
        }


def message_of(
    alert: Alert, *, valid_until: float, external_labels: Mapping[str, str], external_url: str
) -> Message:
    """Make the message of an alert that fires or is resolved; external labels do not replace its own."""
    labels = labels_of({**external_labels, **alert.labels.as_dict()})
    resolved = alert.state is AlertState.INACTIVE
    ends = (alert.resolved_at_ms or 0) / 1000 if resolved else valid_until
    # An alert that ends before it starts is refused, and clocks are set back at times.
    starts = min((alert.fired_at_ms or alert.active_at_ms) / 1000, ends)
    url = _url(external_url, alert.labels.get(ALERT_NAME)) if external_url else ""
    return Message(labels, alert.annotations, starts, ends, url, resolved)


def _url(external_url: str, name: str) -> str:
    return f"{external_url.rstrip('/')}/api/v1/rules?type=alert&rule_name[]={quote(name, safe='')}"
