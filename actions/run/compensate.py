"""Takes back what was done, last step first: what failed or was never answered too, so undo is idempotent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from actions.model import Json, OnStop, Outcome, RecordKind, State, Step
from actions.ports import ActingSession
from actions.run.attempt import Known, perform
from actions.run.course import Course
from actions.run.forward import intent, record_outcome
from actions.run.grip import Elsewhere, Unreached
from actions.run.progress import Progress

UNDO_ATTEMPTS = 3
UNDO_ORPHANS = 2


async def compensate(course: Course, done: Progress) -> None:
    """Take back one step, or end."""
    course.ledger.entitled()
    stopped = course.stopped()
    if not done.to_undo:
        await _end(course, done)
    elif stopped and not done.despite_stop and not course.parts.undo_on_stop(course.execution):
        await course.ask_person(f"{stopped}; {_remains(course, done)}")
    else:
        await _undo(course, done, done.to_undo[0])


async def _end(course: Course, done: Progress) -> None:
    if done.standing or (course.plan.irreversible and done.attempts):
        await course.ask_person(f"all that can be taken back is; {_remains(course, done)}")
    else:
        await course.ledger.move(State.ROLLED_BACK, RecordKind.MOVED, {})


async def _undo(course: Course, done: Progress, index: int) -> None:
    step = course.plan.steps[index]
    tries = [each for each in done.undo_of(index) if each.current]
    # What nobody lived to see the end of is no failure of the target's; still there is an end to it.
    spent = len(tries) - min(sum(each.orphaned for each in tries), UNDO_ORPHANS)
    if tries and (spent >= UNDO_ATTEMPTS or not (tries[-1].may_stand or tries[-1].again)):
        why = tries[-1].reason or "its outcome is not known"
        await course.ask_person(f"{step.name} could not be taken back: {why}; {_remains(course, done)}")
        return
    if tries:
        await asyncio.sleep(course.pause(len(tries)))
    try:
        session = await course.grip.session()
    except Elsewhere as error:
        await course.ask_person(f"{error}; {_remains(course, done)}")
    except Unreached as error:
        await _later(course, done, step, str(error))
    else:
        number = max((each.number for each in done.undo_of(index)), default=0) + 1
        await _attempt(course, done, index, number, session)


async def _later(course: Course, done: Progress, step: Step, why: str) -> None:
    if course.patient(step):
        await asyncio.sleep(course.pause(1))
    else:
        await course.ask_person(f"{step.name} could not be taken back: {why}; {_remains(course, done)}")


async def _attempt(course: Course, done: Progress, index: int, number: int, session: ActingSession) -> None:
    step = course.plan.steps[index]
    before = done.before(index) or {}
    course.ledger.entitled()
    body = intent(course, step, course.operation(step), before) | {"text": step.undo_text}
    await course.ledger.move(State.COMPENSATING, RecordKind.UNDO_INTENT, body, step=index, attempt=number)
    course.ledger.entitled()
    known = await _have(course, done, index, number, session)
    await record_outcome(course, known, RecordKind.UNDO_OUTCOME)


async def _have(course: Course, done: Progress, index: int, number: int, session: ActingSession) -> Known:
    step = course.plan.steps[index]
    undo = course.operation(step).undo
    if undo is None:
        return Known(outcome=Outcome.FAILED_CLEAN, reason=f"{step.operation} has no undo in this version")
    work = course.work(step, number, session, done.before(index), done)

    async def effect() -> Mapping[str, Json]:
        return await undo(work)

    return await perform(
        effect(),
        deadline_seconds=step.deadline_seconds,
        on_stop=OnStop.FINISH,
        halted=course.halted,
        cancel_seconds=course.parts.patience.cancel,
    )


def _remains(course: Course, done: Progress) -> str:
    """Say exactly what stands, and what was taken back."""
    names = [step.name for step in course.plan.steps]
    undone = [names[index] for index in range(len(names)) if done.undone(index)]
    standing = [names[index] for index in done.standing]
    text = f"this stands, or may stand: {', '.join(standing)}" if standing else "nothing stands"
    return f"{text}; taken back: {', '.join(undone)}" if undone else text
