"""What happens to servers while the daemon runs: it goes on, says so once, and needs no restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.daemons import Daemon, NewDaemon, postgres_target
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.proxy import NewProxy
from tests.fixtures.servers import SETTINGS, NewPostgres, Servers
from tests.fixtures.waiting import until

REFUSED = "password authentication failed"


@pytest.fixture(scope="module")
async def server(servers: Servers, place: Place) -> AsyncIterator[ScratchPostgres]:
    async with ScratchPostgres(
        servers.binaries(15), place=place, name="trouble", settings=SETTINGS, initdb=("--auth-host=md5",)
    ) as made:
        for number in range(6):
            await made.psql(f"create database d{number}")
        yield made


async def test_a_dead_target_is_tried_less_and_less_and_said_once(
    server: ScratchPostgres, new_postgres: NewPostgres, proxy: NewProxy, daemon_process: NewDaemon
) -> None:
    victim = await new_postgres(15)
    wire = await proxy(victim)
    await victim.stop()
    daemon = await daemon_process(postgres_target(wire, "dead"), postgres_target(server, "well"))
    before = wire.accepted
    await asyncio.sleep(6)
    tried = wire.accepted - before
    lines = [event for event in daemon.events() if event.get("target") == "dead"]
    await victim.start()
    wire.server = victim
    await until(lambda: daemon.events("target.up") and _is_up(daemon, "dead"), 30)

    assert tried <= 8, "without waiting longer each time it would be 12"
    assert [event["event"] for event in lines] == ["target.down"]
    assert (await daemon.target("well"))["up"]


async def test_a_rotated_password_is_taken_without_a_restart_and_without_a_storm(
    server: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first")
    secret.chmod(0o600)
    await server.psql("create role rotated login password 'first'; grant pg_monitor to rotated")
    daemon = await daemon_process(
        postgres_target(server, user="rotated", password={"file": str(secret)}), servers=(server,)
    )
    await server.psql("alter role rotated password 'second'")
    await server.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotated'")
    await until(lambda: _cause(daemon, "db", "credentials"))
    secret.write_text("second\n")
    await until(lambda: _is_up(daemon, "db"), 70)
    message = daemon.events("target.down")[-1]["reason"]

    assert "28P01" in message
    assert "first" not in message
    assert _refusals(server, "rotated") <= 3


async def test_a_password_that_changed_is_not_tried_in_every_database(
    server: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    await server.psql("create role stale login password 'first'; grant pg_monitor to stale")
    await server.psql("alter role stale connection limit 10")
    daemon = await daemon_process(
        postgres_target(server, user="stale", password={"text": "first"}), servers=(server,)
    )
    await until(lambda: _visited(daemon))
    await server.psql("alter role stale password 'second'")
    await server.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where usename = 'stale' and datname <> 'postgres'"
    )
    await until(lambda: _refusals(server, "stale"))
    await asyncio.sleep(4)

    assert (await daemon.target("db"))["up"]
    assert _refusals(server, "stale") <= 3


async def test_a_role_that_loses_pg_monitor_gives_unknown_and_never_zero(
    server: ScratchPostgres, monitor_role: NewLogin, daemon_process: NewDaemon
) -> None:
    login = await monitor_role(server)
    daemon = await daemon_process(postgres_target(server, user=login.user, password={"text": login.password}))
    await until(lambda: daemon.values("pg_stat_activity_count"))
    await server.psql(f"revoke pg_monitor from {login.user}")
    await until(lambda: _absent(daemon, "pg_stat_activity_count"), 5)
    target = await daemon.target("db")
    reasons = {one["probe"]: one["reason"] for one in target["rejections"] if not one["what"]}
    await server.psql(f"grant pg_monitor to {login.user}")
    await until(lambda: daemon.values("pg_stat_activity_count"), 5)

    assert target["up"]
    assert "GRANT pg_monitor TO" in reasons["activity"]
    assert not [event for event in daemon.events() if event["event"] == "probe.broken"]


async def test_a_server_of_another_version_on_the_same_port_is_noticed(
    new_postgres: NewPostgres, daemon_process: NewDaemon
) -> None:
    old = await new_postgres(15, prepared=True)
    daemon = await daemon_process(postgres_target(old))
    await until(lambda: daemon.values("pg_stat_bgwriter_checkpoints_timed_total"))
    await old.stop()
    new = await new_postgres(18, port=old.port, prepared=True)
    await new.psql(f"alter role postgres password '{old.password}'")
    await until(lambda: _is_up(daemon, "db"), 70)
    await until(lambda: daemon.values("pg_stat_checkpointer_num_timed_total"))
    target = await daemon.target("db")

    assert target["version"].startswith("18")
    assert daemon.events("target.up")[-1]["version"].startswith("18")
    assert not await daemon.values("pg_stat_bgwriter_buffers_backend_total")


async def test_a_database_dropped_and_one_created_are_noticed(
    server: ScratchPostgres, fresh_database: NewDatabase, daemon_process: NewDaemon
) -> None:
    name = await fresh_database(server, template="template0")
    daemon = await daemon_process(postgres_target(server))
    await until(lambda: daemon.values("pg_stat_database_xact_commit", datname=name))
    await server.psql(f"drop database {name} with (force)")
    await until(lambda: _absent(daemon, "pg_stat_database_xact_commit", datname=name))

    async with connected(server) as other:
        assert await other.fetchval("select 1") == 1
    assert (await daemon.target("db"))["up"]


async def _is_up(daemon: Daemon, name: str) -> bool:
    return bool((await daemon.target(name))["up"])


async def _cause(daemon: Daemon, name: str, cause: str) -> bool:
    return (await daemon.target(name))["cause"] == cause


async def _absent(daemon: Daemon, metric: str, **labels: str) -> bool:
    return not await daemon.values(metric, **labels)


async def _visited(daemon: Daemon) -> bool:
    probes = (await daemon.target("db"))["probes"]
    return any(probe["name"] == "tables" and probe["runs"] for probe in probes)


def _refusals(server: ScratchPostgres, role: str) -> int:
    return server.log.read_text().count(f'{REFUSED} for user "{role}"')
