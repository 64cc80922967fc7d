"""Runs an alerting rule: makes alerts of the elements of its expression, and the series that tell of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from rules.labels import Labels
from rules.model import ALERT_NAME, ALERT_STATE, ALERTS, FOR_STATE, Alert, Rule
from rules.promql.values import Vector
from rules.recording import Sink
from rules.state import AlertingState, Seen, Unobserved
from rules.wording import Moment, is_lasting, worded


class Alerter:
    """Keeps the alerts of one rule."""

    def __init__(self, rule: Rule, key: Hashable) -> None:
        self.rule = rule
        self._states = _Series((key, ALERTS))
        self._since = _Series((key, FOR_STATE))
        self.state = AlertingState(rule.for_ms, rule.keep_firing_for_ms)
        self._last: dict[Labels, Seen] = {}
        """What each element made, the last time."""
        self._literal = not any(text.template for _, text in rule.labels)
        self._lasting = is_lasting((*rule.labels, *rule.annotations))
        self._quiet = False
        """There was no alert the last time, and nothing was left to be told of one."""

    def judge(
        self, vector: Vector, at_ms: int, limit: int, moment: Moment, unobserved: Unobserved, sink: Sink
    ) -> int:
        """Take over a result at the moment, and write ALERTS and ALERTS_FOR_STATE at `at_ms`.

        Returns how many series that were; raises EvalError.
        """
        if self._quiet and not vector.present.any():
            return 0
        self._last = {labels: self._seen(labels, value, moment) for labels, value in vector.items()}
        seen = self._last.values()
        alive = self.state.update(seen, moment.at_ms, limit=limit, unobserved=unobserved)
        self._states.write([_state_of(alert) for alert in alive], [1.0] * len(alive), at_ms, sink)
        since = [float(alert.active_at_ms // 1000) for alert in alive]
        self._since.write([(alert.labels, (("__name__", FOR_STATE),)) for alert in alive], since, at_ms, sink)
        self._quiet = not self.state.active
        return 2 * len(alive)

    def load(self, exported: Sequence[Mapping[str, Any]]) -> None:
        """Go on with the alerts that `AlertingState.export` gave; raise ValueError for anything else."""
        self.state.take(exported)
        self._quiet = False

    def take(self, active: dict[Labels, Alert]) -> None:
        """Go on with these alerts."""
        self.state.active = active
        self._quiet = False

    def end(self, at_ms: int, sink: Sink) -> None:
        """Say that the rule's series are over."""
        sink.end(self._states.key, at_ms)
        sink.end(self._since.key, at_ms)

    def _seen(self, labels: Labels, value: float, moment: Moment) -> Seen:
        """Return the alert that an element makes; what it was made of the last time is not made again."""
        rule, last = self.rule, self._last.get(labels)
        if last is not None and self._lasting and last.value.hex() == value.hex():
            return last
        if last is not None and self._literal:
            alert = last.labels
        else:
            more = {**worded(rule.labels, labels, value, moment), ALERT_NAME: rule.name}
            alert = labels.nameless().having(more)
        return Seen(alert, worded(rule.annotations, labels, value, moment), value)


_Pairs = tuple[tuple[str, str], ...]


def _state_of(alert: Alert) -> tuple[Labels, _Pairs]:
    return alert.labels, (("__name__", ALERTS), (ALERT_STATE, alert.state.value))


class _Series:
    """The series of one name that tell of the rule's alerts; their labels are built once."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self._built: dict[tuple[Labels, _Pairs], Labels] = {}
        self._last: Sequence[Labels] = ()

    def write(
        self, parts: Sequence[tuple[Labels, _Pairs]], values: Sequence[float], at_ms: int, sink: Sink
    ) -> None:
        if list(self._built) != parts:
            self._built = {each: self._built.get(each) or each[0].having(dict(each[1])) for each in parts}
            self._last = tuple(self._built.values())
        sink.write(self.key, self._last, at_ms, np.array(values, dtype=np.float64))
