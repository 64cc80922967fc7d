"""A clock that jumps, or a process that stood still, means a while without actions."""

from __future__ import annotations

import asyncio
import time

import pytest

from daemon.acting.steady import SteadyClock, Tilt
from tests.fixtures.steady import VirtualClock
from tests.fixtures.virtual_time import freeze, virtually


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 10 * 365 * 86400.0, 2.5, -2.5])
def test_a_jump_of_the_wall_clock_is_noticed_by_whoever_asks_first(jump: float) -> None:
    """F19."""

    async def story() -> None:
        clock = VirtualClock()
        tilt = Tilt(clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(tilt.run())
            await asyncio.sleep(60)
            assert tilt.seconds() is None
            clock.jumped = jump
            assert tilt.seconds() == 0.0
            await asyncio.sleep(45)
            assert tilt.seconds() == 45.0
            running.cancel()

    virtually(story())


def test_a_pause_of_the_process_is_noticed() -> None:
    async def story() -> None:
        tilt = Tilt(VirtualClock())
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(tilt.run())
            await asyncio.sleep(10)
            freeze(5)
            assert tilt.seconds() == 0.0
            running.cancel()

    virtually(story())


def test_a_machine_that_slept_is_noticed() -> None:
    async def story() -> None:
        clock = VirtualClock()
        tilt = Tilt(clock)
        clock.slept = 30.0
        assert tilt.seconds() == 0.0

    virtually(story())


def test_a_clock_that_is_slewed_is_no_jump() -> None:
    async def story() -> None:
        clock = VirtualClock()
        tilt = Tilt(clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(tilt.run())
            for _ in range(100):
                clock.jumped += 0.01
                await asyncio.sleep(1)
            assert tilt.seconds() is None
            running.cancel()

    virtually(story())


def test_the_machine_has_such_clocks() -> None:
    clock = SteadyClock()
    assert abs(clock.now() - time.time()) < 60
    assert clock.monotonic() <= clock.monotonic()
    assert clock.awake() <= clock.awake()
