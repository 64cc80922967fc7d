"""What the journal has noted for guards: circuit breakers that were closed, and bans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actions.model import Record, RecordKind
from actions.ports import Clock, Store

FRESH_SECONDS = 15.0
"""Other daemons write notes too: those known for so long are read anew."""
ACKNOWLEDGED = "acknowledged"
BANNED = "banned"
"""Written by the executor, with the family and until when."""


@dataclass(frozen=True, slots=True)
class Noted:
    """By action: when its breaker was last closed; by family: until when it is banned. Unix seconds."""

    acknowledged_at: Mapping[str, float] = field(default_factory=dict)
    banned_until: Mapping[str, float] = field(default_factory=dict)


class Notes:
    """Writes notes, and reads them back."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known = Noted()
        self._read_at = float("-inf")

    async def read(self) -> Noted:
        """Return what is noted; raise StoreUnavailable."""
        if self._clock.monotonic() - self._read_at > FRESH_SECONDS:
            self._known = noted(await self._store.records(""))
            self._read_at = self._clock.monotonic()
        return self._known

    async def acknowledge(self, action: str, who: str, note: str) -> None:
        """Close an action's circuit breaker, and lift the bans of its families."""
        await self._write({"event": ACKNOWLEDGED, "action": action, "note": note}, who)

    async def _write(self, body: Mapping[str, object], who: str) -> None:
        await self._store.write(Record(kind=RecordKind.NOTE, body=body, who=who))
        self._read_at = float("-inf")


def noted(records: Sequence[Record]) -> Noted:
    """Return what records say, oldest first."""
    closed: dict[str, float] = {}
    bans: dict[str, tuple[str, float]] = {}
    for record in records:
        if record.kind is not RecordKind.NOTE:
            continue
        action = str(record.body.get("action", ""))
        if record.body.get("event") == ACKNOWLEDGED:
            closed[action] = record.at
            bans = {family: ban for family, ban in bans.items() if ban[0] != action}
        elif record.body.get("event") == BANNED:
            bans[str(record.body.get("family"))] = (action, float(record.body.get("until", 0)))
    return Noted(closed, {family: until for family, (_, until) in bans.items()})
