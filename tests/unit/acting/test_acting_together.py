"""Several alerts of one cluster at a time: one is answered after the other, and none is refused for good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actions.model import Plan, Refusal, Scope
from actions.policy import Budget
from actions.ports import Asked, Past
from tests.fixtures.acting import step
from tests.fixtures.house import Shrink, policy, scene
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.steady import VirtualClock
from tests.fixtures.virtual_time import virtually


@dataclass(slots=True)
class OfTable(Shrink):
    """Works on another table for each alert."""

    async def plan(self, asked: Asked, session: Any) -> Plan | Refusal:
        # Named in full: `slots=True` makes another class, which `super()` does not know.
        plan = await Shrink.plan(self, asked, session)
        assert isinstance(plan, Plan)
        table = asked.labels["relname"]
        scope = Scope(cluster=asked.cluster, part=f"table:5.{table}")
        return replace(plan, scope=scope, subject=table)


class SlowStore(MemoryStore):
    """Takes its time to tell of the past, as one on a disk does."""

    async def past(self, since: float) -> Sequence[Past]:
        found = await super().past(since)
        await asyncio.sleep(0.2)
        return found


def test_two_alerts_of_one_target_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        store = SlowStore(clock=VirtualClock())
        often = Budget(per_action_hour=10, per_target_hour=10)
        async with scene(
            tmp_path,
            policy(budget=often),
            store=store,
            action=OfTable(steps=(step(arguments={"size": 50.0}),)),
        ) as one:
            one.target.delay = 5.0
            one.target.then("shrink", "slow", "slow")
            one.fire("TooLarge", relname="1")
            one.fire("TooOld", relname="2")
            await asyncio.sleep(3)
            assert sorted(one.states()) == ["approved", "running"]
            await asyncio.sleep(120)
            assert one.states() == ["succeeded", "succeeded"]

    virtually(story())
