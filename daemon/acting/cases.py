"""Finds executions by the beginning of their id, and tells how many approvals they still need."""

from __future__ import annotations

from collections.abc import Callable

from actions.guards.approval import approvals_needed, approvers
from actions.model import ENDED, WAITING, Execution
from actions.policy import Policy
from actions.ports import Clock, Store
from daemon.acting.office import Case, OfficeRefused

LEAST = 4
"""So many characters of an id are needed."""
SEARCHED = 5000


class Cases:
    """Reads the store."""

    def __init__(self, store: Store, clock: Clock, policy: Callable[[str], Policy | None]) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy

    async def execution(self, key: str) -> Execution:
        """Return one; raise OfficeRefused when there is none, or several begin so."""
        found = await self._store.execution(key)
        if found is not None:
            return found
        if len(key) >= LEAST:
            near = [one for one in await self._store.executions(limit=SEARCHED) if one.id.startswith(key)]
            if len(near) == 1:
                return near[0]
            if near:
                ids = ", ".join(one.id for one in near[:5])
                raise OfficeRefused(409, f"several plans begin with {key!r}: {ids}", "write more of the id")
        raise OfficeRefused(404, f"there is no plan {key[:80]!r}", "`dbarchitect plans` lists them")

    async def case(self, key: str) -> Case:
        """Return one with all that the journal has of it."""
        execution = await self.execution(key)
        return Case(
            execution=execution,
            records=await self._store.records(execution.id),
            approvals=await self._store.approvals(execution.id),
            approvals_needed=await self.missing(execution),
        )

    async def missing(self, execution: Execution) -> int:
        """Return how many more approvals it needs; 0 when it waits for none."""
        if execution.state not in WAITING or execution.state in ENDED:
            return 0
        policy = self._policy(execution.policy) if execution.policy else None
        counted = approvers(execution, await self._store.approvals(execution.id), self._clock.now())
        return max(0, approvals_needed(execution, policy) - len(counted))
