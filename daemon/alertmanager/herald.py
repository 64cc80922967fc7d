"""Decides which alerts are to be sent and when, as Prometheus does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.alertmanager.message import Message, message_of
from daemon.alertmanager.sender import Sender
from daemon.judge.bench import Verdict
from daemon.judge.judge import Judged
from rules.labels import Labels
from rules.model import Alert, AlertState

VALID_FACTOR = 4
"""An alert that fires is over after so many intervals without another word, as in Prometheus."""


@dataclass(slots=True)
class Herald:
    """Hands messages to every sender."""

    senders: Sequence[Sender]
    resend_seconds: float = 60.0
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    _sent_at: dict[tuple[str, str, str, Labels], float] = field(default_factory=dict)
    """By group, rule and labels."""
    _seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each group was last looked at."""

    def tell(self, judged: Judged) -> None:
        """Look at new verdicts and offer what is due; never waits."""
        messages: list[Message] = []
        for verdict in judged.verdicts.values():
            if self._seen.get(verdict.key) != verdict.at:
                self._seen[verdict.key] = verdict.at
                messages.extend(self._due(verdict))
        self._forget(judged)
        if messages:
            for sender in self.senders:
                sender.offer(messages)

    def _due(self, verdict: Verdict) -> Iterator[Message]:
        valid_until = verdict.at + VALID_FACTOR * max(verdict.interval_seconds, self.resend_seconds)
        for result in verdict.result.rules:
            for alert in result.alerts:
                key = (*verdict.key, result.rule.name, alert.labels)
                if self._needs_sending(alert, self._sent_at.get(key, float("-inf")), verdict.at):
                    self._sent_at[key] = verdict.at
                    yield message_of(
                        alert,
                        result.rule.expr,
                        valid_until=valid_until,
                        external_labels=self.external_labels,
                        external_url=self.external_url,
                    )

    def _needs_sending(self, alert: Alert, sent_at: float, now: float) -> bool:
        if alert.state is AlertState.PENDING or (
            alert.state is AlertState.INACTIVE and alert.fired_at_ms is None
        ):
            return False
        if alert.resolved_at_ms is not None and alert.resolved_at_ms / 1000 > sent_at:
            return True
        return sent_at + self.resend_seconds <= now

    def _forget(self, judged: Judged) -> None:
        """Forget when alerts were sent that are no longer known."""
        known = {
            (*verdict.key, result.rule.name, alert.labels)
            for verdict in judged.verdicts.values()
            for result in verdict.result.rules
            for alert in result.alerts
        }
        for key in [key for key in self._sent_at if key not in known]:
            del self._sent_at[key]
        for group in [group for group in self._seen if group not in judged.verdicts]:
            del self._seen[group]
