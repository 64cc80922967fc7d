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
    _sent_at: dict[tuple[str, str], dict[tuple[int, Labels], float]] = field(default_factory=dict)
    """By group, then by the rule's place and the alert's labels."""
    _seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each group was last looked at."""

    def tell(self, judged: Judged) -> None:
        """Look at new verdicts and offer what is due; never waits."""
        messages: list[Message] = []
        for key, verdict in judged.verdicts.items():
            if self._seen.get(key) != verdict.at:
                self._seen[key] = verdict.at
                messages.extend(self._due(key, verdict))
        for key in [key for key in self._seen if key not in judged.verdicts]:
            del self._seen[key]
            self._sent_at.pop(key, None)
        if messages:
            for sender in self.senders:
                sender.offer(messages)

    def _due(self, key: tuple[str, str], verdict: Verdict) -> Iterator[Message]:
        valid_until = verdict.at + VALID_FACTOR * max(verdict.interval_seconds, self.resend_seconds)
        before, after = self._sent_at.get(key, {}), {}
        for place, result in enumerate(verdict.result.rules):
            for alert in result.alerts:
                which = (place, alert.labels)
                sent_at = before.get(which, float("-inf"))
                if self._needs_sending(alert, sent_at, verdict.at):
                    sent_at = verdict.at
                    yield message_of(
                        alert,
                        valid_until=valid_until,
                        external_labels=self.external_labels,
                        external_url=self.external_url,
                    )
                after[which] = sent_at
        # What is no longer known is forgotten with it.
        self._sent_at[key] = after

    def _needs_sending(self, alert: Alert, sent_at: float, now: float) -> bool:
        if alert.state is AlertState.PENDING or (
            alert.state is AlertState.INACTIVE and alert.fired_at_ms is None
        ):
            return False
        if alert.resolved_at_ms is not None and alert.resolved_at_ms / 1000 > sent_at:
            return True
        # A clock that was set back must not silence it for as long.
        return not sent_at <= now < sent_at + self.resend_seconds
