"""What people decide about one plan: yes, no, now, undo, or what became of it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import cast, get_args

from actions.errors import NotDone
from actions.executor import Executor
from actions.model import WAITING, ActionClass, Execution, Json, Record, RecordKind, State
from actions.ports import Approval, Clock, Move, Store
from actions.run.by_hand import How
from daemon.acting.cases import Cases
from daemon.acting.guardian import RUN_NOW
from daemon.acting.office import OfficeRefused

APPROVAL_SECONDS = 900.0
"""How long a yes counts."""
ASKING = frozenset({State.PROPOSED, State.AWAITING_APPROVAL})


class Decisions:
    """Writes what people decide; every refusal is an OfficeRefused."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        cases: Cases,
        executor: Executor,
        nobody_acts: Callable[[str], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._cases = cases
        self._executor = executor
        self._nobody_acts = nobody_acts

    async def approve(self, key: str, plan_hash: str, who: str, confirm: str, note: str) -> Execution:
        """Take a yes, and let the plan begin once there are enough."""
        execution = await self._cases.execution(key)
        self._may_approve(execution, plan_hash, who, confirm)
        now = self._clock.now()
        yes = Approval(
            execution=execution.id,
            plan_hash=execution.plan_hash,
            who=who,
            at=now,
            expires_at=now + APPROVAL_SECONDS,
            note=note,
        )
        body: dict[str, Json] = {
            "plan_hash": yes.plan_hash,
            "expires_at": yes.expires_at,
            "note": note,
            "confirmed": confirm,
        }
        record = Record(kind=RecordKind.APPROVAL, body=body, execution=execution.id, who=who)
        if not await self._store.approve(yes, record):
            raise OfficeRefused(
                409, f"{who} has approved {execution.id} already", "another person must say yes too"
            )
        return await self._after_a_yes(execution, who)

    async def deny(self, key: str, who: str, note: str) -> Execution:
        """Take a no; what was approved and not begun is taken back."""
        execution = await self._cases.execution(key)
        if execution.state not in WAITING:
            hint = "stop it with `dbarchitect stop`" if execution.state not in ASKING else ""
            raise OfficeRefused(409, f"{execution.id} is {execution.state}: it waits for no decision", hint)
        reason = f"denied by {who}" + (f": {note}" if note else "")
        await self._move(execution, State.DENIED, reason, who, {"note": note})
        return await self._cases.execution(execution.id)

    async def run_now(self, key: str, who: str) -> Execution:
        """Let what is approved begin outside its window."""
        execution = await self._cases.execution(key)
        if execution.state is not State.APPROVED:
            hint = "approve it first" if execution.state in ASKING else ""
            raise OfficeRefused(409, f"{execution.id} is {execution.state}, not approved", hint)
        body = {"event": RUN_NOW}
        await self._store.write(Record(kind=RecordKind.NOTE, body=body, execution=execution.id, who=who))
        return execution

    async def undo(self, key: str, who: str, note: str) -> Execution:
        """Have taken back what succeeded."""
        execution = await self._cases.execution(key)
        try:
            await self._executor.undo(execution.id, who, note)
        except NotDone as error:
            raise OfficeRefused(409, str(error)) from None
        return await self._cases.execution(execution.id)

    async def settle(self, key: str, how: str, who: str, note: str) -> Execution:
        """Send on its way, or close, what needs a human."""
        if how not in get_args(How):
            raise OfficeRefused(400, f"{how[:50]!r} is none of {', '.join(get_args(How))}")
        if not note.strip():
            raise OfficeRefused(400, "a note is needed: why, and what was seen at the target")
        execution = await self._cases.execution(key)
        try:
            await self._executor.settle(execution.id, cast("How", how), who, note)
        except NotDone as error:
            raise OfficeRefused(409, str(error)) from None
        return await self._cases.execution(execution.id)

    def _may_approve(self, execution: Execution, plan_hash: str, who: str, confirm: str) -> None:
        if execution.state not in ASKING:
            raise OfficeRefused(409, f"{execution.id} is {execution.state}: it asks for no approval")
        if execution.deadline <= self._clock.now():
            raise OfficeRefused(409, f"{execution.id} has expired", "propose it anew")
        if not hmac.compare_digest(plan_hash.encode(), execution.plan_hash.encode()):
            raise OfficeRefused(
                409,
                f"{execution.id} is not the plan that you have seen: its hash is {execution.plan_hash}",
                f"look again: `dbarchitect plan show {execution.id}`",
            )
        if who.strip().casefold() == execution.proposer.strip().casefold():
            raise OfficeRefused(403, f"{who} has proposed {execution.id}: somebody else must approve it")
        target = execution.plan.target
        if execution.plan.action_class is ActionClass.D and confirm != target:
            raise OfficeRefused(
                400, f"{execution.plan.action} cannot be taken back: type the name of its target to confirm"
            )
        if nobody := self._nobody_acts(target):
            raise OfficeRefused(409, nobody)

    async def _after_a_yes(self, execution: Execution, who: str) -> Execution:
        missing = await self._cases.missing(execution)
        if missing:
            await self._move(execution, State.AWAITING_APPROVAL, f"{missing} more must approve", who)
        else:
            given = await self._store.approvals(execution.id)
            until = min((each.expires_at for each in given), default=execution.deadline)
            await self._move(execution, State.APPROVED, "", who, deadline=min(until, execution.deadline))
        return await self._cases.execution(execution.id)

    async def _move(
        self,
        execution: Execution,
        to: State,
        reason: str,
        who: str,
        more: Mapping[str, Json] | None = None,
        *,
        deadline: float | None = None,
    ) -> None:
        body = {"from": execution.state.value, "to": to.value, "reason": reason, **(more or {})}
        record = Record(kind=RecordKind.MOVED, body=body, execution=execution.id, who=who)
        moved = await self._store.move(
            Move(
                execution=execution.id,
                expected=ASKING if to is not State.DENIED else WAITING,
                expected_epoch=execution.epoch,
                to=to,
                record=record,
                reason=reason,
                deadline=deadline,
            )
        )
        if not moved:
            now = await self._cases.execution(execution.id)
            raise OfficeRefused(409, f"{execution.id} is {now.state} by now: nothing was changed")
