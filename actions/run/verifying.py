"""Tells the effect: looks from time to time, for a day if need be, and holds nothing between two looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from actions.errors import NotDone, NotOwner, OutcomeUnknown
from actions.model import SYSTEM, Inconclusive, Record, RecordKind, State, Verdict
from actions.run.attempt import said
from actions.run.course import Course
from actions.run.grip import Elsewhere
from actions.run.ledger import finite
from actions.run.progress import Progress

BAN_SECONDS = 90 * 86400.0
"""How long the same action is not tried again on what it made worse."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    verdict: Verdict
    values: Mapping[str, float] | None = None
    """None: it could not be measured."""
    why: str = ""


async def verify(course: Course, done: Progress) -> None:
    """Look until the effect can be told or its time is over, and conclude."""
    spec, clock = course.plan.verification, course.parts.clock
    end = course.execution.deadline
    begin = end - max(spec.within_seconds, spec.settle_seconds)
    measured = False
    await course.grip.drop()
    await asyncio.sleep(max(0.0, begin + spec.settle_seconds - clock.now()))
    while True:
        course.ledger.entitled()
        seen = await _look(course, done)
        measured |= seen.values is not None
        left = end - clock.now()
        if seen.verdict is not Verdict.INCONCLUSIVE or left <= 0:
            break
        await asyncio.sleep(min(max(spec.every_seconds, 0.1), left))
    await _conclude(course, done, seen, measured=measured)


async def _look(course: Course, done: Progress) -> _Seen:
    """Measure once; what cannot be measured tells nothing."""
    try:
        async with asyncio.timeout(course.parts.patience.look):
            session = await course.grip.look()
            values = finite(await course.action.measure(course.plan, session))
        verdict = course.action.judge(course.plan, done.baseline, values)
    except (NotDone, OutcomeUnknown, Elsewhere, TimeoutError) as error:
        return _Seen(verdict=Verdict.INCONCLUSIVE, why=f"it could not be measured: {said(error)}")
    except Exception as error:
        log.exception("measure.defect", execution=course.execution.id, action=course.plan.action)
        return _Seen(verdict=Verdict.INCONCLUSIVE, why=f"measuring it has a defect: {said(error)}")
    finally:
        await course.grip.drop()
    return _Seen(verdict=verdict, values=values)


async def _conclude(course: Course, done: Progress, seen: _Seen, *, measured: bool) -> None:
    course.ledger.entitled()
    if seen.verdict is Verdict.WORSE:
        await _ban(course)
    to, reason = _after(course, done, seen, measured=measured)
    values = {"when": "after", "values": seen.values}
    also = [course.ledger.record(RecordKind.MEASURED, values)] if seen.values is not None else []
    body = {"verdict": seen.verdict, "before": dict(done.baseline)}
    await course.ledger.move(to, RecordKind.VERDICT, body, reason=reason, also=also)


def _after(course: Course, done: Progress, seen: _Seen, *, measured: bool) -> tuple[State, str]:
    match seen.verdict:
        case Verdict.IMPROVED | Verdict.NEUTRAL:
            return State.SUCCEEDED, f"verified: {seen.verdict}"
        case Verdict.WORSE:
            return _taken_back(course, done, "it made things worse")
        case _:
            return _inconclusive(course, done, seen, measured=measured)


def _inconclusive(course: Course, done: Progress, seen: _Seen, *, measured: bool) -> tuple[State, str]:
    why = seen.why or "what was measured does not tell"
    reason = f"its effect could not be told in time: {why}"
    match course.plan.verification.on_inconclusive:
        case Inconclusive.KEEP if measured:
            return State.SUCCEEDED, f"kept; {reason}"
        case Inconclusive.REVERT:
            return _taken_back(course, done, reason)
        case _:
            return State.NEEDS_HUMAN, reason


def _taken_back(course: Course, done: Progress, reason: str) -> tuple[State, str]:
    stopped = course.stopped()
    if done.fixed:
        return State.NEEDS_HUMAN, f"{reason}; nothing takes back {', '.join(done.fixed)}"
    if stopped and not course.parts.undo_on_stop(course.execution):
        return State.NEEDS_HUMAN, f"{reason}; it is not taken back, because {stopped}"
    return State.COMPENSATING, reason


async def _ban(course: Course) -> None:
    """Keep the same action off the same thing. After a crash before the verdict it is written again."""
    plan = course.plan
    body = {
        "event": "banned",
        "ban": plan.family,
        "family": plan.family,
        "action": plan.action,
        "until": course.parts.clock.now() + BAN_SECONDS,
        "why": f"execution {course.execution.id} made things worse",
    }
    record = Record(kind=RecordKind.NOTE, body=body, who=SYSTEM)
    if not await course.parts.store.write(record, lease_epoch=course.ledger.epoch):
        raise NotOwner(f"{course.execution.id}: the lease of epoch {course.ledger.epoch} is another's")
