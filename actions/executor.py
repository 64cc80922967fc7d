"""Carries executions out: any plan, by the same rules. See docs/acting.md for the states.

Everything raises NotOwner when the lease is lost (nothing was written, nothing done after that), and
StoreUnavailable when the journal cannot be read or written (nothing was begun after that). What was under way
then is found in the journal by `actions.recovery`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from actions.action import Action
from actions.errors import ActError, NotOwner
from actions.model import WORKING, Execution, GuardResult, Record, RecordKind, State
from actions.ports import Clock, Guardian, Hands, Lease, Store, Switch
from actions.run.attempt import said
from actions.run.begin import as_jsons, begin, unfit
from actions.run.by_hand import How, settle, undo
from actions.run.compensate import compensate
from actions.run.course import Course, Parts, Patience, time_for
from actions.run.forward import forward
from actions.run.grip import Grip
from actions.run.ledger import Ledger
from actions.run.progress import Progress
from actions.run.resolve import resolve
from actions.run.verifying import verify

_HANDLERS: Mapping[State, Callable[[Course, Progress], Awaitable[None]]] = {
    State.CLAIMED: begin,
    State.RUNNING: forward,
    State.RESOLVING: resolve,
    State.VERIFYING: verify,
    State.COMPENSATING: compensate,
}
log = structlog.get_logger()
ACTING = WORKING - {State.VERIFYING}


class Executor:
    """One per daemon. `busy` has the ids of the executions that it drives at the moment."""

    def __init__(
        self,
        store: Store,
        hands: Hands,
        actions: Mapping[str, Action],
        guardian: Guardian,
        switch: Switch,
        lease: Lease,
        clock: Clock,
        *,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        undo_on_stop: Callable[[Execution], bool] = lambda _: False,
    ) -> None:
        self.busy: set[str] = set()
        self.parts = Parts(
            store=store,
            hands=hands,
            actions=actions,
            guardian=guardian,
            switch=switch,
            lease=lease,
            clock=clock,
            patience=patience,
            undo_on_stop=undo_on_stop,
        )

    async def carry_out(self, key: str, *, until: float | None = None) -> State:
        """Claim an approved execution and bring it to an end; return where it stands.

        It stays APPROVED, and nothing is written, where a guard refuses, everything is stopped, or its scope
        is held by another. `until` (Unix time) is when its window closes: no step is begun that may take
        longer than that.
        """
        state = await self.act(key, until=until)
        return await self.drive(key) if state is State.VERIFYING else state

    async def act(self, key: str, *, until: float | None = None) -> State:
        """Do the same up to VERIFYING, for callers who verify with `drive` elsewhere: that may take a day."""
        execution = await self._claim(key, until)
        return await self._drive(execution, ACTING) if execution.state in ACTING else execution.state

    async def drive(self, key: str) -> State:
        """Bring an execution of ours that is WORKING to an end, from wherever it stands."""
        return await self._drive(await self.execution(key), WORKING)

    async def execution(self, key: str) -> Execution:
        """Return an execution; raise ActError when there is none."""
        execution = await self.parts.store.execution(key)
        if execution is None:
            raise ActError(f"there is no execution {key}")
        return execution

    async def _claim(self, key: str, until: float | None) -> Execution:
        parts = self.parts
        execution = await self.execution(key)
        plan, held = execution.plan, parts.lease.held()
        if held.epoch == 0 or parts.clock.monotonic() >= held.deadline:
            raise NotOwner(f"{key}: the lease is not held")
        if execution.state is not State.APPROVED or parts.switch.stopped(plan.target, plan.action):
            return execution
        results = await parts.guardian.judge(execution, "claimed")
        if not results or not all(result.allowed for result in results):
            return execution
        return await self._take(execution, held.epoch, until, results)

    async def _take(
        self, execution: Execution, epoch: int, until: float | None, results: Sequence[GuardResult]
    ) -> Execution:
        now = self.parts.clock.now()
        latest = now + time_for(execution.plan)
        ledger = Ledger(self.parts.store, self.parts.lease, self.parts.clock, execution)
        guards = {"stage": "claimed", "results": as_jsons(results)}
        record = Record(kind=RecordKind.GUARDS, body=guards, execution=execution.id, epoch=epoch)
        try:
            await ledger.move(
                State.CLAIMED,
                RecordKind.CLAIMED,
                {"plan_hash": execution.plan_hash},
                reason="",
                deadline=latest if until is None else min(until, latest),
                also=[record],
                epoch=epoch,
            )
        except NotOwner:  # somebody else was quicker, or works in its scope
            return execution
        return ledger.execution

    async def _drive(self, execution: Execution, states: frozenset[State]) -> State:
        if execution.id in self.busy:
            return execution.state
        parts = self.parts
        ledger = Ledger(parts.store, parts.lease, parts.clock, execution)
        grip = Grip(
            parts.hands, execution, open_seconds=parts.patience.open, fence_seconds=parts.patience.fence
        )
        self.busy.add(execution.id)
        try:
            async with grip:
                course = Course(parts, ledger, grip)
                while ledger.execution.state in states:
                    await _go_on(course)
        finally:
            self.busy.discard(execution.id)
        return ledger.execution.state

    async def settle(self, key: str, how: How, who: str, note: str) -> State:
        """Send on its way, or close, what needs a human; raise NotDone where it does not.

        Nothing is done at the target here: `Recovery.adopt` lists it, and `Recovery.resume` goes on with it.
        `resume` tries again from where it stood, `revert` takes back what can be taken back,
        `mark_done` and `mark_not_done` say what became of an attempt, and close it where none is open.
        """
        return await settle(self.parts, await self.execution(key), how, who, note)

    async def undo(self, key: str, who: str, note: str) -> State:
        """Have an execution that succeeded taken back; raise NotDone where it cannot be. As `settle`."""
        return await undo(self.parts, await self.execution(key), who, note)


async def _go_on(course: Course) -> None:
    """Do what comes next; what this program cannot go on with is left to a person."""
    state = course.execution.state
    if state is not State.CLAIMED and (reason := unfit(course)):
        await course.ask_person(f"this program cannot go on with it: {reason}")
        return
    try:
        await _HANDLERS[state](course, await course.ledger.progress())
    except ActError:
        raise
    except Exception as error:
        # It would fail again and again, and hold its scope without anybody knowing.
        log.exception("execution.defect", id=course.execution.id, action=course.plan.action)
        await course.ask_person(f"it was broken off by a defect of this program: {said(error)}")
