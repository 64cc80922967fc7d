"""The servers that all other tests stand on."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from actions.scratch.errors import NotInstalled
from actions.scratch.postgres import ScratchPostgres
from actions.scratch.prometheus import promtool
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.missing import missing
from tests.fixtures.proxy import NewProxy
from tests.fixtures.servers import NewPgbouncer, NewPrometheus, Pair
from tests.fixtures.waiting import until


async def test_every_version_runs_with_statement_statistics(any_postgres: ScratchPostgres) -> None:
    async with connected(any_postgres) as session:
        assert await session.fetchval("SELECT count(*) FROM pg_stat_statements") > 0
        assert await session.fetchval("SHOW track_io_timing") == "on"
        assert await session.fetchval("SHOW wal_level") == "logical"
        major = await session.fetchval("SELECT current_setting('server_version_num')::int / 10000")
    assert major == any_postgres.binaries.major


async def test_a_pair_streams(postgres_pair: Pair) -> None:
    primary, replica = postgres_pair
    await primary.psql("CREATE TABLE pair_streams AS SELECT 1 AS one")
    await until(lambda: replica.psql("SELECT 1 WHERE to_regclass('pair_streams') IS NOT NULL"))
    assert await replica.psql("SELECT pg_is_in_recovery()") == "t"
    assert await primary.psql("SELECT active FROM pg_replication_slots WHERE slot_name = 'replica'") == "t"
    await primary.psql("DROP TABLE pair_streams")


async def test_a_fresh_database_has_the_extension_and_can_do_without(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    with_it = await fresh_database(postgres15)
    without = await fresh_database(postgres15, template="template0")
    count = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'"
    assert await postgres15.psql(count, with_it) == "1"
    assert await postgres15.psql(count, without) == "0"


async def test_roles_have_what_their_names_say(
    postgres15: ScratchPostgres, monitor_role: NewLogin, bare_role: NewLogin
) -> None:
    seen = "SELECT pg_has_role('pg_monitor', 'MEMBER'), rolsuper FROM pg_roles WHERE rolname = current_user"
    for make, monitors in ((monitor_role, True), (bare_role, False)):
        login = await make(postgres15)
        async with connected(postgres15, user=login.user, password=login.password) as session:
            assert tuple(await session.fetchrow(seen)) == (monitors, False)


async def test_a_wrong_password_is_refused_over_tcp(postgres15: ScratchPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with connected(postgres15, password="not it"):
            pass


async def test_the_pool_forwards_and_has_a_console(
    postgres15: ScratchPostgres, pgbouncer: NewPgbouncer, monitor_role: NewLogin
) -> None:
    login = await monitor_role(postgres15)
    pool = await pgbouncer(postgres15, users={login.user: login.password})
    async with connected(pool, user=login.user, password=login.password) as session:
        assert await session.fetchval("SELECT current_user") == login.user
    # The console knows the simple protocol alone, which psql speaks.
    shown = await postgres15._run("psql", "-XqAt", "-d", pool.dsn("pgbouncer"), "-c", "SHOW POOLS")
    assert f"postgres|{login.user}|" in shown


async def test_prometheus_scrapes_and_answers(prometheus: NewPrometheus) -> None:
    server = await prometheus()
    assert await server.query("vector(7)") == [({}, 7.0)]
    scraping = await prometheus(f"{server.url}/metrics", interval=0.5)
    await scraping.scraped()
    assert await scraping.query("up") == [
        ({"__name__": "up", "instance": f"{server.url}/metrics", "job": "job0"}, 1.0)
    ]


async def test_the_proxy_forwards(postgres15: ScratchPostgres, proxy: NewProxy) -> None:
    wire = await proxy(postgres15)
    async with connected(wire) as session:
        assert len(await session.fetch("SELECT repeat('x', 1000) FROM generate_series(1, 5000)")) == 5000
    assert wire.accepted == 1
    await until(lambda: wire.open == 0)


async def test_the_proxy_cuts_what_is_open_and_nothing_else(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    async with connected(wire) as session:
        await wire.cut()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
            await session.fetchval("SELECT 1")
    async with connected(wire) as session:
        assert await session.fetchval("SELECT 1") == 1


async def test_the_proxy_refuses_as_a_host_without_a_server_does(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    wire = await proxy(postgres15)
    await wire.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(wire.host, wire.port)
    await wire.listen()
    async with connected(wire) as session:
        assert await session.fetchval("SELECT 1") == 1


async def test_the_proxy_stalls_until_it_is_healed(postgres15: ScratchPostgres, proxy: NewProxy) -> None:
    wire = await proxy(postgres15)
    async with connected(wire) as session:
        wire.stall()
        with pytest.raises(TimeoutError):
            await session.fetchval("SELECT 1", timeout=0.3)
    with pytest.raises(TimeoutError):
        await asyncpg.connect(wire.dsn(), timeout=0.3)
    wire.heal()
    async with connected(wire) as session:
        assert await session.fetchval("SELECT 1") == 1


async def test_the_proxy_delays_answers(postgres15: ScratchPostgres, proxy: NewProxy) -> None:
    wire = await proxy(postgres15)
    async with connected(wire) as session:
        await session.fetchval("SELECT 1")
        wire.delay(0.2)
        before = time.monotonic()
        await session.fetchval("SELECT 1")
        assert time.monotonic() - before >= 0.2


async def test_the_proxy_drops_in_mid_answer(postgres15: ScratchPostgres, proxy: NewProxy) -> None:
    wire = await proxy(postgres15)
    async with connected(wire) as session:
        wire.drop_after(20_000)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
            await session.fetch("SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    async with connected(wire) as session:
        assert await session.fetchval("SELECT 1") == 1


async def test_promtool_has_nothing_to_say_about_a_good_exposition_and_names_what_is_bad() -> None:
    try:
        assert await promtool("# HELP a_total Things done.\n# TYPE a_total counter\na_total 1\n") == ""
    except NotInstalled:
        missing("promtool")
    assert "no help text" in await promtool("a_total 1\n")
    assert "code " in await promtool("this is no exposition at all {\n")


async def test_a_pool_dies_freezes_and_comes_back(
    postgres15: ScratchPostgres, pgbouncer: NewPgbouncer
) -> None:
    pool = await pgbouncer(postgres15, pool_mode="session")
    pool.pause()
    with pytest.raises(TimeoutError):
        await asyncpg.connect(pool.dsn(), timeout=0.3)
    pool.resume()
    async with connected(pool) as session:
        assert await session.fetchval("SELECT 1") == 1
    await pool.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(pool.host, pool.port)
    await pool.start()
    async with connected(pool) as session:
        assert await session.fetchval("SELECT 1") == 1
