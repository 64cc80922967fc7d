"""Any sequence of calls has the same outcome on a real store as on the model in memory."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actions.model import LIVE, Execution, RecordKind, Scope, State
from actions.ports import Approval, Grant, Move, Stop
from daemon.store.opening import open_store
from daemon.store.options import ANCHOR, FILE, StoreOptions
from daemon.store.store import SqlStore
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.stores import EPOCH, HandClock, execution, record

T = TypeVar("T")
KEYS = st.sampled_from(["e1", "e2", "e3", "e4"])
EPOCHS = st.integers(0, 3)
STATES = st.sampled_from(sorted(State))
SCOPES = st.builds(Scope, cluster=st.just("c1"), part=st.sampled_from(["", "t1", "t2"]))
ENDED = st.sampled_from([State.APPROVED, State.PROPOSED, State.SUCCEEDED])
TARGETS = st.sampled_from(["", "pg1"])
PEOPLE = st.sampled_from(["anna", "bert"])


def done(call: Coroutine[Any, Any, T]) -> T:
    """Run to the end what never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


@functools.cache
def empty_store() -> bytes:
    """Return the file of a store that was opened and closed: its tables are made only once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        done(done(open_store(StoreOptions(path=path), HandClock(), inline=True)).close())
        return path.read_bytes()


class StoreAndModel(RuleBasedStateMachine):
    """Does everything to both."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.model = MemoryStore(clock=self.clock)
        self.granted: Grant | None = None
        (Path(self.folder.name) / FILE).write_bytes(empty_store())
        self.store = self.opened()

    def opened(self) -> SqlStore:
        folder = Path(self.folder.name)
        options = StoreOptions(path=folder / FILE, anchor=folder / ANCHOR)
        return done(open_store(options, self.clock, inline=True, holder="one"))

    def teardown(self) -> None:
        done(self.store.close())
        self.folder.cleanup()

    @initialize()
    def begin_with_three(self) -> None:
        for key, part in (("e1", ""), ("e2", "t1"), ("e3", "t1")):
            self.propose(key, f"d {key}", Scope(cluster="c1", part=part), State.APPROVED)

    @rule(key=KEYS, dedup=st.sampled_from(["d1", "d2", "d3", "d4", "d5"]), scope=SCOPES, state=ENDED)
    def propose_one(self, key: str, dedup: str, scope: Scope, state: State) -> None:
        self.propose(key, dedup, scope, state)

    def propose(self, key: str, dedup: str, scope: Scope, state: State) -> None:
        if self.taken(key, dedup):
            return
        wanted = execution(key, dedup_key=dedup, scope=scope, state=state)
        kept, new = done(self.store.propose(wanted, record(RecordKind.PROPOSED)))
        expected, as_new = done(self.model.propose(wanted, record(RecordKind.PROPOSED)))
        assert (new, kept) == (as_new, expected)

    def taken(self, key: str, dedup: str) -> bool:
        """Tell whether a caller would break its side: an id is new, unless the incident is known."""
        known = any(each.dedup_key == dedup for each in self.model.kept.values())
        return not known and key in self.model.kept

    @rule(key=st.sampled_from(["e1", "e2", "e3"]), to=st.sampled_from([State.CLAIMED, State.SUCCEEDED]))
    def go_on(self, key: str, to: State) -> None:
        one = self.model.kept[key]
        self.both_move(
            Move(execution=key, expected={one.state}, expected_epoch=one.epoch, to=to, record=record())
        )

    @precondition(lambda self: self.model.kept)
    @rule(
        data=st.data(),
        to=st.sampled_from([State.CLAIMED, State.RUNNING, State.SUCCEEDED]),
        others=st.sets(STATES, max_size=2),
        aside=st.sampled_from([0, 0, 0, 1]),
        epoch=st.none() | EPOCHS,
        lease=st.sampled_from([None, None, 1, 2]),
        also=st.integers(0, 2),
    )
    def move(
        self,
        data: st.DataObject,
        to: State,
        others: set[State],
        aside: int,
        epoch: int | None,
        lease: int | None,
        also: int,
    ) -> None:
        """Mostly as those who know where it stands: of moves drawn at random few would find it."""
        one: Execution = data.draw(
            st.sampled_from(sorted(self.model.kept.values(), key=lambda each: each.id))
        )
        expected = others | {one.state}
        self.both_move(
            Move(
                execution=one.id, expected=expected, expected_epoch=one.epoch + aside, to=to, epoch=epoch,
                step=also, lease_epoch=lease, reason=f"to {to}",
                record=record(RecordKind.OUTCOME), also=(record(RecordKind.GUARDS),) * also,
            )
        )  # fmt: skip

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data(), states=st.sets(STATES), to=STATES)
    def move_from_elsewhere(self, data: st.DataObject, states: set[State], to: State) -> None:
        one: Execution = data.draw(
            st.sampled_from(sorted(self.model.kept.values(), key=lambda each: each.id))
        )
        move = Move(
            execution=one.id, expected=states - {one.state}, expected_epoch=one.epoch, to=to, record=record()
        )
        assert not done(self.store.move(move))
        assert not done(self.model.move(move))

    def both_move(self, move: Move) -> None:
        # The store looks for a free scope when a move may come from outside; the model knows whence it comes.
        if move.to in LIVE and not LIVE.issuperset(move.expected):
            one = self.model.kept.get(move.execution)
            if one is not None and one.state in LIVE:
                move = replace(move, expected={one.state})
        assert done(self.store.move(move)) is done(self.model.move(move))

    @rule(key=st.just("") | KEYS, epoch=EPOCHS, lease=st.none() | EPOCHS, n=st.integers())
    def write(self, key: str, epoch: int, lease: int | None, n: int) -> None:
        one = record(execution=key, epoch=epoch, body={"n": n})
        assert done(self.store.write(one, lease_epoch=lease)) is done(
            self.model.write(one, lease_epoch=lease)
        )

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data(), who=PEOPLE)
    def approve(self, data: st.DataObject, who: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.kept)))
        yes = Approval(execution=key, plan_hash="h", who=who, at=EPOCH, expires_at=EPOCH + 900)
        one = record(RecordKind.APPROVAL, who=who)
        assert done(self.store.approve(yes, one)) is done(self.model.approve(yes, one))

    @rule(on=TARGETS, by=PEOPLE)
    def stop(self, on: str, by: str) -> None:
        flag = Stop(target=on, by=by, at=self.clock.at)
        done(self.store.stop(flag, record(RecordKind.STOP)))
        done(self.model.stop(flag, record(RecordKind.STOP)))

    @rule(on=TARGETS)
    def resume(self, on: str) -> None:
        flag, one = Stop(target=on), record(RecordKind.RELEASE)
        assert done(self.store.resume(flag, one)) is done(self.model.resume(flag, one))

    @rule()
    def grant(self) -> None:
        self.granted = done(self.store.grant("a", 30.0))
        expected = done(self.model.grant("a", 30.0))
        assert self.granted
        assert expected
        assert (self.granted.epoch, self.granted.fresh) == (expected.epoch, expected.fresh)
        assert self.granted.expires_at == expected.expires_at

    @precondition(lambda self: self.granted)
    @rule()
    def release(self) -> None:
        assert self.granted
        done(self.store.release(self.granted))
        done(self.model.release(self.granted))

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.at += seconds

    @rule()
    def open_again(self) -> None:
        done(self.store.close())
        self.store = self.opened()
        # Whoever opened it again has been told of no epoch yet.
        self.store._epoch_told = self.model.lease.epoch if self.model.lease else 0

    @invariant()
    def both_hold_the_same(self) -> None:
        assert {each.id: each for each in done(self.store.executions())} == self.model.kept
        for key in self.model.kept:
            assert done(self.store.approvals(key)) == done(self.model.approvals(key))
        flags = done(self.store.stops())
        assert {(each.target, each.action): each for each in flags} == self.model.flags

    @invariant()
    def both_tell_the_same_story(self) -> None:
        bare = [replace(each, hash="", prev_hash="") for each in self.model.journal]
        assert [replace(each, hash="", prev_hash="") for each in done(self.store.journal())] == bare
        report = done(self.store.verify())
        assert (report.records, report.first_bad, report.problem) == (len(bare), None, "")

    @invariant()
    def one_is_live_in_a_scope(self) -> None:
        live = [each.plan.scope for each in done(self.store.executions(LIVE))]
        pairs = [(a, b) for i, a in enumerate(live) for b in live[:i]]
        assert not [pair for pair in pairs if pair[0].collides(pair[1])]

    @invariant()
    def the_past_is_the_same(self) -> None:
        mine, theirs = done(self.store.past(EPOCH + 20)), done(self.model.past(EPOCH + 20))
        assert {each.id for each in mine} == {each.id for each in theirs}


StoreAndModel.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreAgainstModel = StoreAndModel.TestCase
