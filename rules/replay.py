"""Evaluates rules over a time that is past, and tells what they would have said."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rules.group import GroupRun, RuleResult
from rules.labels import Labels
from rules.model import Alert, AlertState, Group


@dataclass(slots=True)
class Episode:
    """One alert from its beginning to its end; times are Unix milliseconds."""

    rule: str
    group: str
    file: str
    labels: Labels
    active_at_ms: int
    fired_at_ms: int | None
    """None: it never got past pending."""
    ended_at_ms: int | None
    """None: it held to the end of the time that was looked at."""
    value: float
    """The newest."""
    annotations: dict[str, str]


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    episodes: list[Episode] = field(default_factory=list)
    """In the order of their beginning."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """By group and rule, the last reason for which it could not be evaluated."""
    evaluations: int = 0


def replay(
    runs: Sequence[GroupRun],
    start_ms: int,
    end_ms: int,
    interval_ms: int,
    tell: Callable[[int], None] = lambda _at_ms: None,
) -> Replayed:
    """Evaluate each group at its interval from `start_ms` to `end_ms`, in the order of time.

    The runs' source has to hold everything that they look at. `tell` gets the time that has been reached.
    """
    found = _Found()
    due = [(start_ms, place) for place in range(len(runs))]
    heapq.heapify(due)
    while due:
        at_ms, place = heapq.heappop(due)
        if at_ms > end_ms:
            break
        run = runs[place]
        found.take(run.group, at_ms, run.evaluate(at_ms).rules)
        heapq.heappush(due, (at_ms + (run.group.interval_ms or interval_ms), place))
        tell(at_ms)
    return found.all()


class _Found:
    """Follows each alert from one evaluation to the next."""

    def __init__(self) -> None:
        self._done: list[Episode] = []
        self._open: dict[tuple[str, str, int, Labels], Episode] = {}
        self._replayed = Replayed()

    def take(self, group: Group, at_ms: int, results: Sequence[RuleResult]) -> None:
        self._replayed.evaluations += 1
        for place, result in enumerate(results):
            if result.failure:
                self._replayed.failures[group.name, result.rule.name] = result.failure
                continue
            alive = {alert.labels: alert for alert in result.alerts if alert.state is not AlertState.INACTIVE}
            for labels, alert in alive.items():
                self._note((*group.key, place, labels), group, result, alert)
            if result.rule.is_alert:
                self._end(group, place, alive, at_ms)

    def all(self) -> Replayed:
        """Return everything, what still holds among it."""
        episodes = [*self._done, *self._open.values()]
        self._replayed.episodes = sorted(episodes, key=lambda each: (each.active_at_ms, each.rule))
        return self._replayed

    def _note(
        self, key: tuple[str, str, int, Labels], group: Group, result: RuleResult, alert: Alert
    ) -> None:
        episode = self._open.get(key)
        if episode is None:
            episode = self._open[key] = Episode(
                rule=result.rule.name,
                group=group.name,
                file=group.file,
                labels=alert.labels,
                active_at_ms=alert.active_at_ms,
                fired_at_ms=None,
                ended_at_ms=None,
                value=alert.value,
                annotations={},
            )
        episode.fired_at_ms = alert.fired_at_ms
        episode.value, episode.annotations = alert.value, dict(alert.annotations)

    def _end(self, group: Group, place: int, alive: dict[Labels, Alert], at_ms: int) -> None:
        for key in [key for key in self._open if key[:3] == (*group.key, place) and key[3] not in alive]:
            episode = self._open.pop(key)
            episode.ended_at_ms = at_ms
            self._done.append(episode)
