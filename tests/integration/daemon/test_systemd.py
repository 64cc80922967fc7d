"""What systemd hears from us over a real socket, and what its own tools say of the unit file."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.model import Target, Up
from daemon import lane
from daemon.notify import SystemdNotifier
from daemon.supervise import oversee
from tests.fixtures.daemons import ROOT, NewDaemon, postgres_target
from tests.fixtures.fleets import Toy, running, toy, toy_engine
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until

UNIT = ROOT / "systemd" / "database-architect.service"


class Listener:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        while True:
            try:
                self.heard += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "notify")
    yield made
    made.close()


async def test_it_tells_when_it_is_ready_lives_reloads_and_stops(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, listener: Listener
) -> None:
    daemon = await daemon_process(
        postgres_target(postgres15),
        env={"NOTIFY_SOCKET": str(listener.path), "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": ""},
    )
    await until(lambda: listener.lines().count("WATCHDOG=1") >= 2)
    first = list(listener.lines())
    listener.heard.clear()
    asked_at = time.monotonic_ns() // 1000
    await daemon.reload()
    await until(lambda: "READY=1" in listener.lines())
    reloaded = [line for line in listener.lines() if line != "WATCHDOG=1"]
    listener.heard.clear()
    await daemon.end()
    last = listener.lines()

    assert first[:2] == ["READY=1", "STATUS=watching 1 targets"]
    assert reloaded[0] == "RELOADING=1"
    assert reloaded[1].startswith("MONOTONIC_USEC=")
    assert int(reloaded[1].removeprefix("MONOTONIC_USEC=")) >= asked_at
    assert reloaded[2:] == ["READY=1", "STATUS=watching 1 targets"]
    assert "STOPPING=1" in last


async def test_a_start_that_fails_never_says_that_it_is_ready(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, listener: Listener
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon = await daemon_process(
            postgres_target(postgres15),
            ready=False,
            daemon={"listen": f"127.0.0.1:{taken.getsockname()[1]}"},
            env={"NOTIFY_SOCKET": str(listener.path)},
        )
        assert daemon.process is not None
        await daemon.process.wait()

    assert listener.lines() == []


async def test_a_listener_that_is_gone_or_full_stops_nothing(tmp_path: Path, listener: Listener) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("well")
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(listener.path)})
    began = time.monotonic()
    for _ in range(10_000):
        notifier.alive()

    assert time.monotonic() - began < 5
    assert "WATCHDOG=1" in listener.lines()


async def test_the_watchdog_hears_nothing_while_most_targets_are_late(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setattr(lane, "GRACE_SECONDS", 0.1)
    hanging = True

    class Deaf(Toy):
        """Ignores its deadline, again and again, also when its lane is replaced."""

        async def up(self) -> Up:
            while hanging and self.target.name != "well":
                try:
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError:
                    if self.closed:
                        raise
            return await super().up()

    def short(name: str) -> Target:
        one = toy(name, interval_seconds=0.2)
        return Target(
            name=one.name, engine=one.engine, options=one.options, interval_seconds=0.2, deadline_seconds=0.2
        )

    async with running(toy_engine(Deaf)) as under_way:
        await under_way.fleet.become([short("well"), short("a"), short("b")], {})
        notifier = SystemdNotifier({"NOTIFY_SOCKET": str(listener.path)})
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(oversee(under_way.fleet, notifier, lambda _: None))
            await asyncio.sleep(2.5)
            listener.lines()
            listener.heard.clear()
            late = await until(lambda: len(under_way.fleet.late()) == 2)
            await asyncio.sleep(2.5)
            silence = list(listener.lines())
            hanging = False
            await until(lambda: "WATCHDOG=1" in listener.lines())
            watching.cancel()

    assert late
    assert silence == []


async def test_systemd_finds_nothing_wrong_with_the_unit_but_that_it_is_not_installed(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze") or missing("systemd-analyze")
    code, said = await _run(tool, "security", "--offline=true", "--threshold=15", str(UNIT))
    assert code == 0, said
    # The binary is not where an installation has it: put one there for the check alone.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/dbarchitect/bin/dbarchitect", "/bin/true"))
    code, said = await _run(tool, "verify", "--man=no", str(unit))
    ours = [line for line in said.splitlines() if UNIT.name in line]

    assert ours == []


async def _run(*argv: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()
