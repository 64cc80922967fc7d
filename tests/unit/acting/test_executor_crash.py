"""F01: the process ends before or after each write of the journal, for each kind of step, once and twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from actions.model import ENDED, Record, RecordKind, State, StepKind
from tests.fixtures.acting import Killed, step, virtually
from tests.fixtures.fake_target import How
from tests.fixtures.memory_store import Moment
from tests.fixtures.stage import Stage

SMALLER = {"size": 50}
Arrange = Callable[[Stage], None]


def _killing_at(write: int, moment: Moment, stage: Stage) -> Callable[[Moment, Record], None]:
    """Return a hook that ends the process at the n-th write; its sessions live on at the server."""
    seen = count(1)

    def hook(now: Moment, _: Record) -> None:
        if now == moment and next(seen) == write:
            stage.target.reachable = False  # nobody is left to end sessions properly
            raise Killed

    return hook


async def _killed(stage: Stage, write: int, moment: Moment, *, first: bool) -> bool:
    """Carry it out, or recover, until it is killed; False when there were not so many writes."""
    stage.store.on_write = _killing_at(write, moment, stage)
    try:
        await (stage.carry_out() if first else stage.recover())
    except Killed:
        stage.target.reachable = True
        return True
    return False


async def _come_to_an_end(stage: Stage) -> None:
    await stage.restart()
    for _ in range(3):
        if stage.state is State.APPROVED:
            await stage.carry_out()
        elif stage.state not in ENDED | {State.NEEDS_HUMAN}:
            await stage.recover()


def _check(stage: Stage, kind: StepKind) -> None:
    counts = [stage.target.times("one"), stage.target.times("two")]
    if kind in {StepKind.CHECKABLE, StepKind.ONCE}:
        assert max(counts) <= 1, "done twice"
    intents = {(record.step, record.attempt) for record in stage.records(RecordKind.INTENT)}
    assert sum(counts) <= len(intents), "an effect without a record"
    match stage.state:
        case State.SUCCEEDED:
            assert min(counts) >= 1
            assert len(stage.target.standing) == 2
        case State.ROLLED_BACK | State.FAILED_CLEAN:
            assert stage.target.standing == set()
        case State.NEEDS_HUMAN:
            assert kind is StepKind.ONCE, stage.execution.reason
        case _:
            raise AssertionError(stage.state)
    assert stage.target.sessions == 0
    assert not stage.executor.busy


async def _every_write(kind: StepKind, moment: Moment, arrange: Arrange, *, twice: bool) -> int:
    tried = 0
    for write in count(1):
        for second in count(1):
            stage = await Stage.of(step("one", kind=kind), step("two", kind=kind, arguments=SMALLER))
            arrange(stage)
            if not await _killed(stage, write, moment, first=True):
                return tried
            again = False
            if twice:
                await stage.restart()
                again = await _killed(stage, second, moment, first=False)
            await _come_to_an_end(stage)
            _check(stage, kind)
            tried += 1
            if not again:
                break
    return tried


def _script(**hows: How) -> Arrange:
    def arrange(stage: Stage) -> None:
        for name, how in hows.items():
            stage.target.then(name.replace("undo_", "undo "), how)

    return arrange


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [StepKind.IDEMPOTENT, StepKind.CHECKABLE, StepKind.ONCE])
@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(_script(), id="all goes well"),
        pytest.param(_script(two="refused"), id="the second step is refused"),
        pytest.param(_script(two="lost_after"), id="an answer is lost"),
        pytest.param(_script(two="lost_before"), id="a command is lost"),
        pytest.param(_script(two="late"), id="an effect comes late"),
        pytest.param(_script(two="refused", undo_one="lost_after"), id="the answer to an undo is lost"),
    ],
)
def test_f01_killed_at_each_write_it_comes_to_one_end_and_nothing_is_done_twice(
    kind: StepKind, moment: Moment, twice: bool, arrange: Arrange
) -> None:
    tried = virtually(_every_write(kind, moment, arrange, twice=twice))
    assert tried >= (20 if twice else 7)


def test_f01_an_effect_of_the_dead_that_comes_late_is_not_repeated() -> None:
    """It was killed in mid effect: the server goes on, and it lands when the successor is at work already."""

    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE), step("two", kind=StepKind.CHECKABLE))
        stage.target.delay = 3.0
        stage.target.then("one", "late")
        stage.store.on_write = _killing_at(4, "before", stage)
        with pytest.raises(Killed):
            await stage.carry_out()
        stage.target.reachable = True
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == stage.target.times("two") == 1

    virtually(test())


def test_f01_an_attempt_that_nobody_saw_the_end_of_counts_as_none() -> None:
    """A step that may be tried once is tried again after a crash, once the target says it was not done."""

    async def test() -> None:
        stage = await Stage.of(step("one", kind=StepKind.CHECKABLE, arguments=SMALLER, attempts_max=1))
        stage.store.on_write = lambda moment, record: (
            _kill(stage) if moment == "after" and record.kind is RecordKind.INTENT else None
        )
        with pytest.raises(Killed):
            await stage.carry_out()
        await stage.restart()
        assert await stage.recover() is State.SUCCEEDED
        assert stage.target.times("one") == 1
        assert stage.kinds().count("intent") == 2
        assert stage.records(RecordKind.TAKEN_OVER)[0].body == {
            "from": "running",
            "to": "running",
            "from_epoch": 1,
        }

    virtually(test())


def _kill(stage: Stage) -> None:
    stage.store.on_write = None
    raise Killed


def test_f01_what_is_idempotent_is_not_repeated_for_ever() -> None:
    async def test() -> None:
        stage = await Stage.of(step("one", operation="plain"))

        def kills(moment: Moment, record: Record) -> None:
            if moment == "after" and record.kind is RecordKind.INTENT:
                raise Killed

        for _ in range(3):
            stage.store.on_write = kills
            with pytest.raises(Killed):
                await (stage.carry_out() if stage.state is State.APPROVED else stage.recover())
            await stage.restart()
        assert await stage.recover() is State.NEEDS_HUMAN
        assert stage.kinds().count("intent") == 3
        assert "one did not come to a known end in 3 attempts" in stage.execution.reason

    virtually(test())
