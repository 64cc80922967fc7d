"""Five ways to stop, and one to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actions.errors import StoreUnavailable
from actions.model import Record, RecordKind
from actions.ports import Stop
from daemon.acting.steady import SteadyClock
from daemon.acting.switch import KNOWN_SECONDS, KillSwitch, stop_record
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.steady import VirtualClock
from tests.fixtures.virtual_time import freeze, virtually

Story = Callable[[KillSwitch, MemoryStore], Awaitable[None]]


def told(tmp_path: Path, story: Story, *, tested: bool = True) -> None:
    """Run a story with a switch that is off, its loop running."""

    async def whole() -> None:
        clock: SteadyClock = VirtualClock()
        store = MemoryStore(clock=clock)
        switch = KillSwitch(store, clock, tmp_path / "STOP")
        if tested:
            assert await switch.selftest("me") == ""
            await switch.look()
            assert switch.stopped() == ""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(switch.run("me"))
            await story(switch, store)
            running.cancel()

    virtually(whole())


def test_before_the_self_test_and_the_first_look_nothing_may_be_done(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock=clock)
        switch = KillSwitch(store, clock, tmp_path / "STOP")
        assert "self-test" in switch.stopped()
        await switch.selftest("me")
        assert "not read yet" in switch.stopped()
        await switch.look()
        assert switch.stopped() == ""

    virtually(story())


def test_a_file_stops_at_once_and_stays_a_flag_when_it_is_gone(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        (tmp_path / "STOP").touch()
        assert "STOP is there" in switch.stopped("pg1", "postgresql.vacuum")
        await asyncio.sleep(2)
        (tmp_path / "STOP").unlink()
        await asyncio.sleep(10)
        assert "the stop file was there" in switch.stopped("pg1")
        stops = [record for record in store.journal if record.body.get("event") == "stop"]
        assert len(stops) == 1, "it is written once, not every second"
        assert stops[0].who == f"file:{tmp_path}/STOP"

    told(tmp_path, story)


def test_a_dangling_link_is_a_stop_file_too(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        (tmp_path / "STOP").symlink_to("nowhere")
        assert switch.stopped()

    told(tmp_path, story)


def test_a_flag_that_another_process_wrote_stops_within_five_seconds(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        flag = Stop(by="cli:ann", why="strange things")
        await store.stop(flag, stop_record(flag))
        async with asyncio.timeout(5):
            assert await switch.wait("pg1", "x") == "all actions stopped by cli:ann: strange things"

    told(tmp_path, story)


def test_a_signal_stops_before_the_store_knows_and_while_it_is_away(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        store.away = True
        switch.press("signal", "SIGUSR1")
        assert switch.stopped() == "all actions stopped by signal: SIGUSR1"
        await asyncio.sleep(30)
        assert not store.flags
        store.away = False
        await asyncio.sleep(2)
        assert [flag.by for flag in store.flags.values()] == ["signal"]
        switch.press("signal", "SIGUSR1")
        await asyncio.sleep(5)
        assert len([r for r in store.journal if r.body.get("event") == "stop"]) == 1

    told(tmp_path, story)


def test_it_stays_stopped_over_a_restart_until_somebody_takes_it_back(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        switch.press("signal", "SIGUSR1")
        await switch.look()
        again = KillSwitch(store, VirtualClock(), tmp_path / "STOP")
        await again.selftest("me2")
        await again.look()
        assert "signal" in again.stopped()
        record = Record(kind=RecordKind.RELEASE, body={"note": "all is well"}, who="ann")
        assert await store.resume(Stop(), record)
        await again.look()
        await switch.look()
        assert (again.stopped(), switch.stopped()) == ("", "")

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("flag", "stopped", "free"),
    [
        (Stop(target="pg1"), [("pg1", "a"), ("pg1", "b")], [("pg2", "a"), ("", "")]),
        (Stop(action="a"), [("pg1", "a"), ("pg2", "a")], [("pg1", "b")]),
        (Stop(target="pg1", action="a"), [("pg1", "a")], [("pg1", "b"), ("pg2", "a")]),
    ],
)
def test_a_flag_may_be_for_a_target_or_an_action(
    tmp_path: Path, flag: Stop, stopped: list[tuple[str, str]], free: list[tuple[str, str]]
) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        await store.stop(flag, stop_record(flag))
        await switch.look()
        assert all(switch.stopped(*each) for each in stopped)
        assert not any(switch.stopped(*each) for each in free)

    told(tmp_path, story)


def test_a_store_that_cannot_be_read_is_a_stop_after_a_few_seconds_and_passes_with_it(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        store.away = True
        await asyncio.sleep(KNOWN_SECONDS + 1)
        assert "cannot be read: the store is away" in switch.stopped()
        store.away = False
        await asyncio.sleep(2)
        assert switch.stopped() == ""

    told(tmp_path, story)


def test_after_a_pause_of_the_process_what_was_read_before_does_not_count(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        freeze(60)
        assert "cannot be read" in switch.stopped()
        await asyncio.sleep(2)
        assert switch.stopped() == ""

    told(tmp_path, story)


def test_a_store_that_hangs_is_a_stop(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        async def never() -> Any:
            await asyncio.sleep(10**6)

        object.__setattr__(switch, "_store", type("Hanging", (), {"stops": staticmethod(never)})())
        await asyncio.sleep(10)
        assert "no answer within 3 s" in switch.stopped()

    told(tmp_path, story)


def test_a_stop_file_that_cannot_be_looked_for_is_a_stop_while_that_lasts(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock=clock)
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        switch = KillSwitch(store, clock, loop / "STOP")
        await switch.selftest("me")
        await switch.look()
        assert "cannot be looked for" in switch.stopped()
        loop.unlink()
        assert switch.stopped() == ""
        assert not store.flags

    virtually(story())


def test_a_self_test_that_fails_keeps_everything_stopped_until_it_passes(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        def full(*_: Any) -> None:
            raise StoreUnavailable("disk is full")

        store.away = True
        await asyncio.sleep(5)
        assert "failed its self-test" in switch.stopped()
        store.away = False
        await asyncio.sleep(12)
        assert switch.stopped() == ""

    told(tmp_path, story, tested=False)


def test_a_self_test_leaves_no_flag(tmp_path: Path) -> None:
    async def story(switch: KillSwitch, store: MemoryStore) -> None:
        assert not store.flags
        assert [record.kind for record in store.journal] == [RecordKind.STOP, RecordKind.RELEASE]

    told(tmp_path, story)


def test_a_flag_without_effect_fails_the_self_test(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock=clock)

        async def deaf(_: Stop, __: Record) -> None:
            return None

        broken = type("Deaf", (), {"stop": staticmethod(deaf), "stops": store.stops, "resume": store.resume})
        switch = KillSwitch(broken(), clock, tmp_path / "STOP")
        assert "had no effect" in await switch.selftest("me")
        assert "had no effect" in switch.stopped()

    virtually(story())
