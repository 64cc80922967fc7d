"""What people do: settle what needs a human, and have taken back what succeeded."""

from __future__ import annotations

from typing import Literal

from actions.errors import NotDone, NotOwner
from actions.model import LIVE, Execution, Json, Outcome, RecordKind, State
from actions.run.course import Parts, time_for
from actions.run.ledger import Ledger
from actions.run.progress import Attempt, Progress

How = Literal["resume", "revert", "mark_done", "mark_not_done"]


async def settle(parts: Parts, execution: Execution, how: How, who: str, note: str) -> State:
    """Do what a person decided; return where it stands now."""
    if execution.state is not State.NEEDS_HUMAN:
        raise NotDone(f"{execution.id} is {execution.state}: nothing waits for a person's decision")
    ledger = Ledger(parts.store, parts.lease, parts.clock, execution)
    done = await ledger.progress()
    stopped = parts.switch.stopped(execution.plan.target, execution.plan.action)
    sent: dict[str, Json] = {"by_hand": how, "note": note}
    if how == "resume":
        await _move(parts, ledger, done.asked_from, sent, who)
    elif how == "revert":
        sent |= {"despite_stop": bool(stopped)}
        await _move(parts, ledger, State.COMPENSATING, sent, who)
    else:
        await _mark(parts, ledger, done, how == "mark_done", who, note)
    return ledger.execution.state


async def undo(parts: Parts, execution: Execution, who: str, note: str) -> State:
    """Begin to take back an execution that succeeded."""
    plan = execution.plan
    if execution.state is not State.SUCCEEDED:
        raise NotDone(f"{execution.id} is {execution.state}: only what succeeded can be undone")
    if stopped := parts.switch.stopped(plan.target, plan.action):
        raise NotDone(f"{execution.id} is not undone now: {stopped}")
    ledger = Ledger(parts.store, parts.lease, parts.clock, execution)
    done = await ledger.progress()
    if done.fixed or not done.to_undo:
        what = ", ".join(done.fixed) or "what it did"
        raise NotDone(f"{execution.id} cannot be undone: nothing takes back {what}")
    for other in await parts.store.executions(LIVE):
        if other.plan.scope.collides(plan.scope):
            raise NotDone(f"{execution.id} is not undone now: {other.id} is at work in {other.plan.scope}")
    await _move(parts, ledger, State.COMPENSATING, {"by_hand": "undo", "note": note}, who)
    return ledger.execution.state


async def _mark(parts: Parts, ledger: Ledger, done: Progress, happened: bool, who: str, note: str) -> None:
    """Write down what a person says of the attempt in question; without one, this is the end."""
    undoing = done.asked_from is State.COMPENSATING
    attempt = _open(done, undoing=undoing)
    if attempt is None or (undoing and not happened):
        body: dict[str, Json] = {"note": note, "marked": "done" if happened else "not_done"}
        await _move(parts, ledger, State.CLOSED_BY_HUMAN, body, who)
        return
    outcome = Outcome.OK if happened else Outcome.FAILED_CLEAN
    body = {"outcome": outcome, "by": "person", "reason": note, "evidence": {}}
    kind, to = (
        (RecordKind.UNDO_OUTCOME, State.COMPENSATING) if undoing else (RecordKind.OUTCOME, State.RUNNING)
    )
    await _move(parts, ledger, to, body, who, kind=kind, attempt=attempt)


def _open(done: Progress, *, undoing: bool) -> Attempt | None:
    """Return the attempt whose outcome a person can tell."""
    attempts = done.undos if undoing else done.attempts
    last = attempts[-1] if attempts else None
    if last is None or last.outcome is Outcome.OK:
        return None
    return last if undoing or last.may_stand else None


async def _move(
    parts: Parts,
    ledger: Ledger,
    to: State,
    body: dict[str, Json],
    who: str,
    *,
    kind: RecordKind = RecordKind.MOVED,
    attempt: Attempt | None = None,
) -> None:
    held = parts.lease.held()
    if held.epoch == 0 or parts.clock.monotonic() >= held.deadline:
        raise NotOwner(f"{ledger.execution.id}: the lease is not held here")
    plan, now = ledger.execution.plan, parts.clock.now()
    spec = plan.verification
    lasts = max(spec.within_seconds, spec.settle_seconds) if to is State.VERIFYING else time_for(plan)
    await ledger.move(
        to,
        kind,
        body,
        step=attempt.step if attempt else None,
        attempt=attempt.number if attempt else None,
        reason=f"{who}: {body.get('note') or body.get('reason') or to}",
        deadline=now + lasts,
        epoch=held.epoch,
        who=who,
    )
