"""From step to step: each attempt has an intent of its own, then its effect, then its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from actions.action import Operation, Work
from actions.errors import NotDone, OutcomeUnknown
from actions.model import Json, Outcome, RecordKind, State, Step
from actions.ports import ActingSession
from actions.run.attempt import Known, perform, said
from actions.run.course import Course, attempts_allowed
from actions.run.grip import Elsewhere, Unreached
from actions.run.ledger import kept_whole, plain
from actions.run.progress import Progress

NO_ATTEMPT = "the journal has no attempt of it, though one was begun: look at the target"
log = structlog.get_logger()


async def forward(course: Course, done: Progress) -> None:
    """Do what follows the last attempt."""
    last = done.last
    if last is None:
        await course.ask_person(NO_ATTEMPT)
    elif last.outcome is None:
        await course.ledger.move(
            State.RESOLVING, RecordKind.MOVED, {}, reason="an attempt was begun, and nobody saw its end"
        )
    elif last.outcome is Outcome.OK and last.step + 1 < len(course.plan.steps):
        await attempt(course, done, last.step + 1, 1)
    elif last.outcome is Outcome.OK:
        await _verify(course)
    else:
        await _after_failure(course, done)


async def attempt(course: Course, done: Progress, index: int, number: int) -> None:
    """Make one attempt at a step, or retreat where nothing may be begun any more."""
    course.ledger.entitled()
    step = course.plan.steps[index]
    if reason := course.stopped() or course.no_time(step):
        await course.retreat(done, reason, halted=True)
        return
    try:
        session = await course.grip.session()
    except Elsewhere as error:
        await (course.ask_person(str(error)) if done.standing else course.retreat(done, str(error)))
        return
    except Unreached as error:
        log.info("step.waits", execution=course.execution.id, step=step.name, reason=str(error))
        await asyncio.sleep(course.pause(1))
        return
    operation = course.operation(step)
    before = done.before(index)
    if before is None:
        before, failed = await _captured(course, done, step, session)
        if failed:
            await course.retreat(done, failed)
            return
    if reason := course.stopped():  # opening the session and looking took their time
        await course.retreat(done, reason, halted=True)
        return
    await _intend(course, index, number, operation, before)
    known = await _have(course, done, step, number, session, before)
    await record_outcome(course, known, RecordKind.OUTCOME)


async def record_outcome(course: Course, known: Known, kind: RecordKind) -> None:
    """Write down what is known of an attempt; go on with our own cancellation after that."""
    unknown = known.outcome is Outcome.UNKNOWN
    resolve = unknown and kind is RecordKind.OUTCOME
    try:
        to = State.RESOLVING if resolve else course.execution.state
        await course.ledger.move(to, kind, known.body)
        if unknown:
            await course.grip.drop()
    finally:
        if known.shutdown:
            raise asyncio.CancelledError


async def _after_failure(course: Course, done: Progress) -> None:
    last = done.attempts[-1]
    step = course.plan.steps[last.step]
    tries = [each for each in done.of(last.step) if each.current]
    if not last.current or (last.again and len(tries) < attempts_allowed(step, tries)):
        if last.current:
            await asyncio.sleep(course.pause(len(tries)))
        await attempt(course, done, last.step, last.number + 1)
        return
    stopped = course.stopped()
    await course.retreat(done, stopped or f"{step.name} failed: {last.reason}", halted=bool(stopped))


async def _captured(
    course: Course, done: Progress, step: Step, session: ActingSession
) -> tuple[Mapping[str, Json], str]:
    """Read what undoing needs; say why that failed. Nothing was begun then."""
    capture = course.operation(step).capture
    if capture is None:
        return {}, ""
    try:
        async with asyncio.timeout(course.parts.patience.look):
            before = await capture(course.work(step, 1, session, {}, done))
    except (NotDone, OutcomeUnknown, TimeoutError) as error:
        return {}, f"{step.name} was not begun, since what undoing needs could not be read: {said(error)}"
    except Exception as error:
        log.exception("capture.defect", execution=course.execution.id, step=step.name)
        return {}, f"{step.name} was not begun, since reading what undoing needs has a defect: {said(error)}"
    told = plain(before)
    if step.undoable and (told is not before or not kept_whole(before)):
        return {}, f"{step.name} was not begun, since the journal masks, or cannot hold, what undoing needs"
    return told, ""


async def _intend(
    course: Course, index: int, number: int, operation: Operation, before: Mapping[str, Json]
) -> None:
    course.ledger.entitled()
    await course.ledger.move(
        State.RUNNING,
        RecordKind.INTENT,
        intent(course, course.plan.steps[index], operation, before),
        step=index,
        attempt=number,
        reason="",
    )
    course.ledger.entitled()


def intent(course: Course, step: Step, operation: Operation, before: Mapping[str, Json]) -> dict[str, Json]:
    """Return all that a successor, or a person, must know of an attempt."""
    now = course.parts.clock.now()
    return {
        "name": step.name,
        "kind": step.kind,
        "text": step.text,
        "arguments": dict(step.arguments),
        "before": dict(before),
        "read_back": "the target is asked" if operation.read_back else "nothing tells",
        "deadline_seconds": step.deadline_seconds,
        "may_land_until": now + step.deadline_seconds,
    }


async def _have(
    course: Course,
    done: Progress,
    step: Step,
    number: int,
    session: ActingSession,
    before: Mapping[str, Json],
) -> Known:
    """Have the effect. Nothing else is awaited between the intent and it."""
    if reason := course.stopped():
        return Known(outcome=Outcome.FAILED_CLEAN, reason=f"it was not sent any more: {reason}")
    work = course.work(step, number, session, before, done)
    return await perform(
        _effect(course.operation(step), work),
        deadline_seconds=step.deadline_seconds,
        on_stop=step.on_stop,
        halted=course.halted,
        cancel_seconds=course.parts.patience.cancel,
    )


async def _effect(operation: Operation, work: Work) -> Mapping[str, Json]:
    return await operation.perform(work)


async def _verify(course: Course) -> None:
    """All steps are done: what they did is told from here on, without session or fence."""
    verification = course.plan.verification
    within = max(verification.within_seconds, verification.settle_seconds)
    await course.ledger.move(
        State.VERIFYING, RecordKind.MOVED, {}, deadline=course.parts.clock.now() + within, reason=""
    )
