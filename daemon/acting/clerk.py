"""The Office: what people and programs may ask of acting, while its store is open."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import TypeVar

from actions.action import ActionInfo
from actions.errors import NotOwner, StoreUnavailable
from actions.model import Execution, Incident, Mode, Record, RecordKind, Refusal, State
from actions.policies.parameters import parameters_asked
from actions.ports import ChainReport, Clock, Stop, Store
from daemon.acting.cases import Cases
from daemon.acting.decisions import Decisions
from daemon.acting.notes import Notes
from daemon.acting.office import Case, OfficeRefused, Shadow
from daemon.acting.planner import Planner
from daemon.acting.proposals import Proposals, Wish
from daemon.acting.shadow import shadow_of
from daemon.acting.switch import KillSwitch, stop_record

T = TypeVar("T")
PERSON = "person"
NOTE_MAX = 2000


class Clerk:
    """Answers with values, or with OfficeRefused."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        planner: Planner,
        proposals: Proposals,
        cases: Cases,
        decisions: Decisions,
        switch: KillSwitch,
        notes: Notes,
    ) -> None:
        self._store = store
        self._clock = clock
        self._planner = planner
        self._proposals = proposals
        self._cases = cases
        self._decisions = decisions
        self._switch = switch
        self._notes = notes

    def actions(self) -> Sequence[ActionInfo]:
        """Return the catalogue."""
        return [action.info for action in self._planner.actions.values()]

    async def executions(
        self, states: Collection[State] = (), *, target: str = "", limit: int = 200
    ) -> Sequence[Execution]:
        """Return executions, newest first."""
        most = limit if not target else max(limit, 1000)
        found = await _asked(self._store.executions(states, limit=most))
        return [each for each in found if target in ("", each.plan.target)][:limit]

    async def case(self, key: str) -> Case:
        """Return one execution with its journal."""
        return await _asked(self._cases.case(key))

    async def propose(
        self, action: str, target: str, parameters: Mapping[str, str], who: str, note: str = ""
    ) -> Execution:
        """Plan an action that a person wants."""
        _check_note(note)
        return await _asked(self._propose(action, target, parameters, who, note))

    async def approve(
        self, key: str, plan_hash: str, who: str, *, confirm: str = "", note: str = ""
    ) -> Execution:
        """Say yes to exactly this plan."""
        _check_note(note)
        return await _asked(self._decisions.approve(key, plan_hash, who, confirm, note))

    async def deny(self, key: str, who: str, note: str = "") -> Execution:
        """Say no."""
        _check_note(note)
        return await _asked(self._decisions.deny(key, who, note))

    async def run_now(self, key: str, who: str) -> Execution:
        """Begin what is approved without waiting for its window."""
        return await _asked(self._decisions.run_now(key, who))

    async def undo(self, key: str, who: str, note: str = "") -> Execution:
        """Have taken back what succeeded."""
        _check_note(note)
        return await _asked(self._decisions.undo(key, who, note))

    async def settle(self, key: str, how: str, who: str, note: str) -> Execution:
        """End what needs a human."""
        _check_note(note)
        return await _asked(self._decisions.settle(key, how, who, note))

    async def stop(self, who: str, why: str, *, target: str = "", action: str = "") -> Sequence[Stop]:
        """Set a stop flag; return all that are set."""
        _check_note(why)
        flag = Stop(target=target, action=action, by=who, why=why, at=self._clock.now())
        if not target and not action:
            self._switch.press(who, why)
            await self._switch.look()
            return self._switch.flags()
        await _asked(self._store.stop(flag, stop_record(flag)))
        await self._switch.look()
        return self._switch.flags()

    async def resume(self, who: str, note: str, *, target: str = "", action: str = "") -> Sequence[Stop]:
        """Take a stop flag back; return those that are still set."""
        _check_note(note)
        if not note.strip():
            raise OfficeRefused(400, "a note is needed: why it may go on")
        if not target and not action and (there := self._switch.file_there()):
            raise OfficeRefused(409, there, f"remove {self._switch.file} first, on every host of a daemon")
        body = {"event": "resume", "target": target, "action": action, "note": note}
        record = Record(kind=RecordKind.RELEASE, body=body, who=who)
        if not await _asked(self._store.resume(Stop(target=target, action=action), record)):
            what = " ".join(filter(None, [target, action])) or "everything"
            raise OfficeRefused(409, f"no stop flag is set for {what}")
        await self._switch.look()
        return self._switch.flags()

    async def stops(self) -> Sequence[Stop]:
        """Return the stop flags that are set."""
        await self._switch.look()
        return self._switch.flags()

    async def acknowledge(self, action: str, who: str, note: str) -> None:
        """Close an action's circuit breaker, and lift bans on what it did."""
        _check_note(note)
        if action not in self._planner.actions:
            raise OfficeRefused(
                404, f"there is no action {action[:80]!r}", "`dbarchitect actions` lists them"
            )
        if not note.strip():
            raise OfficeRefused(400, "a note is needed: what was found")
        await _asked(self._notes.acknowledge(action, who, note))

    async def shadow(self, since: float) -> Sequence[Shadow]:
        """Return what would have been done since a Unix time."""
        return await _asked(shadow_of(self._store, since))

    async def verify(self) -> ChainReport:
        """Check the hash chain of the journal."""
        return await _asked(self._store.verify())

    async def _propose(
        self, name: str, target: str, parameters: Mapping[str, str], who: str, note: str
    ) -> Execution:
        action = self._planner.actions.get(name)
        if action is None:
            raise OfficeRefused(404, f"there is no action {name[:80]!r}", "`dbarchitect actions` lists them")
        asked = parameters_asked(action.info, parameters)
        if asked.problems:
            raise OfficeRefused(400, "; ".join(asked.problems))
        plan = await self._planner.plan(name, target, asked.values, reason=note or f"{who} asked for it")
        if isinstance(plan, Refusal):
            raise OfficeRefused(409, plan.reason)
        incident = Incident(
            source=PERSON,
            name=who,
            labels={"target": target},
            fingerprint=secrets.token_hex(8),
            starts_at=self._clock.now(),
        )
        wish = Wish(incident=incident, mode=Mode.APPROVE, proposer=who, note=note)
        execution, _ = await self._proposals.propose(plan, wish)
        if execution.state is State.REJECTED:
            raise OfficeRefused(409, execution.reason)
        return execution


async def _asked(answer: Awaitable[T]) -> T:
    """Wait for an answer; what the store or the lease stand against becomes a refusal."""
    try:
        return await answer
    except StoreUnavailable as error:
        raise OfficeRefused(503, f"the journal is not available: {error}") from None
    except NotOwner as error:
        raise OfficeRefused(503, str(error), "ask the daemon that holds the lease") from None


def _check_note(note: str) -> None:
    if len(note) > NOTE_MAX:
        raise OfficeRefused(400, f"a note has at most {NOTE_MAX} characters")
