"""At most one daemon may act, and each knows for itself until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from actions.errors import StoreUnavailable
from actions.model import RecordKind
from actions.ports import Grant
from daemon.acting.leader import LeaseKeeper, owner_name
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.steady import VirtualClock
from tests.fixtures.virtual_time import freeze, virtually


@dataclass(slots=True)
class SlowStore(MemoryStore):
    """Each grant takes a while, or never comes."""

    takes: float = 0.0
    hangs: bool = False

    async def grant(self, owner: str, ttl_seconds: float) -> Grant | None:
        await asyncio.sleep(10**6 if self.hangs else self.takes)
        return await MemoryStore.grant(self, owner, ttl_seconds)


def store_and_clock() -> tuple[SlowStore, VirtualClock]:
    clock = VirtualClock()
    return SlowStore(clock=clock), clock


@asynccontextmanager
async def kept(*keepers: LeaseKeeper) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(keeper.run()) for keeper in keepers]
        yield
        for task in running:
            task.cancel()


def test_the_first_daemon_leads_at_once_and_says_so_in_the_journal() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        assert keeper.held().epoch == 0
        async with kept(keeper):
            await asyncio.sleep(1)
            held = keeper.held()
            assert held.epoch == 1
            assert held.deadline == 25.0, "sent at 0, less five seconds"
            assert [(r.kind, r.body["event"]) for r in store.journal] == [(RecordKind.LEASE, "taken")]
            await asyncio.sleep(3600)
            assert keeper.held().epoch == 1
            assert keeper.held().leader_since == 0.0
            assert len(store.journal) == 1

    virtually(story())


def test_two_daemons_are_never_leaders_at_once_and_the_second_waits_for_late_effects() -> None:
    """F04."""

    async def story() -> None:
        store, clock = store_and_clock()
        one, two = LeaseKeeper(store, "a", clock), LeaseKeeper(store, "b", clock)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(one.run())
            second = tasks.create_task(two.run())
            for _ in range(100):
                await asyncio.sleep(1)
                assert (one.held().epoch, two.held().epoch) == (1, 0)
            first.cancel()  # as kill -9 does: nothing is given back
            died, led = clock.monotonic(), 0.0
            while not two.held().epoch:
                await asyncio.sleep(0.5)
                assert not (one.held().epoch and two.held().epoch)
                led = clock.monotonic()
            assert led - died >= 20 + 35, "the lease ran out, then ttl + 5 s"
            assert led - died <= 30 + 10 + 35 + 1
            assert two.held().epoch == 2
            second.cancel()

    virtually(story())


def test_a_taking_that_could_not_be_written_down_waits_as_long_as_any_other() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        # Another has not given it back: what it began may go on.
        store.lease, store._epoch = Grant(owner="b", epoch=5, expires_at=clock.now() + 5), 5

        def full(*_: Any) -> None:
            raise StoreUnavailable("database or disk is full")

        store.on_write = full
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(15)
            assert (keeper.held().epoch, keeper.role) == (0, "standby")
            assert "full" in keeper.trouble
            store.on_write = None
            await asyncio.sleep(10)
            assert keeper.role == "waiting", "what it gets now is a renewal, and the wait goes on"
            while not keeper.held().epoch:
                await asyncio.sleep(0.5)
            assert 10 + 35 <= clock.monotonic() <= 10 + 35 + 1
            assert keeper.held().epoch == 6
            assert [record.body["waits_seconds"] for record in store.journal] == [25.0]

    virtually(story())


def test_a_lease_that_was_given_back_needs_no_waiting() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        one, two = LeaseKeeper(store, "a", clock), LeaseKeeper(store, "b", clock)
        async with kept(one):
            await asyncio.sleep(1)
        await one.release()
        assert one.held().epoch == 0
        async with kept(two):
            await asyncio.sleep(1)
            assert two.held().epoch == 2
            assert two.role == "leader"

    virtually(story())


def test_a_daemon_that_was_frozen_knows_that_it_lost_the_lease_before_anything_else_runs() -> None:
    """F03, without a process: SIGSTOP for 60 s."""

    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(15)
            assert keeper.held().epoch == 1
            freeze(60)
            assert keeper.held().epoch == 0, "asked before any task of ours has run"
            store.lease = Grant(owner="b", epoch=2, expires_at=clock.now() + 1000)
            writes = len(store.journal)
            await asyncio.sleep(1)
            assert keeper.changed.is_set()
            assert keeper.role == "standby"
            assert len(store.journal) == writes, "a daemon without the lease writes nothing"

    virtually(story())


def test_a_machine_that_slept_has_lost_the_lease() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(1)
            clock.slept = 120.0
            assert keeper.held().epoch == 0

    virtually(story())


def test_a_wall_clock_that_jumps_changes_nothing_for_the_one_who_holds_the_lease() -> None:
    """F19: the lease is monotonic on our side."""

    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(5)
            clock.jumped = -3600.0
            await asyncio.sleep(60)
            assert keeper.held().epoch == 1

    virtually(story())


def test_when_the_store_is_away_acting_ends_at_our_own_deadline_and_comes_back_with_it() -> None:
    """F05."""

    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(1)
            store.away = True
            await asyncio.sleep(23)
            assert keeper.held().epoch == 1
            await asyncio.sleep(2)
            assert keeper.held().epoch == 0
            assert "away" in keeper.trouble
            await asyncio.sleep(575)
            store.away = False
            await asyncio.sleep(60)
            assert keeper.held().epoch == 2
            assert keeper.trouble == ""

    virtually(story())


def test_a_slow_store_makes_no_leader_change() -> None:
    """F06: each call takes four seconds, for ten minutes, with two daemons."""

    async def story() -> None:
        store, clock = store_and_clock()
        store.takes = 4.0
        one, two = LeaseKeeper(store, "a", clock), LeaseKeeper(store, "b", clock)
        async with kept(one, two):
            await asyncio.sleep(600)
            assert one.changes + two.changes == 1
            assert (one.held().epoch, two.held().epoch) in ((1, 0), (0, 1))

    virtually(story())


def test_a_store_that_never_answers_hangs_nobody() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(1)
            store.hangs = True
            await asyncio.sleep(30)
            assert keeper.held().epoch == 0
            assert "did not answer within 10 s" in keeper.trouble
            store.hangs = False
            await asyncio.sleep(120)
            assert keeper.held().epoch == 2

    virtually(story())


def test_a_leader_that_cannot_write_its_journal_does_not_act() -> None:
    async def story() -> None:
        store, clock = store_and_clock()

        def full(*_: Any) -> None:
            raise StoreUnavailable("database or disk is full")

        store.on_write = full
        keeper = LeaseKeeper(store, "a", clock)
        async with kept(keeper):
            await asyncio.sleep(30)
            assert keeper.held().epoch == 0
            assert "full" in keeper.trouble
            store.on_write = None
            await asyncio.sleep(15)
            assert keeper.held().epoch == 1, "it recovers alone"

    virtually(story())


def test_a_store_that_cannot_be_reached_at_the_end_is_no_error() -> None:
    async def story() -> None:
        store, clock = store_and_clock()
        keeper = LeaseKeeper(store, "a", clock)
        await keeper.release()
        async with kept(keeper):
            await asyncio.sleep(1)
        store.away = True
        await keeper.release()
        assert keeper.held().epoch == 0

    virtually(story())


def test_no_two_processes_have_one_name() -> None:
    assert owner_name() != owner_name()
