"""Executions that go as they should, and the ends they come to."""

from __future__ import annotations

import asyncio

from actions.model import State, StepKind
from tests.fixtures.acting import step, virtually
from tests.fixtures.stage import Stage


async def _simple(kind: StepKind) -> None:
    stage = await Stage.of(step(kind=kind, arguments={"size": 50}))
    assert await stage.carry_out() is State.SUCCEEDED
    assert stage.target.times("shrink") == 1
    assert (
        stage.kinds()
        == "proposed guards claimed guards measured intent outcome moved measured verdict".split()
    )
    assert stage.target.sessions == 0
    assert not stage.executor.busy


def test_each_kind_of_step_is_done_once_and_verified() -> None:
    for kind in StepKind:
        virtually(_simple(kind))
