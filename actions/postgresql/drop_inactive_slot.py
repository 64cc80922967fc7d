"""Drops a replication slot that nobody uses, before the WAL that it retains fills the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase

from actions.action import ActionInfo, Evidence, Operation, Parameter, ReadBack, Work
from actions.errors import NotDone
from actions.model import (
    ActionClass,
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
from actions.postgresql import fitness, slots
from actions.postgresql.client import PostgresActing
from actions.postgresql.slots import Slot

RETAINED_MIN = 2**30
INACTIVE_SECONDS = 3600.0
_WITHIN_SECONDS = 30.0

INFO = ActionInfo(
    name="postgresql.drop_inactive_slot",
    version=1,
    engine="postgresql",
    action_class=ActionClass.D,
    title="Drop a replication slot that nobody uses",
    help=(
        "Drops one slot, physical or logical, that is inactive and retains much WAL. Nothing brings that WAL "
        "back. Never an active, temporary or synchronized one, nor one in synchronized_standby_slots; one "
        "of a standby only when told so. Deletes no file itself."
    ),
    parameters=(
        Parameter(name="slot", type="identifier", label="slot_name", required=True, help="The slot."),
        Parameter(
            name="database",
            type="identifier",
            label="database",
            help="A logical slot's database; else left out.",
        ),
        Parameter(
            name="retained_bytes_min",
            type="integer",
            default=RETAINED_MIN,
            least=0,
            help="A slot that retains less stays.",
        ),
        Parameter(
            name="inactive_seconds_min",
            type="duration",
            default=INACTIVE_SECONDS,
            least=0,
            help="One that was used since then stays. The server tells from PostgreSQL 17 on.",
        ),
        Parameter(
            name="since_unknown",
            type="boolean",
            default=False,
            help="Go on where the server does not tell since when the slot is inactive: who asks knows.",
        ),
        Parameter(
            name="standby",
            type="boolean",
            default=False,
            help="Go on with a physical slot: its standby may have to be cloned anew.",
        ),
        Parameter(
            name="keep", type="text", help="Slots never to drop: patterns with *, separated by commas."
        ),
    ),
    steps=("pg_drop_replication_slot, in the statement that finds the very same slot inactive",),
    verification="The slot is gone, and retains nothing.",
    grants=(
        "ALTER ROLE of the acting role REPLICATION (or a superuser)",
        "GRANT pg_monitor TO the acting role",
    ),
)


class DropInactiveSlot:
    """The action `postgresql.drop_inactive_slot`."""

    info: ActionInfo = INFO

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = {
            "drop": Operation(perform=_drop, capture=_capture, read_back=_read_back)
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the slot, and say what would be lost."""
        identity = await session.identity()
        given = asked.parameters
        # What a slot's database is called says nothing of the session's: slots belong to the server.
        name = str(given.get("slot", ""))
        if identity.role != "primary":
            return Refusal("precondition", f"{asked.target} is a replica: name the primary of its cluster")
        slot = await slots.find(session, name)
        if slot is None:
            return Refusal("precondition", f"{session.address} has no replication slot {name!r}")
        if against := await _against(given, session, slot):
            return Refusal("precondition", against)
        retained = f"{slot.retained or 0} bytes of WAL"
        return Plan(
            action=INFO.name,
            version=INFO.version,
            action_class=INFO.action_class,
            target=asked.target,
            targets=(asked.target,),
            identity=identity,
            parameters=dict(given),
            scope=Scope(cluster=asked.cluster or asked.target, part=f"slot:{slot.name}"),
            subject=f"slot {slot.name}",
            summary=f"drop the {slot.label} of {asked.target}",
            reason=f"nobody uses it, and it retains {retained}; {slot.runway}",
            evidence=asdict(slot),
            steps=(_step(slot),),
            prediction=Prediction(duration_seconds=5.0, risk=f"Irreversible: {slot.loss}."),
            verification=Verification(within_seconds=60.0, every_seconds=5.0, text=INFO.verification),
            irreversible=True,
            warnings=(*fitness.warnings(session), *_warnings(slot)),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it is the same slot, and still unused."""
        known = plan.steps[0].arguments
        slot = await slots.find(session, known["name"])
        if slot is None or slots.arguments(slot) != known:
            gone = "is gone" if slot is None else "was used, or made anew, since the plan was made"
            return (fitness.verdict("identity", f"the slot {known['name']} {gone}", ""),)
        against = await _against(plan.parameters, session, slot)
        return (
            fitness.verdict("identity", "", "it is the slot of the plan", restart_lsn=slot.restart_lsn),
            fitness.verdict("precondition", against, "nobody uses it", retained=slot.retained),
        )

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return what it retains, 0 when it is gone."""
        slot = await slots.find(session, plan.steps[0].arguments["name"])
        retained = {"retained_bytes": float(slot.retained or 0)} if slot else {"retained_bytes": 0.0}
        return {"slots": float(slot is not None), **retained}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Gone is improved."""
        del plan
        if "slots" not in before or "slots" not in after or after["slots"]:
            return Verdict.INCONCLUSIVE
        return Verdict.IMPROVED if before["slots"] else Verdict.NEUTRAL


def _step(slot: Slot) -> Step:
    return Step(
        name="drop",
        operation="drop",
        kind=StepKind.CHECKABLE,
        text=f"select pg_drop_replication_slot('{slot.name}'), if it is inactive and its restart_lsn still "
        f"is {slot.restart_lsn}",
        arguments=slots.arguments(slot),
        deadline_seconds=_WITHIN_SECONDS,
        attempts_max=2,
    )


async def _against(given: Mapping[str, Json], session: PostgresActing, slot: Slot) -> str:
    role = await fitness.role_of(session)
    may = session.read_only or await slots.may_drop(session)
    return fitness.first(
        [
            _in_use(slot),
            _wanted(given, slot),
            "" if may else f"the role {role} may not drop slots: ALTER ROLE {role} REPLICATION;",
        ]
    )


def _in_use(slot: Slot) -> str:
    if slot.active:
        return f"the {slot.label} is in use"
    if slot.temporary:
        return f"the {slot.label} is temporary: it goes with its session"
    if slot.synced:
        return f"the {slot.label} is synchronized from a primary: drop it there"
    if slot.standby_waits:
        return f"the {slot.label} is in synchronized_standby_slots: take it out first"
    return ""


def _wanted(given: Mapping[str, Json], slot: Slot) -> str:
    kept = [one.strip() for one in str(given.get("keep") or "").split(",")]
    if any(one and fnmatchcase(slot.name, one.replace("[", "[[]")) for one in kept):
        return f"the {slot.label} is in `keep`"
    if slot.kind == "physical" and not given.get("standby"):
        return f"the {slot.label} is a standby's or an archiver's: {slot.loss}. `standby: true` goes on"
    least = int(given.get("retained_bytes_min", RETAINED_MIN))
    if slot.wal_status != "lost" and (slot.retained or 0) < least:
        return f"the {slot.label} retains {slot.retained or 0} bytes of WAL, less than {least}"
    since = float(given.get("inactive_seconds_min", INACTIVE_SECONDS))
    if slot.inactive_seconds is None and not given.get("since_unknown"):
        return (
            f"the server does not tell since when the {slot.label} is inactive; `since_unknown: true` goes on"
        )
    if slot.inactive_seconds is not None and slot.inactive_seconds < since:
        return f"the {slot.label} was used {slot.inactive_seconds:.0f} s ago; {since:g} s are asked for"
    return ""


def _warnings(slot: Slot) -> tuple[str, ...]:
    found = [f"to make it again, empty: {slot.made_again}", "the server does not tell who last used it"]
    if slot.failover:
        found.append("it is kept for failover: its copies on standbys go, too")
    return tuple(found)


async def _capture(work: Work) -> Evidence:
    slot = await slots.find(work.session, work.step.arguments["name"])
    if slot is None:
        raise NotDone(f"the slot {work.step.arguments['name']} is gone")
    return {**asdict(slot), "made_again": slot.made_again}


async def _drop(work: Work) -> Evidence:
    known = work.step.arguments
    if not await slots.drop(work.session, known, _WITHIN_SECONDS):
        raise NotDone(f"the slot {known['name']} is in use, is gone, or is another by now: nothing was done")
    return {"dropped": known["name"], "restart_lsn": known["restart_lsn"]}


async def _read_back(work: Work) -> ReadBack:
    known = work.step.arguments
    slot = await slots.find(work.session, known["name"])
    if slot is None:
        return ReadBack(answer="done", evidence={"dropped": known["name"]})
    if slots.arguments(slot) == known:
        return ReadBack(answer="not_done", evidence=slots.arguments(slot))
    return ReadBack(answer="ambiguous", evidence=slots.arguments(slot))
