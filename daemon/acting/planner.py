"""Has an action look at its target and build a plan, in a session of its own that changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from actions.action import Action
from actions.errors import ActError
from actions.model import Json, Plan, Refusal
from actions.ports import Asked, Hands, Tag
from daemon.acting.facts import Facts

log = structlog.get_logger()
WITHIN_SECONDS = 60.0
DATABASE = "database"
"""The parameter by which actions say in which database they work."""
TAG = "plan"
"""In the place of an execution, in the names of sessions that only plan."""


class Planner:
    """Builds plans; raises nothing but StoreUnavailable, and that never."""

    def __init__(self, actions: Mapping[str, Action], hands: Hands, facts: Facts) -> None:
        self.actions = actions
        self._hands = hands
        self._facts = facts

    async def plan(  # noqa: PLR0911 - each is another reason
        self,
        name: str,
        target: str,
        parameters: Mapping[str, Json],
        *,
        reason: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Plan | Refusal:
        """Return a plan, or why there is none."""
        action = self.actions.get(name)
        if action is None:
            return _no(f"there is no action {name!r}; `dbarchitect actions` lists them")
        engine = self._facts.engine(target)
        if not engine:
            return _no(f"{target!r} is no target that is watched here")
        if action.info.engine not in ("", engine):
            return _no(f"{name} is for targets of {action.info.engine}, {target} is one of {engine}")
        asked = Asked(
            target=target,
            cluster=self._facts.cluster_name(target),
            parameters=parameters,
            reason=reason,
            labels=labels or {},
        )
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                return await self._look(action, asked)
        except TimeoutError:
            return _no(f"{target}: there was no plan within {WITHIN_SECONDS:g} s", "unreachable")
        except ActError as error:
            return _no(str(error), "unreachable")
        except Exception as error:
            log.exception("action.broken", action=name, target=target)
            return _no(f"a defect in the action {name}: {type(error).__name__}; the log has more", "internal")

    async def _look(self, action: Action, asked: Asked) -> Plan | Refusal:
        database = str(asked.parameters.get(DATABASE) or "")
        async with self._hands.open(asked.target, database, Tag(execution=TAG, epoch=0)) as session:
            return await action.plan(asked, session)


def _no(reason: str, guard: str = "precondition") -> Refusal:
    return Refusal(guard, reason)
