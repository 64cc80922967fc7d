"""The demo from its start to its end: servers, workload, daemon, faults, and nothing left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from actions.scratch.place import Place, scratch_place
from actions.scratch.process import ServerProcess
from daemon.demo.breakage import Breakage
from daemon.demo.control import controlled
from daemon.demo.hints import hints
from daemon.demo.running import ROOM, Running
from daemon.demo.servers import choose_binaries, shop_servers
from daemon.demo.show import Show
from daemon.demo.steps import Steps
from daemon.demo.stop import Stop
from daemon.demo.watching import watching
from daemon.demo.workload import run_workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for."""

    seconds: float | None
    """How long to run once everything is up; None until Ctrl-C."""
    bindir: Path | None
    port: int
    """The daemon listens here, or on the next free port."""
    directory: Path | None
    """Where the demo makes its own directory."""


async def play(wishes: Wishes, console: Console) -> int:
    """Run the demo and return the exit code; raises `ScratchError` when something does not start.

    0 after its time, and after Ctrl-C (or SIGTERM) while it runs; 128 + the signal when it was stopped
    before everything was up; 1 when the daemon has died.
    """
    stop = Stop()
    code = 0
    with stop.on_signals():
        async with _stage(wishes, console) as (running, breakage, process):
            stop.ready = True
            console.print(hints(running, wishes.directory), soft_wrap=True, highlight=False)
            code = await Show(console, running, breakage, process).until_over(wishes.seconds)
            stop.deaf = True
    return stop.code if stop.number else code


@contextlib.asynccontextmanager
async def _stage(wishes: Wishes, console: Console) -> AsyncIterator[tuple[Running, Breakage, ServerProcess]]:
    steps = Steps(console)
    began = time.monotonic()
    binaries = await choose_binaries(wishes.bindir)
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(scratch_place(wishes.directory))
        room = await asyncio.to_thread(_room_of_our_own, place)
        servers = await stack.enter_async_context(shop_servers(place, binaries, steps))
        with steps.step("daemon") as done:
            port, process = await stack.enter_async_context(watching(servers, room, wishes.port))
            done(f"watches both, on port {port}" + _why(port, wishes.port))
        running = Running(
            directory=str(place.path), port=port, pid=os.getpid(),
            primary_port=servers.primary.port, replica_port=servers.replica.port,
        )  # fmt: skip
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(group.create_task(run_workload(servers)).cancel)
        breakage = Breakage(servers, group)
        stack.callback(breakage.let_go)
        await stack.enter_async_context(controlled(room, running, breakage))
        console.print(f"  ready after {time.monotonic() - began:.1f} s", highlight=False)
        yield running, breakage, process


def _room_of_our_own(place: Place) -> Path:
    # Not the servers' user: in here are the daemon's password and the socket that takes orders.
    room = place.path / ROOM
    room.mkdir(mode=0o700)
    return room


def _why(port: int, wished: int) -> str:
    return "" if port == wished else f" ({wished} is taken)"
