"""F01 on a real journal: ended at each write of it, what was begun comes to one end with the next daemon."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from actions.model import Record, RecordKind, State, StepKind
from actions.ports import Move
from actions.recovery import Recovery
from daemon.store.opening import open_store
from daemon.store.options import StoreOptions
from daemon.store.store import SqlStore
from tests.fixtures.acting import FakeLease, Killed, approved, step, virtually
from tests.fixtures.memory_store import Moment
from tests.fixtures.stage import Stage


class Tripped:
    """A store at whose n-th write the process ends."""

    def __init__(self, inner: SqlStore, write: int, moment: Moment) -> None:
        self.inner, self.left, self.moment = inner, write, moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def move(self, move: Move) -> bool:
        self._at("before")
        moved = await self.inner.move(move)
        self._at("after")
        return moved

    async def write(self, record: Record, *, lease_epoch: int | None = None) -> bool:
        self._at("before")
        written = await self.inner.write(record, lease_epoch=lease_epoch)
        self._at("after")
        return written

    def _at(self, moment: Moment) -> None:
        self.left -= moment == self.moment
        if self.left == 0:
            raise Killed


async def _ended_at(path: Path, kind: StepKind, write: int, moment: Moment) -> bool:
    """Let it end at a write, and the next daemon go on; False when there were not so many writes."""
    stage = await Stage.of(step("one", kind=kind), step("two", kind=kind, arguments={"size": 50}))
    stage.target.then("two", "lost_after")
    store = await open_store(StoreOptions(path=path), stage.clock, inline=True)
    first = await store.grant("first", 1e9)
    assert first is not None
    await approved(store, stage.action.made())
    stage.store = Tripped(store, write, moment)  # type: ignore[assignment]
    stage.lease = FakeLease(epoch=first.epoch)
    try:
        await stage.new_executor().carry_out("e1")
    except Killed:
        await store.release(first)
        await _gone_on(stage, store)
        await _checked(stage, store, kind)
        return True
    finally:
        await store.close()
    return False


async def _gone_on(stage: Stage, store: SqlStore) -> None:
    grant = await store.grant("second", 1e9)
    assert grant is not None
    stage.store = store  # type: ignore[assignment]
    stage.lease = FakeLease(epoch=grant.epoch)
    executor = stage.new_executor()
    recovery = Recovery(executor)
    for key in await recovery.adopt():
        await recovery.resume(key)
    await executor.carry_out("e1")


async def _checked(stage: Stage, store: SqlStore, kind: StepKind) -> None:
    execution = await store.execution("e1")
    assert execution is not None
    if kind is StepKind.IDEMPOTENT:
        assert execution.state is State.SUCCEEDED
    else:
        assert max(stage.target.times("one"), stage.target.times("two")) <= 1
        assert execution.state is State.SUCCEEDED or kind is StepKind.ONCE
    records = await store.records("e1")
    intents = [record for record in records if record.kind is RecordKind.INTENT]
    assert len(stage.target.landed) <= len(intents)
    assert execution.state is not State.NEEDS_HUMAN or execution.reason
    assert (await store.verify()).first_bad is None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [StepKind.IDEMPOTENT, StepKind.CHECKABLE, StepKind.ONCE])
def test_f01_ended_at_each_write_of_a_real_journal_nothing_is_done_twice(
    tmp_path: Path, kind: StepKind, moment: Moment
) -> None:
    async def test() -> int:
        for write in count(1):
            if not await _ended_at(tmp_path / f"{write}.sqlite", kind, write, moment):
                return write
        raise AssertionError

    assert virtually(test()) >= 9
