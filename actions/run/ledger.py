"""Writes what an execution does, as its owner and only while it is: what does not take means NotOwner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actions.errors import NotOwner
from actions.model import SYSTEM, Execution, Json, Record, RecordKind, State, canonical
from actions.ports import Clock, Lease, Move, Store
from actions.run.progress import Progress, progress
from collectors.secret import redact


@dataclass(slots=True)
class Ledger:
    """The journal of one execution that we own in one epoch."""

    store: Store
    lease: Lease
    clock: Clock
    execution: Execution
    """As it stands by our own last write."""

    @property
    def epoch(self) -> int:
        """Return the epoch that we own it in."""
        return self.execution.epoch

    def entitled(self) -> None:
        """Raise NotOwner unless the lease is ours now: nothing may be begun without asking this."""
        held = self.lease.held()
        if held.epoch != self.epoch or self.clock.monotonic() >= held.deadline:
            raise NotOwner(f"{self.execution.id}: the lease of epoch {self.epoch} is not held any more")

    async def progress(self) -> Progress:
        """Read what is written."""
        return progress(self.execution.plan, await self.store.records(self.execution.id))

    def record(self, kind: RecordKind, body: Mapping[str, Json], *, who: str = SYSTEM) -> Record:
        """Return a record of the step and attempt that the execution stands at."""
        now = self.execution
        return Record(
            kind=kind,
            body=body,
            execution=now.id,
            step=now.step,
            attempt=now.attempt,
            epoch=now.epoch,
            who=who,
        )

    async def move(
        self,
        to: State,
        kind: RecordKind,
        body: Mapping[str, Json],
        *,
        step: int | None = None,
        attempt: int | None = None,
        reason: str | None = None,
        deadline: float | None = None,
        also: Sequence[Record] = (),
        epoch: int | None = None,
        who: str = SYSTEM,
    ) -> None:
        """Do a transition, or raise NotOwner; `epoch` takes the execution over into ours."""
        was = self.execution
        now = replace(
            was,
            state=to,
            epoch=was.epoch if epoch is None else epoch,
            step=was.step if step is None else step,
            attempt=was.attempt if attempt is None else attempt,
            reason=was.reason if reason is None else reason,
            deadline=was.deadline if deadline is None else deadline,
            updated=self.clock.now(),
        )
        told = {"from": was.state, "to": to, **body} | ({} if reason is None else {"reason": reason})
        record = replace(
            self.record(kind, told, who=who), step=now.step, attempt=now.attempt, epoch=now.epoch
        )
        moved = await self.store.move(
            Move(
                execution=was.id,
                expected={was.state},
                expected_epoch=was.epoch,
                to=to,
                record=record,
                step=step,
                attempt=attempt,
                reason=reason,
                epoch=epoch,
                deadline=deadline,
                lease_epoch=now.epoch,
                also=also,
            )
        )
        if not moved:
            raise NotOwner(f"{was.id}: it does not stand at {was.state} in epoch {was.epoch} any more")
        self.execution = now

    async def write(self, kind: RecordKind, body: Mapping[str, Json]) -> None:
        """Append a record that moves nothing, or raise NotOwner."""
        if not await self.store.write(self.record(kind, body), lease_epoch=self.epoch):
            raise NotOwner(f"{self.execution.id}: it is not ours in epoch {self.epoch} any more")


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return what was measured without what is no number: unknown is absent."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def kept_whole(value: Json) -> bool:
    """Tell whether a journal, which masks what looks like a secret, gives this back as it is."""
    if isinstance(value, str):
        return redact(value) == value and "\0" not in value
    if isinstance(value, Mapping):
        return all(redact(f"{key}=x") == f"{key}=x" and kept_whole(each) for key, each in value.items())
    return all(map(kept_whole, value)) if isinstance(value, list | tuple) else True


def plain(evidence: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return evidence as it is if a journal can hold it, else what can be said of it."""
    try:
        canonical(dict(evidence))
    except (TypeError, ValueError):
        return {"not_json": repr(evidence)[:500]}
    return evidence
