"""The daemon's life as a process: it starts, serves, reloads, and ends as asked, leaving nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.daemons import NewDaemon, our_sessions, postgres_target, run_command
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.proxy import NewProxy
from tests.fixtures.waiting import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_well_within_seconds_and_no_session_is_left(
    postgres15: ScratchPostgres,
    fresh_database: NewDatabase,
    daemon_process: NewDaemon,
    number: signal.Signals,
) -> None:
    await fresh_database(postgres15)
    daemon = await daemon_process(postgres_target(postgres15))
    await until(lambda: daemon.values("pg_stat_database_xact_commit"))
    sessions = await our_sessions(postgres15)
    code, took = await daemon.end(number)

    assert 1 <= sessions <= 3
    assert code == 0
    assert took < 5
    said = [event["event"] for event in daemon.events() if event["event"].startswith("daemon.")]
    assert said[-2:] == ["daemon.stopping", "daemon.stopped"]
    assert await our_sessions(postgres15) == 0


async def test_targets_that_hang_do_not_keep_it_from_ending(
    postgres15: ScratchPostgres, proxy: NewProxy, daemon_process: NewDaemon
) -> None:
    wire, later = await proxy(postgres15), await proxy(postgres15)
    wire.stall()
    daemon = await daemon_process(
        postgres_target(wire, "never", deadline="30s"), postgres_target(later, "later", deadline="30s"),
        ready=False,
    )  # fmt: skip
    await until(lambda: wire.open and later.open)
    await until(lambda: daemon.values("pg_up", target="later"))
    later.stall()
    code, took = await daemon.end()

    assert code == 0
    assert took < 15


async def test_a_second_signal_ends_it_at_once(
    postgres15: ScratchPostgres, proxy: NewProxy, daemon_process: NewDaemon
) -> None:
    wire = await proxy(postgres15)
    daemon = await daemon_process(postgres_target(wire, deadline="30s"))
    wire.stall()
    daemon.send(signal.SIGTERM)
    await until(lambda: daemon.events("daemon.stopping"))
    code, took = await daemon.end()

    assert code == 130
    assert took < 1
    assert daemon.events("daemon.stopping_at_once")


async def test_a_port_that_is_taken_is_named_in_one_sentence(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = await daemon_process(postgres_target(postgres15), ready=False, daemon={"listen": address})
        assert daemon.process is not None
        code = await daemon.process.wait()

    reasons = [event["reason"] for event in daemon.events()]
    assert code == 69
    assert len(reasons) == 1
    assert f"cannot listen at {address}: the port is taken" in reasons[0]
    assert "\n" not in reasons[0]


async def test_a_second_daemon_on_one_state_directory_is_told_who_has_it(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    first = await daemon_process(postgres_target(postgres15))
    second = await daemon_process(
        postgres_target(postgres15), ready=False, daemon={"state_dir": str(first.state_dir)}
    )
    assert second.process is not None
    code = await second.process.wait()

    assert code == 73
    [event] = second.events()
    assert f"another daemon (pid {first.pid}) works here" in event["reason"]
    assert str(first.state_dir) in event["reason"]


async def test_a_killed_daemon_leaves_its_state_directory_to_the_next(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    first = await daemon_process(postgres_target(postgres15))
    await first.end(signal.SIGKILL)
    second = await daemon_process(postgres_target(postgres15), daemon={"state_dir": str(first.state_dir)})

    assert await second.value("pg_up", target="db") == 1


async def test_a_state_directory_that_cannot_be_is_named(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "state")
    daemon = await daemon_process(postgres_target(postgres15), ready=False, daemon={"state_dir": path})
    assert daemon.process is not None
    code = await daemon.process.wait()

    assert code == 73
    [event] = daemon.events()
    assert path in event["reason"]
    assert "set daemon.state_dir" in event["reason"]


async def test_all_mistakes_of_a_configuration_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "defaults: {interval: 10}\n"
        "targets:\n"
        "  - {name: a, engine: postgresq}\n"
        "  - {name: b, engine: postgresql, prot: 5432}\n"
    )
    code, _, errors = await run_command("run", str(path))

    assert code == 78
    for line in (1, 3, 4):
        assert f"{path}:{line}:" in errors
    assert "write 10s" in errors
    assert "postgresql" in errors
    assert "port" in errors
    assert "3 mistakes; nothing was started" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("argv", [("rnu",), ("run", "--fast", "x.yaml")])
async def test_what_it_does_not_know_ends_with_two(argv: tuple[str, ...]) -> None:
    code, _, errors = await run_command(*argv)

    assert code == 2
    assert "Usage" in errors
    assert "Traceback" not in errors


async def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, _, errors = await run_command("run", str(tmp_path / "none.yaml"))

    assert code == 78
    assert str(tmp_path / "none.yaml") in errors
    assert "Traceback" not in errors


async def test_a_thousand_scrapes_ten_at_a_time_cost_the_server_no_session(
    postgres15: ScratchPostgres,
    fresh_database: NewDatabase,
    monitor_role: NewLogin,
    daemon_process: NewDaemon,
) -> None:
    for _ in range(3):
        await fresh_database(postgres15)
    login = await monitor_role(postgres15)
    daemon = await daemon_process(
        postgres_target(postgres15, user=login.user, password={"text": login.password}, interval="2s")
    )
    took: list[float] = []
    most = 0

    async def scrape(client: aiohttp.ClientSession, number: int) -> None:
        for _ in range(number):
            began = time.monotonic()
            async with client.get(f"{daemon.url}/metrics") as seen:
                assert b"pg_up" in await seen.read()
            took.append(time.monotonic() - began)

    async with (
        aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as client,
        asyncio.TaskGroup() as scrapers,
    ):
        tasks = [scrapers.create_task(scrape(client, 100)) for _ in range(10)]
        while not all(task.done() for task in tasks):
            most = max(most, await our_sessions(postgres15, login.user))
            await asyncio.sleep(0.2)

    print(f"p99 of {len(took)} scrapes: {sorted(took)[989] * 1000:.1f} ms; at most {most} sessions")
    assert len(took) == 1000
    assert most <= 3


async def test_descriptors_that_run_out_are_the_trouble_of_some_targets_and_not_the_end(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    targets = [
        postgres_target(postgres15, f"db{number:02}", sessions_max=1, interval="1s") for number in range(50)
    ]
    daemon = await daemon_process(*targets, prefix=("prlimit", "--nofile=40:64"), ready=False)
    await until(lambda: len(daemon.events("target.down")) + len(daemon.events("target.up")) >= 50, 30)
    down = daemon.events("target.down")
    up = daemon.events("target.up")

    assert up
    assert down
    assert all("open files" in event["reason"] for event in down), down
    os.kill(daemon.pid, 0)
