"""Asks all guards with facts of this moment: from watching, from the journal, from the acting session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from actions.action import Action
from actions.guards.sight import Sight, Stage
from actions.model import LIVE, Execution, GuardResult, Plan, RecordKind
from actions.policy import Policy
from actions.ports import ActingSession, Lease, Store, Switch
from daemon.acting.facts import Facts
from daemon.acting.firing import Firing
from daemon.acting.notes import Notes
from daemon.acting.steady import SteadyClock, Tilt

RUN_NOW = "run_now"
PAST_SECONDS = 8 * 86400.0
"""How far back earlier executions matter."""
Judge = Callable[[Sight], Sequence[GuardResult]]


class FactGuardian:
    """Builds a Sight, and has it judged."""

    def __init__(
        self,
        judge: Judge,
        *,
        clock: SteadyClock,
        store: Store,
        switch: Switch,
        lease: Lease,
        tilt: Tilt,
        facts: Facts,
        firing: Firing,
        notes: Notes,
        actions: Mapping[str, Action],
        policy: Callable[[str], Policy | None],
        nobody_acts: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._judge = judge
        self._clock = clock
        self._store = store
        self._switch = switch
        self._lease = lease
        self._tilt = tilt
        self._facts = facts
        self._firing = firing
        self._notes = notes
        self._actions = actions
        self._policy = policy
        self._nobody_acts = nobody_acts
        self._last: dict[str, Sequence[GuardResult]] = {}
        self.refusals: dict[str, int] = {}
        """By guard: how often it refused."""

    async def judge(
        self,
        execution: Execution,
        stage: str,
        session: ActingSession | None = None,
        fresh: Plan | None = None,
    ) -> Sequence[GuardResult]:
        """Return all results at a stage; raise StoreUnavailable, and what the session raises."""
        sight = await self.sight(execution, cast("Stage", stage), session, fresh)
        results = list(self._judge(sight))
        nobody = self._nobody_acts(execution.plan.target)
        if nobody and stage != "proposed":
            results.insert(0, GuardResult(guard="policy", allowed=False, reason=nobody))
        for result in results:
            if not result.allowed:
                self.refusals[result.guard] = self.refusals.get(result.guard, 0) + 1
        self._last[execution.id] = results
        return results

    def last(self, execution: str) -> Sequence[GuardResult]:
        """Return, once, what was last said of an execution."""
        return self._last.pop(execution, ())

    async def run_now_by(self, execution: Execution) -> str:
        """Return who asked to begin it without waiting for its window; empty when nobody did."""
        policy = self._policy(execution.policy) if execution.policy else None
        if policy is None or not policy.windows:
            return ""
        asked = [
            record.who
            for record in await self._store.records(execution.id)
            if record.kind is RecordKind.NOTE and record.body.get("event") == RUN_NOW
        ]
        return asked[-1] if asked else ""

    async def sight(
        self,
        execution: Execution,
        stage: Stage,
        session: ActingSession | None = None,
        fresh: Plan | None = None,
    ) -> Sight:
        """Return everything that guards look at."""
        plan = execution.plan
        past = await self._store.past(self._clock.now() - PAST_SECONDS)
        noted = await self._notes.read()
        approvals = await self._store.approvals(execution.id)
        checks: Sequence[GuardResult] = ()
        identity = None
        if session is not None:
            identity = await session.identity()
            checks = await self._actions[plan.action].check(plan, session)
        busy = {each.target for each in past if each.state in LIVE}
        held = self._lease.held()
        return Sight(
            stage=stage,
            now=self._clock.now(),
            execution=execution,
            policy=self._policy(execution.policy) if execution.policy else None,
            run_now_by=await self.run_now_by(execution) if stage != "proposed" else "",
            stopped=self._switch.stopped(plan.target, plan.action),
            leader_seconds=self._clock.monotonic() - held.leader_since if held.epoch else None,
            tilt_seconds=self._tilt.seconds(),
            target=self._facts.target(plan.target),
            cluster_targets=self._facts.cluster(plan.target),
            targets_total=self._facts.total,
            affected_targets=sorted(busy | self._firing.targets_of(execution.incident.name)),
            identity=identity,
            fresh=fresh,
            checks=checks,
            approvals=approvals,
            past=past,
            breaker_acknowledged_at=noted.acknowledged_at,
            banned_until=noted.banned_until,
            upstream=self._facts.upstream(plan.target),
            symptom_firing=self._firing.fires(execution.incident),
        )
