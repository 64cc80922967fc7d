"""Turns plans into executions that the store keeps: one for each incident and round, whoever proposes it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from actions.guards.approval import approvals_needed
from actions.guards.judge import PASSING
from actions.model import (
    SYSTEM,
    Execution,
    GuardResult,
    Incident,
    Json,
    Mode,
    Plan,
    Record,
    RecordKind,
    State,
    as_json,
    canonical,
)
from actions.ports import Clock, Guardian, Store

BUCKET_SECONDS = 60.0
"""What began within the same minute is the same alert: each Alertmanager has its own clock."""
STATES = {
    Mode.OBSERVE: State.OBSERVED,
    Mode.ADVISE: State.PROPOSED,
    Mode.APPROVE: State.AWAITING_APPROVAL,
    Mode.AUTO: State.APPROVED,
}
EXPIRES_SECONDS = 86400.0
WAITS = PASSING | {"kill_switch", "approval", "circuit_breaker", "not_helping"}
"""Guards that do not keep a plan from being proposed: time passes, or a person sees to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Why a plan is proposed, and how far it may go."""

    incident: Incident
    mode: Mode
    policy: str = ""
    proposer: str = SYSTEM
    expires_seconds: float = EXPIRES_SECONDS
    round: int = 0
    """How many executions the incident has had since it began."""
    note: str = ""


class Proposals:
    """Writes executions."""

    def __init__(
        self, store: Store, guardian: Guardian, clock: Clock, nobody_acts: Callable[[str], str]
    ) -> None:
        self._store = store
        self._guardian = guardian
        self._clock = clock
        self._nobody_acts = nobody_acts

    async def propose(self, plan: Plan, wish: Wish) -> tuple[Execution, bool]:
        """Write an execution with what guards say of it; False: it was there. Raises StoreUnavailable.

        What a person wants and nobody else must agree to is approved by that.
        """
        now = self._clock.now()
        fresh = Execution(
            id=secrets.token_hex(8),
            dedup_key=dedup_key(plan, wish),
            plan=plan,
            plan_hash=plan.plan_hash,
            incident=wish.incident,
            policy=wish.policy,
            mode=wish.mode,
            proposer=wish.proposer,
            state=STATES[wish.mode],
            created=now,
            deadline=now + wish.expires_seconds,
            updated=now,
        )
        if not wish.policy and not approvals_needed(fresh, None):
            fresh = replace(fresh, state=State.APPROVED)
        if fresh.state in (State.APPROVED, State.AWAITING_APPROVAL) and (
            why := self._nobody_acts(plan.target)
        ):
            fresh = replace(fresh, state=State.PROPOSED, reason=why)
        results = await self._guardian.judge(fresh, "proposed")
        against = [each for each in results if not each.allowed and each.guard not in WAITS]
        if against and wish.mode is not Mode.OBSERVE:
            fresh = replace(fresh, state=State.REJECTED, reason=against[0].reason)
        return await self._store.propose(fresh, _record(fresh, wish, results))


def dedup_key(plan: Plan, wish: Wish) -> str:
    """Return what makes two proposals one: cluster, alert, subject, labels, its minute, the round."""
    incident = wish.incident
    parts: list[Json] = [
        plan.scope.cluster,
        incident.name,
        plan.action,
        plan.subject,
        incident.fingerprint,
        bucket(incident),
        wish.round,
    ]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def bucket(incident: Incident) -> int:
    """Return the minute in which an incident began."""
    return int(incident.starts_at // BUCKET_SECONDS)


def _record(execution: Execution, wish: Wish, results: Sequence[GuardResult]) -> Record:
    body: dict[str, Json] = {
        "state": execution.state.value,
        "action": execution.plan.action,
        "target": execution.plan.target,
        "plan_hash": execution.plan_hash,
        "mode": execution.mode.value,
        "policy": execution.policy,
        "incident": as_json(execution.incident),
        "round": wish.round,
        "stage": "proposed",
        "guards": [as_json(result) for result in results],
    }
    if wish.note:
        body["note"] = wish.note
    if execution.reason:
        body["reason"] = execution.reason
    return Record(kind=RecordKind.PROPOSED, body=body, execution=execution.id, who=wish.proposer)
