"""Takes over what others, or we ourselves before, left in the middle, and brings it to an end."""

from __future__ import annotations

import structlog

from actions.errors import NotOwner
from actions.executor import Executor
from actions.model import WORKING, Execution, RecordKind, State
from actions.run.ledger import Ledger

log = structlog.get_logger()


class Recovery:
    """Nothing is done at any target until `resume` is called for it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def adopt(self) -> list[str]:
        """Take over all WORKING executions that nobody drives; return their ids, oldest first.

        Those of our own epoch are among them: what the store's absence made us drop, and what a person sent
        on its way. Calling it again and again, every few seconds, is what it is for. Empty without the lease.
        """
        parts = self._executor.parts
        held = parts.lease.held()
        if held.epoch == 0 or parts.clock.monotonic() >= held.deadline:
            return []
        return [
            execution.id
            for execution in reversed(await parts.store.executions(WORKING))
            if execution.id not in self._executor.busy and await self._taken(execution, held.epoch)
        ]

    async def resume(self, execution_id: str) -> State:
        """Bring an adopted execution to an end, by what its journal says; return where it stands."""
        return await self._executor.drive(execution_id)

    async def _taken(self, execution: Execution, epoch: int) -> bool:
        if execution.epoch == epoch:
            return True
        if execution.epoch > epoch:
            # The store has forgotten a lease: it was restored from an old copy, or is not the one it was.
            log.error("recovery.epoch_went_back", execution=execution.id, epoch=execution.epoch, ours=epoch)
            return False
        parts = self._executor.parts
        ledger = Ledger(parts.store, parts.lease, parts.clock, execution)
        try:
            await ledger.move(
                execution.state, RecordKind.TAKEN_OVER, {"from_epoch": execution.epoch}, epoch=epoch
            )
        except NotOwner:
            return False
        return True
