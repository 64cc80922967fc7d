"""Names the moments of policies with a schedule, each once: also over restarts, and when clocks change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from actions.model import Incident
from actions.policies.cron import next_time
from actions.policies.decide import covers
from actions.policy import Policy
from actions.ports import Clock
from daemon.acting.facts import Facts

LATE_SECONDS = 300.0
"""A moment that was missed by less, by a restart or a clock set forward, still counts; others are skipped."""
SOURCE = "schedule"


class Timetable:
    """Hands over an incident for each target when the time of a policy has come."""

    def __init__(
        self,
        clock: Clock,
        facts: Facts,
        policies: Callable[[], Sequence[Policy]],
        engine_of: Callable[[str], str | None],
    ) -> None:
        """`engine_of` tells which engine's targets an action is for; None: there is no such action."""
        self._clock = clock
        self._facts = facts
        self._policies = policies
        self._engine_of = engine_of
        self._due: dict[str, tuple[Policy, float | None]] = {}

    def look(self, into: deque[Incident]) -> None:
        """Append what is due. The store's unique key keeps a moment from being proposed twice."""
        now = self._clock.now()
        before, self._due = self._due, {}
        for policy in self._policies():
            if policy.schedule is None:
                continue
            known, moment = before.get(policy.name, (None, None))
            if known != policy:
                moment = self._after(policy, now - LATE_SECONDS)
            while moment is not None and moment <= now:
                if now - moment <= LATE_SECONDS:
                    into.extend(self._incidents(policy, moment))
                moment = self._after(policy, max(moment, now - LATE_SECONDS))
            self._due[policy.name] = (policy, moment)

    def _after(self, policy: Policy, after: float) -> float | None:
        return next_time(policy.schedule, after + 1.0) if policy.schedule is not None else None

    def _incidents(self, policy: Policy, moment: float) -> Iterator[Incident]:
        engine = self._engine_of(policy.action)
        for name in self._facts.names():
            if covers(policy, name) and engine in ("", self._facts.engine(name)):
                yield Incident(
                    source=SOURCE,
                    name=policy.name,
                    labels={"target": name},
                    fingerprint=f"{policy.name}/{name}",
                    starts_at=moment,
                )
