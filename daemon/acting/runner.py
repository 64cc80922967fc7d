"""Carries out what is approved, a few at a time; ends what expired; goes on with what was left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from actions.errors import ActError, NotOwner
from actions.executor import Executor
from actions.guards.judge import PASSING, first_refusal
from actions.guards.limits import GLOBAL_AT_A_TIME
from actions.model import ENDED, LIVE, WAITING, Execution, Record, RecordKind, Refusal, State
from actions.policy import Policy
from actions.ports import Clock, Lease, Move, Store
from actions.recovery import Recovery
from actions.window import closes_in
from daemon.acting.firing import Firing
from daemon.acting.guardian import FactGuardian
from daemon.acting.tally import Tally

log = structlog.get_logger()
ADOPT_SECONDS = 5.0
EXPIRE_SECONDS = 5.0
RETRY_SECONDS = 10.0
"""How long after a refusal that passes by itself it is tried again."""
WAITS = PASSING | {"kill_switch"}
ENDING_SECONDS = 8.0
APPROVAL = "approval"
NOT_HELPING = "not_helping"


class Runner:
    """One per daemon. Acts only while the lease is held."""

    def __init__(
        self,
        executor: Executor,
        guardian: FactGuardian,
        firing: Firing,
        policy: Callable[[str], Policy | None],
    ) -> None:
        self.tally = Tally()
        self.waits_for: dict[str, Refusal] = {}
        """By execution: what keeps an approved one from beginning."""
        self._executor = executor
        self._recovery = Recovery(executor)
        self._guardian = guardian
        self._firing = firing
        self._policy = policy
        self._store: Store = executor.parts.store
        self._lease: Lease = executor.parts.lease
        self._clock: Clock = executor.parts.clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._acting: dict[str, str] = {}
        """The cluster of each of the running that is before its verification."""
        self._not_before: dict[str, float] = {}
        self._adopted_at = self._expired_at = float("-inf")
        self._tasks: asyncio.TaskGroup | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let executions run in a group of tasks."""
        self._tasks = tasks

    async def stop(self) -> None:
        """End what runs, each as its steps say; what is left then is found in the journal."""
        self._tasks = None
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=ENDING_SECONDS)

    @property
    def idle(self) -> bool:
        """Tell whether nothing of ours is under way."""
        return not self._running

    async def look(self) -> None:
        """Look once at everything that could go on; raise StoreUnavailable."""
        if not self._lease.held().epoch:
            return
        now = self._clock.monotonic()
        if now - self._expired_at >= EXPIRE_SECONDS:
            self._expired_at = now
            await self._expire()
        if now - self._adopted_at >= ADOPT_SECONDS:
            self._adopted_at = now
            for key in await self._recovery.adopt():
                self._spawn(key, self._finish(key))
        await self._begin()

    async def _begin(self) -> None:
        if len(self._acting) >= GLOBAL_AT_A_TIME:
            return
        approved = await self._store.executions({State.APPROVED})
        self._forget({each.id for each in approved})
        for execution in reversed(approved):
            if len(self._acting) < GLOBAL_AT_A_TIME and self._is_due(execution):
                self._acting[execution.id] = execution.plan.scope.cluster
                self._spawn(execution.id, self._carry_out(execution))

    def _is_due(self, execution: Execution) -> bool:
        """Tell whether it may be tried now. Two of one cluster at a time would refuse each other for good."""
        due = self._clock.monotonic() >= self._not_before.get(execution.id, float("-inf"))
        alone = execution.plan.scope.cluster not in self._acting.values()
        return due and alone and self._is_known(execution)

    def _is_known(self, execution: Execution) -> bool:
        """Tell whether the source of its alert has been heard since we began: before, nobody knows."""
        return self._firing.heard(execution.incident.source)

    def _forget(self, approved: set[str]) -> None:
        for known in (self._not_before, self.waits_for):
            for key in [key for key in known if key not in approved and key not in self._running]:
                del known[key]

    def _spawn(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None or key in self._running:
            work.close()
            return
        task = self._running[key] = self._tasks.create_task(self._guarded(key, work))
        task.add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: str) -> None:
        self._running.pop(key, None)
        self._acting.pop(key, None)

    async def _guarded(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it; whatever goes wrong in it ends neither the daemon nor the others."""
        try:
            await work
        except NotOwner as error:
            log.warning("execution.not_ours", id=key, reason=str(error))
        except ActError as error:
            log.error("execution.broken_off", id=key, reason=str(error))  # noqa: TRY400 - it says it all
        except Exception:
            log.exception("execution.defect", id=key)

    async def _carry_out(self, execution: Execution) -> None:
        key = execution.id
        since = self._clock.monotonic()
        self._not_before[key] = since + RETRY_SECONDS
        state = await self._executor.act(key, until=await self._until(execution))
        self._acting.pop(key, None)
        if state is State.APPROVED:
            await self._not_begun(execution)
            return
        log.info("execution.stands", id=key, action=execution.plan.action, state=state.value)
        if state is State.VERIFYING:
            state = await self._executor.drive(key)
        await self._count(key, state, since)

    async def _finish(self, key: str) -> None:
        log.info("execution.taken_over", id=key)
        since = self._clock.monotonic()
        await self._count(key, await self._recovery.resume(key), since)

    async def _until(self, execution: Execution) -> float | None:
        """Return when the window closes in which it is begun; None when it need not be over by then."""
        policy = self._policy(execution.policy) if execution.policy else None
        if policy is None or not policy.windows or await self._guardian.run_now_by(execution):
            return None
        now = self._clock.now()
        left = closes_in(policy.windows, now)
        return now + left if left > 0 else None

    async def _not_begun(self, execution: Execution) -> None:
        """Wait for what passes, and end it for what does not; the first lasting refusal is the reason."""
        refused = [each for each in self._guardian.last(execution.id) if not each.allowed]
        lasting = first_refusal(each for each in refused if each.guard not in WAITS | {APPROVAL})
        if lasting is not None:
            to = State.NEEDS_HUMAN if lasting.guard == NOT_HELPING else State.REFUSED
            await self._end(execution, to, lasting)
        elif (missing := first_refusal(each for each in refused if each.guard == APPROVAL)) is not None:
            # Without a single yes it is the policy that asks for more than it did.
            asked = await self._store.approvals(execution.id)
            await self._end(execution, State.EXPIRED if asked else State.AWAITING_APPROVAL, missing)
        elif (passing := first_refusal(refused)) is not None:
            self.waits_for[execution.id] = passing

    async def _expire(self) -> None:
        now = self._clock.now()
        for execution in await self._store.executions(WAITING):
            if execution.deadline <= now and execution.id not in self._running:
                waited = self.waits_for.get(execution.id)
                why = f"; it waited: {waited.reason}" if waited else ""
                reason = f"nobody has begun it by its time{why}"
                if execution.state is not State.APPROVED:
                    reason = "nobody has decided about it by its time"
                await self._end(execution, State.EXPIRED, Refusal("", reason))

    async def _end(self, execution: Execution, to: State, refusal: Refusal) -> None:
        body = {
            "from": execution.state.value,
            "to": to.value,
            "guard": refusal.guard,
            "reason": refusal.reason,
        }
        moved = await self._store.move(
            Move(
                execution=execution.id,
                expected={execution.state},
                expected_epoch=execution.epoch,
                to=to,
                record=Record(kind=RecordKind.MOVED, body=body, execution=execution.id),
                reason=refusal.reason,
                lease_epoch=self._lease.held().epoch,
            )
        )
        if moved:
            self.tally.ended(execution.plan.action, to.value)
            log.info(
                "plan.ended", id=execution.id, state=to.value, guard=refusal.guard, reason=refusal.reason
            )

    async def _count(self, key: str, state: State, since: float) -> None:
        if state not in ENDED and state not in LIVE:
            return
        execution = await self._executor.execution(key)
        self.tally.ended(execution.plan.action, state.value, self._clock.monotonic() - since)
        log.info(
            "execution.ended", id=key, action=execution.plan.action, target=execution.plan.target,
            state=state.value, reason=execution.reason,
        )  # fmt: skip
