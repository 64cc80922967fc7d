"""What `auto` would have done, and whether the symptom went away without it."""

from __future__ import annotations

from collections.abc import Sequence

from actions.model import Execution, Record, RecordKind, State
from actions.ports import Store
from daemon.acting.office import Shadow

CLEARED = "cleared"
MOST = 5000


async def shadow_of(store: Store, since: float) -> Sequence[Shadow]:
    """Return what was only recorded since a Unix time, newest first."""
    found = await store.executions({State.OBSERVED}, limit=MOST)
    return [
        Shadow(execution=each, cleared_at=cleared_at(await store.records(each.id)))
        for each in found
        if each.created >= since
    ]


def cleared_at(records: Sequence[Record]) -> float | None:
    """Return when the alert was first seen to be over."""
    return next(
        (
            float(record.body["at"])
            for record in records
            if record.kind is RecordKind.NOTE and record.body.get("event") == CLEARED
        ),
        None,
    )


def cleared(execution: Execution, at: float) -> Record:
    """Return the record that says so."""
    body = {"event": CLEARED, "at": at}
    return Record(kind=RecordKind.NOTE, body=body, execution=execution.id)
