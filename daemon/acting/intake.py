"""From alerts and schedules, by policies, to proposed executions.

It works from the alerts that fire, not from messages about them: what was missed, repeated or put off is
simply still there at the next look.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from actions.guards.limits import ALERT_AGE_SECONDS
from actions.model import (
    WAITING,
    Execution,
    Incident,
    Json,
    Mode,
    Record,
    RecordKind,
    Refusal,
    State,
    as_json,
)
from actions.policies.decide import decide, effective
from actions.policies.parameters import resolve_parameters
from actions.policy import Policies, Policy
from actions.ports import Clock, Lease, Move, Store
from daemon.acting.answered import NO_PLAN_SECONDS, Answered
from daemon.acting.firing import ALERTMANAGER, Firing
from daemon.acting.planner import Planner
from daemon.acting.proposals import Proposals, Wish
from daemon.acting.shadow import cleared, cleared_at

log = structlog.get_logger()
SYNC_SECONDS = 5.0
NEWEST = 500
"""Executions whose state is looked at, the newest: of others the store knows what they answered."""
AT_ONCE = 4
HOUR = 3600.0
TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many plans may be made in an hour; an alert beyond waits for its turn while it fires."""

    per_hour: int = 120
    per_target_hour: int = 12


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What the configuration says, as it stands now."""

    policies: Policies
    cap: Callable[[str], Mode]
    """How far a target lets any policy go."""


@dataclass(slots=True)
class IntakeCounts:
    """For metrics."""

    put_off: int = 0
    """Looks at which an alert waited because the budget of plans was used up."""
    planned: int = 0
    unplanned: int = 0
    stale: int = 0


@dataclass(slots=True)
class _Budget:
    pace: Pace
    made: deque[tuple[float, str]] = field(default_factory=deque)

    def takes(self, target: str, now: float) -> bool:
        while self.made and (self.made[0][0] <= now - HOUR or self.made[0][0] > now):
            self.made.popleft()
        same = sum(1 for _, one in self.made if one == target)
        return len(self.made) < self.pace.per_hour and same < self.pace.per_target_hour


class Intake:
    """Looks each second at what fires and what is over."""

    def __init__(
        self,
        *,
        firing: Firing,
        planner: Planner,
        proposals: Proposals,
        store: Store,
        lease: Lease,
        clock: Clock,
        rulebook: Callable[[], Rulebook],
        pace: Pace = Pace(),
    ) -> None:
        self.counts = IntakeCounts()
        self.answered = Answered()
        self.scheduled: deque[Incident] = deque(maxlen=1000)
        """Moments of schedules that nobody has looked at yet."""
        self._firing = firing
        self._planner = planner
        self._proposals = proposals
        self._store = store
        self._lease = lease
        self._clock = clock
        self._rulebook = rulebook
        self._budget = _Budget(pace)
        self._epoch = 0
        self._synced_at = float("-inf")

    async def look(self) -> None:
        """Look once: cancel what is over, propose what is due; raise StoreUnavailable."""
        epoch = self._lease.held().epoch
        if not epoch:
            self._epoch = 0
            return
        if epoch != self._epoch:
            self.answered.load(await self._store.executions())
            self._epoch = epoch
        await self._see_to_those_that_wait()
        while batch := self._batch():
            async with asyncio.TaskGroup() as tasks:
                for incident in batch:
                    tasks.create_task(self._answer(incident))

    def _batch(self) -> list[Incident]:
        """Return a few incidents of different targets that are due and within the budget."""
        now = self._clock.now()
        chosen: dict[str, Incident] = {}
        for incident in (*self.scheduled, *self._firing.all()):
            target = incident.labels.get(TARGET, "")
            if len(chosen) >= AT_ONCE or not self._lease.held().epoch:
                break
            if target in chosen or not self.answered.due(incident, now):
                continue
            if not self._concerns(incident, target, now):
                continue
            if self._budget.takes(target, now):
                chosen[target] = incident
            else:
                self.counts.put_off += 1
                self.answered.put_off(incident, now + 60.0)
        self.scheduled = deque(
            (each for each in self.scheduled if self.answered.due(each, now)), self.scheduled.maxlen
        )
        return list(chosen.values())

    def _concerns(self, incident: Incident, target: str, now: float) -> bool:
        """Tell whether a policy is for it; what none is for is not looked at again soon."""
        if self._policy(incident, target)[0] is not None:
            return True
        self.answered.put_off(incident, now + 60.0)
        return False

    def _policy(self, incident: Incident, target: str) -> tuple[Policy | None, Mode]:
        book = self._rulebook()
        if incident.source == "schedule":
            named = next((each for each in book.policies.policies if each.name == incident.name), None)
            return named, effective(named, book.cap(target))[0] if named else Mode.OBSERVE
        decision = decide(book.policies, incident.labels, incident.source, target, book.cap(target))
        return decision.policy, decision.mode

    async def _answer(self, incident: Incident) -> None:
        now = self._clock.now()
        target = incident.labels.get(TARGET, "")
        policy, mode = self._policy(incident, target)
        # Whatever comes of it: not again at once.
        self.answered.put_off(incident, now + NO_PLAN_SECONDS)
        if policy is None:
            return
        if incident.source == ALERTMANAGER and now - incident.starts_at > ALERT_AGE_SECONDS:
            self.counts.stale += 1
            self.answered.put_off(incident, now + ALERT_AGE_SECONDS)
            await self._note(incident, policy, "too_old", "it began more than a day ago: nothing is done")
            return
        self._budget.made.append((now, target))
        await self._propose(incident, policy, mode, target)

    async def _propose(self, incident: Incident, policy: Policy, mode: Mode, target: str) -> None:
        action = self._planner.actions.get(policy.action)
        resolved = resolve_parameters(action.info, policy.parameters, incident.labels) if action else None
        if resolved is not None and resolved.problems:
            await self._no_plan(incident, policy, "parameters", "; ".join(resolved.problems))
            return
        values: Mapping[str, Json] = resolved.values if resolved else {}
        reason = (
            f"{incident.name} fires" if incident.source != "schedule" else f"the schedule of {policy.name}"
        )
        plan = await self._planner.plan(policy.action, target, values, reason=reason, labels=incident.labels)
        if isinstance(plan, Refusal):
            await self._no_plan(incident, policy, plan.guard, plan.reason)
            return
        if not self._lease.held().epoch:
            return
        wish = Wish(
            incident=incident,
            mode=mode,
            policy=policy.name,
            expires_seconds=policy.expires_seconds,
            round=self.answered.round(incident),
        )
        execution, new = await self._proposals.propose(plan, wish)
        self.answered.took(execution)
        if new:
            self.counts.planned += 1
            log.info(
                "plan.proposed", id=execution.id, action=plan.action, target=target, subject=plan.subject,
                state=execution.state.value, policy=policy.name, reason=execution.reason or None,
            )  # fmt: skip

    async def _no_plan(self, incident: Incident, policy: Policy, guard: str, reason: str) -> None:
        self.counts.unplanned += 1
        await self._note(incident, policy, "no_plan", reason, guard)

    async def _note(
        self, incident: Incident, policy: Policy, event: str, reason: str, guard: str = ""
    ) -> None:
        log.info("plan.none", alert=incident.name, policy=policy.name, why=event, guard=guard, reason=reason)
        body = {
            "event": event,
            "incident": as_json(incident),
            "policy": policy.name,
            "guard": guard,
            "reason": reason,
        }
        record = Record(kind=RecordKind.NOTE, body=body)
        await self._store.write(record, lease_epoch=self._lease.held().epoch)

    async def _see_to_those_that_wait(self) -> None:
        """Cancel what was not begun and is not needed any more; learn what became of the others."""
        gone = set(self._firing.resolved)
        self._firing.resolved.clear()
        self.answered.forget(gone)
        over = bool(gone)
        now = self._clock.monotonic()
        if not over and now - self._synced_at < SYNC_SECONDS:
            return
        self._synced_at = now
        for each in await self._store.executions(limit=NEWEST):
            if each.incident.key in gone:
                await self._cleared(each)
            else:
                self.answered.took(each)
        for each in await self._store.executions(WAITING):
            if self._firing.fires(each.incident) is False:
                await self._cancel(each.id, each.epoch)

    async def _cleared(self, execution: Execution) -> None:
        """Note of what was only recorded that the symptom went away by itself."""
        known = execution.state is not State.OBSERVED or cleared_at(await self._store.records(execution.id))
        if not known:
            record = cleared(execution, self._clock.now())
            await self._store.write(record, lease_epoch=self._lease.held().epoch)

    async def _cancel(self, key: str, epoch: int) -> None:
        reason = "the alert is resolved, and nothing had begun"
        record = Record(kind=RecordKind.MOVED, body={"to": State.CANCELLED.value, "reason": reason})
        await self._store.move(
            Move(
                execution=key,
                expected=WAITING,
                expected_epoch=epoch,
                to=State.CANCELLED,
                record=record,
                reason=reason,
                lease_epoch=self._lease.held().epoch,
            )
        )
        log.info("plan.cancelled", id=key, reason=reason)
