"""What plans that end something a session does have in common: the victim, its checks, and its measure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from actions.action import ActionInfo, Evidence, Work
from actions.model import (
    GuardResult,
    Json,
    Plan,
    Prediction,
    Refusal,
    Scope,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, victims
from actions.postgresql.client import PostgresActing
from actions.postgresql.victims import Signal, Symptom, Victim

LEFT = "victim_left"
_EVERY_SECONDS = 0.2


async def plan(
    info: ActionInfo,
    asked: Asked,
    session: PostgresActing,
    steps: Callable[[Victim, Symptom], tuple[Step, ...]],
) -> Plan | Refusal:
    """Find the victim and put the plan together. A replica has sessions to end, too."""
    identity = await session.identity()
    role = await fitness.role_of(session)
    if reason := await victims.blind(session, role):
        return Refusal("precondition", reason)
    symptom, seconds = symptom_of(info, asked.parameters)
    victim = await victims.choose(session, asked.parameters, symptom, seconds)
    if isinstance(victim, str):
        return Refusal("second_source", victim)
    if reason := victims.missing_right(session, victim, role):
        return Refusal("precondition", reason)
    return Plan(
        action=info.name,
        version=info.version,
        action_class=info.action_class,
        target=asked.target,
        targets=(asked.target,),
        identity=identity,
        parameters={**asked.parameters, "pid": victim.pid},
        scope=Scope(cluster=asked.cluster or asked.target, part=f"session:{victim.pid}"),
        subject=f"session {victim.label}",
        summary=f"{info.title}: {victim.label}",
        reason=f"{asked.reason + '; ' if asked.reason else ''}{_DOES[symptom].format(victim.seconds)}",
        evidence={"seconds": victim.seconds, "state": victim.state, "query_id": victim.query_id},
        steps=steps(victim, symptom),
        prediction=Prediction(duration_seconds=15.0, risk=_RISK),
        verification=Verification(within_seconds=60.0, every_seconds=5.0, text=info.verification),
        warnings=fitness.warnings(session),
    )


def step(
    victim: Victim, symptom: Symptom, name: str, how: Signal, *, kind: StepKind, attempts_max: int = 1
) -> Step:
    """Return a step that signals the victim."""
    return Step(
        name=name,
        operation=name,
        text=f"select {how}({victim.pid}), if its backend still is that of {victim.backend_start} and still "
        f"{_STILL[symptom]}",
        arguments=victims.arguments(victim, symptom),
        kind=kind,
        deadline_seconds=30.0,
        attempts_max=attempts_max,
    )


async def check(plan_: Plan, session: PostgresActing) -> Sequence[GuardResult]:
    """Look whether the very same session still does it."""
    known = plan_.steps[0].arguments
    against = (
        "" if await victims.still(session, known) else f"{plan_.subject} has gone on by itself, or ended"
    )
    return (fitness.verdict("second_source", against, f"{plan_.subject} still does it", pid=known["pid"]),)


async def measure(plan_: Plan, session: PostgresActing) -> Mapping[str, float]:
    """Return 1 while the victim does what it did, 0 after."""
    return {LEFT: float(await victims.still(session, plan_.steps[0].arguments))}


def judge(before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
    """Gone is improved; while it goes on nothing is told yet."""
    if LEFT not in before or LEFT not in after or after[LEFT]:
        return Verdict.INCONCLUSIVE
    return Verdict.IMPROVED if before[LEFT] else Verdict.NEUTRAL


async def until_ended(work: Work, seconds: float, *, backend: bool) -> bool:
    """Wait until the victim (its whole backend, or what it does) has ended; tell whether it has."""
    looks = victims.there if backend else victims.still
    try:
        async with asyncio.timeout(seconds):
            while await looks(work.session, work.step.arguments):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(_EVERY_SECONDS)
    except TimeoutError:
        return False
    return True


def told(work: Work, **more: Json) -> Evidence:
    """Return evidence with the victim's identity."""
    return {"pid": work.step.arguments["pid"], "backend_start": work.step.arguments["backend_start"], **more}


def symptom_of(info: ActionInfo, given: Mapping[str, Json]) -> tuple[Symptom, float]:
    """Return which symptom is meant, and for how long it must have lasted."""
    default = next(one.default for one in info.parameters if one.name == "symptom")
    wanted = given.get("symptom") or default
    symptom = next(one for one in victims.SYMPTOMS if one == wanted)
    seconds = given.get("least_seconds") or victims.SECONDS_OF.get(symptom, victims.SECONDS)
    return symptom, float(seconds)


_RISK = "What the session was doing is rolled back; its application gets an error and has to try again."
_STILL = {
    "long_query": "runs the same statement",
    "idle_in_transaction": "idles in the same transaction",
    "lock_head": "holds up others in the same transaction",
}
_DOES = {
    "long_query": "its statement has run for {:.0f} s",
    "idle_in_transaction": "it has idled in its transaction for {:.0f} s",
    "lock_head": "others have waited for it for up to {:.0f} s",
}
