"""Replicas that lag, are paused, cut off or gone - and one that is idle, which is no lag."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg

from tests.fixtures.clients import connected
from tests.fixtures.courts import Court, Watched
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.replicating import altered, level, stopped, streams, write_wal
from tests.fixtures.servers import Pair
from tests.fixtures.waiting import until

LAG = "pg_replication_lag_seconds"


async def watch_both(court: Court, flock: Pair) -> tuple[Watched, Watched]:
    """Watch a primary and its replica, level, and see nothing wrong."""
    await streams(*flock)
    first, second = court.watch(flock[0], "pg1"), court.watch(flock[1], "pg2")
    await court.look()
    court.hold(2)
    assert court.names() == set()
    return first, second


async def test_an_idle_primary_is_no_lag(court: Court, flock: Pair) -> None:
    await flock[0].psql("create table last_words (id int)")
    _, replica = await watch_both(court, flock)
    replica.age("pg_replication_last_replay_seconds")
    court.hold(90)
    assert court.names() == set()


@caused("PostgresqlReplayPaused", "PostgresqlReplicationLagBytes")
@replayed("PostgresqlReplicationLag", "PostgresqlReplicationLagCritical")
async def test_paused_replay_is_named_and_slow_replay_is_lag_in_time_and_bytes(
    court: Court, flock: Pair
) -> None:
    primary, replica = flock
    _, watched = await watch_both(court, flock)
    await replica.psql("select pg_wal_replay_pause()")
    await write_wal(primary, 110)
    await until(lambda: received(flock))
    await watched.look()
    assert watched.value("pg_replication_lag_bytes") > 104_857_600
    watched.age(LAG)
    court.hold(6)
    assert court.told("PostgresqlReplayPaused") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlReplayPaused"}
    async with stopped(replica, "startup"):
        await replica.psql("select pg_wal_replay_resume()")
        await watched.look()
        court.hold(2)
        assert court.told("PostgresqlReplicationLag") == [watched.labels(severity="warning")]
        assert court.names() == {"PostgresqlReplicationLag"}
        court.hold(5)
    assert court.told("PostgresqlReplicationLagCritical") == [watched.labels(severity="critical")]
    assert court.told("PostgresqlReplicationLagBytes") == [watched.labels(severity="warning")]
    assert court.names() == {
        "PostgresqlReplicationLag",
        "PostgresqlReplicationLagCritical",
        "PostgresqlReplicationLagBytes",
    }
    await level(*flock)
    watched.rest()
    await watched.look()
    court.hold(1)
    assert court.names() == set()


async def received(flock: Pair) -> str:
    lsn = await flock[0].psql("select pg_current_wal_lsn()")
    return await flock[1].psql(f"select 1 where pg_last_wal_receive_lsn() >= '{lsn}'")


@caused("PostgresqlReceiverBehind")
async def test_a_frozen_receiver_is_behind_at_its_primary(court: Court, flock: Pair) -> None:
    primary, replica = flock
    watched, _ = await watch_both(court, flock)
    async with stopped(replica, "walreceiver"):
        await write_wal(primary, 110)
        await watched.look()
        address = {"application_name": "flock-r", "client_addr": "127.0.0.1", "slot_name": "replica"}
        court.hold(6)
        assert court.told("PostgresqlReceiverBehind") == [watched.labels(severity="warning", **address)]
    assert court.names() == {"PostgresqlReceiverBehind"}
    await level(*flock)
    await watched.look()
    court.hold(1)
    assert court.names() == set()


@caused("PostgresqlReplicaNotStreaming", "PostgresqlNoPrimary")
async def test_a_killed_primary_leaves_a_cluster_without_one_and_its_replicas_lag_unknown(
    court: Court, flock: Pair
) -> None:
    primary, replica = flock
    _, watched = await watch_both(court, flock)
    await primary.kill()
    await until(lambda: replica.psql("select not exists (select from pg_stat_wal_receiver) or null"))
    await court.look()
    watched.age(LAG)
    court.hold(10)
    assert court.told("PostgresqlReplicaNotStreaming") == [watched.labels(severity="warning")]
    assert court.told("PostgresqlNoPrimary") == [{"cluster": "shop", "severity": "critical"}]
    assert court.names() == {"PostgresqlReplicaNotStreaming", "PostgresqlNoPrimary", "PostgresqlDown"}
    await primary.start()
    await streams(*flock)
    watched.rest()
    await court.look()
    court.hold(1)
    assert court.names() == {"PostgresqlRestarted"}


@replayed("PostgresqlReplicaFarBehind")
async def test_a_replica_that_is_cut_off_is_measured_by_its_primary(court: Court, flock: Pair) -> None:
    _, replica = flock
    first, second = await watch_both(court, flock)
    conninfo = await replica.psql("show primary_conninfo")
    async with altered(replica, primary_conninfo=conninfo.replace("port=", "port=1 options=-cx=")):
        await until(lambda: replica.psql("select not exists (select from pg_stat_wal_receiver) or null"))
        await court.look()
    first.move("pg_xlog_location_bytes", by=1.1 * 2**30)
    court.hold(6)
    assert court.told("PostgresqlReplicaFarBehind") == [second.labels(severity="warning")]
    assert "PostgresqlReplicationLag" not in court.names()


@caused("PostgresqlReplicationStateUnknown")
async def test_a_replica_that_is_told_to_stream_from_nobody_is_of_unknown_lag(
    court: Court, flock: Pair
) -> None:
    _, replica = flock
    _, watched = await watch_both(court, flock)
    async with altered(replica, primary_conninfo=""):
        await until(lambda: replica.psql("select not exists (select from pg_stat_wal_receiver) or null"))
        await watched.look()
    court.hold(31)
    assert court.told("PostgresqlReplicationStateUnknown") == [
        watched.labels(severity="info", state="unknown")
    ]
    assert court.names() == {"PostgresqlReplicationStateUnknown"}


@caused("PostgresqlReceiverLost", "PostgresqlSlotInactive")
async def test_a_stopped_replica_is_missed_by_its_primary(court: Court, flock: Pair) -> None:
    _, replica = flock
    watched, gone = await watch_both(court, flock)
    await court.forget(gone)
    court.hold(25)
    await replica.stop()
    await watched.look()
    court.hold(6)
    assert court.told("PostgresqlReceiverLost") == [watched.labels(severity="warning")]
    assert court.names() - {"PostgresqlTargetVanished"} == {"PostgresqlReceiverLost"}
    court.hold(6)
    slot = {"slot_name": "replica", "slot_type": "physical"}
    assert court.told("PostgresqlSlotInactive") == [watched.labels(severity="warning", **slot)]


@caused("PostgresqlSyncStandbyLost")
@replayed("PostgresqlCommitsWaitForStandby")
async def test_commits_wait_when_the_synchronous_standby_is_gone(court: Court, flock: Pair) -> None:
    primary, replica = flock
    async with altered(primary, synchronous_standby_names="*"):
        await until(lambda: primary.psql("select 1 from pg_stat_replication where sync_state = 'sync'"))
        watched, standby = await watch_both(court, flock)
        await court.forget(standby)
        court.hold(10)
        await replica.stop()
        async with connected(primary) as session:
            waiting = asyncio.create_task(session.execute("create table waits (id int)"))
            await until(lambda: primary.psql("select 1 from pg_stat_activity where wait_event = 'SyncRep'"))
            await watched.look()
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await waiting
        watched.age("pg_stat_activity_max_tx_duration")
        court.hold(2)
    assert court.told("PostgresqlSyncStandbyLost") == [watched.labels(severity="warning")]
    assert court.told("PostgresqlCommitsWaitForStandby") == [watched.labels(severity="critical")]


@caused("PostgresqlReplicaConflicts")
async def test_queries_that_stand_in_the_way_of_replay_are_counted_by_database(
    court: Court, flock: Pair
) -> None:
    primary, replica = flock
    await primary.psql("create table if not exists rows (id int)")
    await primary.psql("insert into rows select generate_series(1, 1000)")
    await level(*flock)
    async with altered(replica, max_standby_streaming_delay="0"), contextlib.AsyncExitStack() as sessions:
        _, watched = await watch_both(court, flock)
        for _ in range(7):
            session = await sessions.enter_async_context(connected(replica))
            await session.execute("begin isolation level repeatable read")
            await session.execute("select count(*) from rows")
        await primary.psql("delete from rows")
        await primary.psql("vacuum rows")
        counted = (
            "select 1 from pg_stat_database_conflicts where datname = 'postgres' and confl_snapshot >= 7"
        )
        await until(lambda: replica.psql(counted))
        await watched.look()
    court.hold(0.5)
    (told,) = court.told("PostgresqlReplicaConflicts")
    assert told.items() >= watched.labels(severity="warning", datname="postgres").items()
    assert court.names() == {"PostgresqlReplicaConflicts"}
