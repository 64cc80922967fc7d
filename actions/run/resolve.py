"""What became of an attempt whose outcome is not known: fence first, then ask the target, then decide."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from actions.action import ReadBack
from actions.errors import NotDone, OutcomeUnknown
from actions.model import Json, Outcome, RecordKind, State, Step, StepKind
from actions.ports import ActingSession
from actions.run.attempt import said
from actions.run.course import Course, attempts_allowed
from actions.run.forward import NO_ATTEMPT, attempt
from actions.run.grip import Elsewhere, Unreached
from actions.run.ledger import plain
from actions.run.progress import BY_READ_BACK, Attempt, Progress

log = structlog.get_logger()


async def resolve(course: Course, done: Progress) -> None:
    """Find out, or wait a little and be called again, or ask a person when it takes too long."""
    course.ledger.entitled()
    last = done.last
    if last is None:
        await course.ask_person(NO_ATTEMPT)
        return
    step = course.plan.steps[last.step]
    if step.kind is StepKind.ONCE:
        await course.ask_person(_once(step), {"may_land_until": last.may_land_until})
        return
    try:
        session = await course.grip.session()
    except Elsewhere as error:
        await course.ask_person(f"whether {step.name} was done cannot be told: {error}")
    except Unreached as error:
        await _later(course, step, str(error))
    else:
        await _under_fence(course, done, last, session)


def _once(step: Step) -> str:
    return (
        f"whether {step.name} was done is not known, and it is never done again by itself: look at the"
        " target, then mark it as done or not done"
    )


async def _under_fence(course: Course, done: Progress, last: Attempt, session: ActingSession) -> None:
    step = course.plan.steps[last.step]
    tries = [each for each in done.of(last.step) if each.current]
    repeatable = step.kind is not StepKind.CHECKABLE and len(tries) < attempts_allowed(step, tries)
    if repeatable and not course.stopped():
        await attempt(course, done, last.step, last.number + 1)
    elif course.operation(step).read_back is not None:
        await _ask_target(course, done, last, session)
    else:
        stopped = course.stopped()
        reason = stopped or f"{step.name} did not come to a known end in {len(tries)} attempts"
        await course.retreat(done, reason, halted=bool(stopped))


async def _ask_target(course: Course, done: Progress, last: Attempt, session: ActingSession) -> None:
    step = course.plan.steps[last.step]
    read = await _read_back(course, done, last, session)
    match read.answer:
        case "under_way":
            await _later(course, step, f"{step.name} is still under way", read.evidence)
        case "ambiguous":
            reason = f"{step.name}: the target does not tell whether it was done"
            await course.ask_person(reason, plain(read.evidence))
        case "done":
            await _settle(course, Outcome.OK, read)
        case _:
            await course.ledger.write(RecordKind.READ_BACK, _told(read))
            if await _cleaned(course, done, last, session):
                await _settle(course, Outcome.FAILED_CLEAN, read)


async def _read_back(course: Course, done: Progress, last: Attempt, session: ActingSession) -> ReadBack:
    """Ask the target; what it cannot answer now counts as under way."""
    step = course.plan.steps[last.step]
    read_back = course.operation(step).read_back
    assert read_back is not None  # noqa: S101 - both callers have looked
    try:
        async with asyncio.timeout(course.parts.patience.look):
            return await read_back(course.work(step, last.number, session, last.before, done))
    except (NotDone, OutcomeUnknown, TimeoutError) as error:
        return ReadBack(answer="under_way", evidence={"unread": said(error)})
    except Exception as error:
        log.exception("read_back.defect", execution=course.execution.id, step=step.name)
        return ReadBack(answer="ambiguous", evidence={"defect": said(error)})


async def _cleaned(course: Course, done: Progress, last: Attempt, session: ActingSession) -> bool:
    """Remove what our failed attempt left; it is idempotent, so a crash here only means once more.

    That is an effect too: while everything is stopped it needs what taking back needs.
    """
    step = course.plan.steps[last.step]
    clean = course.operation(step).clean
    if clean is None:
        return True
    stopped = course.stopped()
    if stopped and not course.parts.undo_on_stop(course.execution):
        await course.ask_person(
            f"{stopped}; what a failed attempt at {step.name} may have left is not removed"
        )
        return False
    course.ledger.entitled()
    try:
        async with asyncio.timeout(step.deadline_seconds):
            evidence = await clean(course.work(step, last.number, session, last.before, done))
    except Exception as error:  # noqa: BLE001 - whatever it was, there may be debris
        await _later(course, step, f"what a failed attempt at {step.name} left is not removed: {said(error)}")
        return False
    await course.ledger.write(RecordKind.NOTE, {"event": "cleaned", "evidence": plain(evidence)})
    return True


async def _settle(course: Course, outcome: Outcome, read: ReadBack) -> None:
    body: dict[str, Json] = {"outcome": outcome, "by": BY_READ_BACK, "evidence": plain(read.evidence)}
    if outcome is Outcome.FAILED_CLEAN:
        body |= {"again": True, "reason": "the target says that it was not done"}
    await course.ledger.move(State.RUNNING, RecordKind.OUTCOME, body)


def _told(read: ReadBack) -> Mapping[str, Json]:
    return {"answer": read.answer, "evidence": plain(read.evidence)}


async def _later(course: Course, step: Step, why: str, evidence: Mapping[str, Json] | None = None) -> None:
    """Wait before the next look; ask a person when there have been enough."""
    if not course.patient(step):
        await course.ask_person(f"whether {step.name} was done cannot be told: {why}", evidence)
        return
    log.info("resolving.waits", execution=course.execution.id, step=step.name, reason=why)
    await course.grip.drop()
    await asyncio.sleep(course.pause(1))
