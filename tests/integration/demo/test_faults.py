"""Every fault breaks something on the real servers that SQL can see, and heals it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from actions.scratch.errors import NotInstalled
from actions.scratch.place import scratch_place
from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from daemon.demo import watching
from daemon.demo.breakage import Breakage
from daemon.demo.faults import FAULTS, CannotBreak
from daemon.demo.readings import FIGURES
from daemon.demo.servers import DATABASE, Servers, choose_binaries, shop_servers
from daemon.demo.steps import Steps
from daemon.demo.workload import UNAVAILABLE, run_workload, session
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until


@dataclass
class Shop:
    servers: Servers
    breakage: Breakage

    async def ask(self, sql: str, server: ScratchPostgres | None = None) -> str:
        return await (server or self.servers.primary).psql(sql, DATABASE)

    async def number(self, sql: str, server: ScratchPostgres | None = None) -> int:
        return int(await self.ask(sql, server) or 0)

    @contextlib.asynccontextmanager
    async def broken(self, name: str) -> AsyncIterator[str]:
        made = await self.breakage.make(name)
        try:
            yield made
        finally:
            await self.breakage.heal(name)
        assert self.breakage.broken == ()


@pytest.fixture(scope="module")
async def shop() -> AsyncIterator[Shop]:
    made: asyncio.Future[Shop] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    # One task enters and leaves everything: pytest would use two, which a task group does not allow.
    async def hold() -> None:
        try:
            async with (
                scratch_place() as place,
                shop_servers(
                    place, await choose_binaries(None), Steps(Console(file=io.StringIO()))
                ) as servers,
                asyncio.TaskGroup() as group,
            ):
                workload = group.create_task(run_workload(servers))
                breakage = Breakage(servers, group)
                made.set_result(Shop(servers, breakage))
                try:
                    await over.wait()
                finally:
                    breakage.let_go()
                    workload.cancel()
        except Exception as error:
            if made.done():
                raise
            made.set_exception(error)

    task = asyncio.create_task(hold())
    try:
        yield await made
    except NotInstalled:
        missing("an embedded PostgreSQL")
    over.set()
    await task


async def test_the_schema_loads_and_the_workload_sells(shop: Shop) -> None:
    orders = await shop.number("SELECT max(id) FROM orders")
    await until(lambda: _grown(shop, orders), deadline=10)
    assert await shop.number("SELECT count(*) FROM users") == 5000
    assert await shop.number("SELECT count(*) FROM ONLY users") == 0
    assert await shop.ask("SELECT count(*) > 0 FROM daily_sales") == "t"
    statements = await until(lambda: shop.number("SELECT count(*) FROM pg_stat_statements"))
    assert statements > 5


async def _grown(shop: Shop, orders: int) -> bool:
    return await shop.number("SELECT max(id) FROM orders") > orders + 10


async def test_the_servers_run_without_privileges_and_the_watcher_is_no_superuser(shop: Shop) -> None:
    uid = (shop.servers.place.path / "primary").stat().st_uid
    for server in (shop.servers.primary, shop.servers.replica):
        assert Path(f"/proc/{server.pid}").stat().st_uid == uid != 0
    assert await shop.ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'dbarchitect'") == "f"
    assert await shop.ask("SELECT pg_has_role('dbarchitect', 'pg_monitor', 'usage')") == "t"


async def test_the_replica_streams_by_its_slot(shop: Shop) -> None:
    sql = "SELECT active::int FROM pg_replication_slots WHERE slot_name = 'shop_replica'"
    assert await shop.number(sql) == 1


async def test_bloat_leaves_dead_rows_that_autovacuum_may_not_clear(shop: Shop) -> None:
    dead = "SELECT pg_stat_get_dead_tuples('order_items'::regclass)"
    options = "SELECT reloptions FROM pg_class WHERE oid = 'order_items'::regclass"
    size = "SELECT pg_table_size('order_items')"
    before = await shop.number(size)
    async with shop.broken("bloat"):
        assert await shop.ask(options) == "{autovacuum_enabled=off}"
        await until(lambda: _more(shop, dead, 30_000))
        swollen = await shop.number(size)
        assert swollen > 1.5 * before
    assert await shop.ask(options) == ""
    assert await shop.number(size) < 0.7 * swollen


async def _more(shop: Shop, sql: str, than: int) -> bool:
    return await shop.number(sql) > than


async def test_a_lock_pile_up_blocks_the_shop_and_heals(shop: Shop) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
    async with shop.broken("lock-pile-up"):
        await until(lambda: _more(shop, waiting, 6))
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'orders'::regclass"
        assert await shop.number(held) == 1
    await until(lambda: _none(shop, waiting))


async def _none(shop: Shop, sql: str) -> bool:
    return await shop.number(sql) == 0


async def test_idle_transactions_hold_a_snapshot(shop: Shop) -> None:
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL "
        "AND application_name LIKE 'demo-forgotten%'"
    )
    async with shop.broken("idle-in-transaction"):
        assert await shop.number(idle) == 3
    await until(lambda: _none(shop, idle))


async def test_lag_pauses_replay_until_healed(shop: Shop) -> None:
    replica = shop.servers.replica
    state = "SELECT pg_get_wal_replay_pause_state()"
    async with shop.broken("lag"):
        await until(lambda: _says(shop, state, "paused"))
        seen = await shop.number("SELECT max(id) FROM orders", replica)
        await until(lambda: _grown(shop, seen))
        assert await shop.number("SELECT max(id) FROM orders", replica) == seen
    assert await shop.ask(state, replica) == "not paused"
    await until(lambda: _caught_up(shop, seen))


async def _says(shop: Shop, sql: str, what: str) -> bool:
    return await shop.ask(sql, shop.servers.replica) == what


async def _caught_up(shop: Shop, seen: int) -> bool:
    return await shop.number("SELECT max(id) FROM orders", shop.servers.replica) > seen


async def test_a_missing_index_means_sequential_scans(shop: Shop) -> None:
    exists = "SELECT count(*) FROM pg_indexes WHERE indexname = 'idx_order_items_order_id'"
    scans = "SELECT pg_stat_get_numscans('order_items'::regclass)"
    async with shop.broken("missing-index"):
        assert await shop.number(exists) == 0
        before = await shop.number(scans)
        await until(lambda: _more(shop, scans, before + 5))
    assert await shop.number(exists) == 1


async def test_a_connection_flood_leaves_hardly_any_connection(shop: Shop) -> None:
    used = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    async with shop.broken("connection-flood"):
        # Of 60 three are reserved, three are left free, and the workload may be reconnecting.
        assert await shop.number(used) >= 50
    await until(lambda: _fewer(shop, used, 20))


async def _fewer(shop: Shop, sql: str, than: int) -> bool:
    return await shop.number(sql) < than


async def test_a_killed_replica_comes_back(shop: Shop) -> None:
    active = "SELECT active::int FROM pg_replication_slots"
    async with shop.broken("replica-down"):
        assert not shop.servers.replica.running
        await until(lambda: _none(shop, active))
        with pytest.raises(CannotBreak, match="replica is down"):
            await shop.breakage.make("lag")
    assert shop.servers.replica.running
    await until(lambda: _more(shop, active, 0))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs")
async def test_a_small_disk_is_nearly_full_and_gone_afterwards(shop: Shop) -> None:
    try:
        async with shop.broken("disk-full"):
            (mounted,) = _mounts(shop)
            usage = shutil.disk_usage(mounted)
            assert usage.used / usage.total > 0.9
            assert await shop.number("SELECT pg_tablespace_size('archive')") > 40 * 2**20
    except CannotBreak as error:
        pytest.skip(str(error))
    assert _mounts(shop) == []
    assert await shop.number("SELECT count(*) FROM pg_tablespace WHERE spcname = 'archive'") == 0


def _mounts(shop: Shop) -> list[str]:
    # Of this demo alone: another may run on the machine.
    lines = Path("/proc/self/mounts").read_text().splitlines()
    mounted = [line.split()[1] for line in lines if line.startswith("dbarchitect-demo")]
    return [path for path in mounted if path.startswith(f"{shop.servers.place.path}/")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may mount a tmpfs")
async def test_a_small_disk_needs_root(shop: Shop) -> None:
    with pytest.raises(CannotBreak, match="only root"):
        await shop.breakage.make("disk-full")


async def test_a_slow_query_runs_until_healed(shop: Shop) -> None:
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'demo-report' AND state = 'active'"
    )
    async with shop.broken("slow-query"):
        await until(lambda: _more(shop, running, 0))
    await until(lambda: _none(shop, running))


async def test_deadlocks_are_counted_by_the_server(shop: Shop) -> None:
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'"
    before = await shop.number(deadlocks)
    async with shop.broken("deadlock"):
        await until(lambda: _more(shop, deadlocks, before))


async def test_a_fault_heals_by_itself_after_its_time(shop: Shop) -> None:
    await shop.breakage.make("lag", seconds=0.5)
    assert [one.fault.name for one in shop.breakage.broken] == ["lag"]
    await until(lambda: shop.breakage.broken == ())
    assert await shop.ask("SELECT pg_is_wal_replay_paused()", shop.servers.replica) == "f"


async def test_what_is_broken_is_not_broken_twice_and_what_is_whole_is_not_healed(shop: Shop) -> None:
    async with shop.broken("slow-query"):
        with pytest.raises(CannotBreak, match="broken already"):
            await shop.breakage.make("slow-query")
    with pytest.raises(CannotBreak, match="not broken"):
        await shop.breakage.heal("slow-query")


async def test_a_demo_that_ends_makes_nothing_more_and_says_so_to_who_waits(shop: Shop) -> None:
    async with asyncio.TaskGroup() as group:
        breakage = Breakage(shop.servers, group)
        making = asyncio.create_task(breakage.make("lag"))
        await asyncio.sleep(0)
        breakage.let_go()
        with pytest.raises(CannotBreak, match="demo is ending"):
            await making
        with pytest.raises(CannotBreak, match="demo is ending"):
            await breakage.make("slow-query")


async def test_a_daemon_that_was_quicker_at_the_port_is_not_taken_for_ours(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "room").mkdir(parents=True)
    (tmp_path / "b" / "room").mkdir(parents=True)
    async with watching.watching(shop.servers, tmp_path / "a" / "room", free_port()) as (taken, quicker):
        look = watching.free_from
        looks = iter([taken])  # the second looks before the first listens, and listens after it
        monkeypatch.setattr(watching, "free_from", lambda first: next(looks, None) or look(first))
        async with watching.watching(shop.servers, tmp_path / "b" / "room", taken) as (port, ours):
            assert port != taken
            assert ours.listens(port)
            assert quicker.listens(taken)


async def test_a_session_ended_at_any_moment_is_one_that_the_shop_opens_anew(shop: Shop) -> None:
    dsn = shop.servers.shop_dsn(shop.servers.replica)
    seen = set()
    for turns in range(6):
        with pytest.raises(UNAVAILABLE) as ended:
            await _ended(dsn, turns)
        seen.add(ended.type)
    assert len(seen) > 1


async def _ended(dsn: str, turns: int) -> None:
    """Let so many turns of the loop pass between the server's last words and our next statement."""
    async with session(dsn, "shop-ended") as connection:
        await connection.fetch("SELECT 1")
        _end(connection.get_server_pid())
        for _ in range(turns):
            await asyncio.sleep(0)
        await connection.fetch("SELECT 1")


def _end(backend: int) -> None:
    # The loop stands still meanwhile: what the server says is read only afterwards, piece by piece.
    os.kill(backend, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while Path(f"/proc/{backend}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_sign_of_a_fault_is_a_figure() -> None:
    for fault in FAULTS.values():
        assert fault.signs
        for sign in fault.signs:
            assert sign.reading in FIGURES
            assert sign.target in ("shop-primary", "shop-replica", "host")
