"""From claimed to the first step: guards once more in the acting session, and the measurement before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from actions.errors import NotDone, NotOwner, OutcomeUnknown, StoreUnavailable
from actions.model import GuardResult, Plan, RecordKind, Refusal, State, as_json
from actions.ports import ActingSession, Asked
from actions.run.attempt import said
from actions.run.course import Course
from actions.run.forward import attempt
from actions.run.grip import Elsewhere, Unreached
from actions.run.ledger import finite, plain
from actions.run.progress import Progress

log = structlog.get_logger()


async def begin(course: Course, done: Progress) -> None:
    """Do the first step of a claimed execution if all still allow it; else refuse or cancel it."""
    course.ledger.entitled()
    first = course.plan.steps[0] if course.plan.steps else None
    if first is not None and (reason := course.stopped() or course.no_time(first)):
        await course.retreat(done, reason, halted=True)
        return
    if reason := unfit(course):
        await _refuse(course, Refusal("precondition", reason))
        return
    try:
        session = await course.grip.session()
    except Elsewhere as error:
        await _refuse(course, Refusal("identity", str(error)))
    except Unreached as error:
        await _refuse(course, Refusal("session", f"{course.plan.target} cannot be worked on: {error}"))
    else:
        if await _allowed(course, session):
            await attempt(course, done, 0, 1)


def unfit(course: Course) -> str:
    """Say why a plan cannot be carried out by this program, whatever the target says."""
    plan = course.plan
    action = course.parts.actions.get(plan.action)
    if action is None:
        return f"there is no action {plan.action} in this version"
    if action.info.version != plan.version:
        return f"the plan is of version {plan.version} of {plan.action}, and this is {action.info.version}"
    if plan.plan_hash != course.execution.plan_hash:
        return "the plan is not the one that was proposed: its hash differs"
    if unknown := [step.operation for step in plan.steps if step.operation not in action.operations]:
        return f"{plan.action} has no operation {unknown[0]}"
    return "" if plan.steps else "the plan has no steps"


async def _allowed(course: Course, session: ActingSession) -> bool:
    """Ask the guards, then measure; write down both, or refuse."""
    results: Sequence[GuardResult] | Refusal
    before: Mapping[str, float] = {}
    try:
        async with asyncio.timeout(course.parts.patience.look):
            results, before = await _seen(course, session)
    except (NotOwner, StoreUnavailable):
        raise
    except (NotDone, OutcomeUnknown, TimeoutError) as error:
        results = Refusal("session", f"{course.plan.target} could not be looked at: {said(error)}")
    except Exception as error:
        log.exception("guards.defect", execution=course.execution.id, action=course.plan.action)
        results = Refusal("defect", f"looking at {course.plan.target} failed by a defect: {said(error)}")
    if isinstance(results, Refusal):
        await _refuse(course, results)
        return False
    await course.ledger.write(RecordKind.GUARDS, {"stage": "session", "results": as_jsons(results)})
    await course.ledger.write(RecordKind.MEASURED, {"when": "before", "values": finite(before)})
    return True


async def _seen(
    course: Course, session: ActingSession
) -> tuple[Sequence[GuardResult] | Refusal, Mapping[str, float]]:
    results = await _judged(course, session)
    if isinstance(results, Refusal):
        return results, {}
    return results, await course.action.measure(course.plan, session)


async def _judged(course: Course, session: ActingSession) -> Sequence[GuardResult] | Refusal:
    execution, plan = course.execution, course.plan
    asked = Asked(
        target=plan.target,
        cluster=plan.scope.cluster,
        parameters=plan.parameters,
        reason=plan.reason,
        labels=execution.incident.labels,
    )
    fresh: Plan | Refusal = await course.action.plan(asked, session)
    if isinstance(fresh, Refusal):
        return fresh
    results = await course.parts.guardian.judge(execution, "session", session, fresh)
    refusing = [result for result in results if not result.allowed]
    if refusing or not results:
        await course.ledger.write(RecordKind.GUARDS, {"stage": "session", "results": as_jsons(results)})
    if refusing:
        return Refusal(refusing[0].guard, refusing[0].reason)
    return results or Refusal("mode", "no guard has answered")


async def _refuse(course: Course, refusal: Refusal) -> None:
    body = {"guard": refusal.guard}
    await course.ledger.move(
        State.REFUSED, RecordKind.MOVED, body, reason=f"{refusal.guard}: {refusal.reason}"
    )


def as_jsons(results: Sequence[GuardResult]) -> list[object]:
    """Return guards' results for the journal."""
    return [plain(as_json(result)) for result in results]
