"""Logical replication: consumers that hang, subscriptions that stop, fail, are disabled or never in step."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.courts import Court, Watched
from tests.fixtures.proofs import caused
from tests.fixtures.replicating import write_wal
from tests.fixtures.waiting import until

TABLE = "create table t (id int primary key)"
OURS = {"datname": "taker", "subname": "sub"}


@pytest.fixture
async def pub(spare: ScratchPostgres) -> AsyncIterator[ScratchPostgres]:
    """A server of which the database `giver` publishes a table, and `taker` has one of that name."""
    await spare.reload({"wal_retrieve_retry_interval": "100ms"})
    for database in ("giver", "taker"):
        await spare.psql(f"create database {database}")
        await spare.psql(TABLE, database)
    await spare.psql("create publication p for table t", "giver")
    await spare.psql("select pg_create_logical_replication_slot('sub', 'pgoutput')", "giver")
    yield spare
    await _free(spare)
    for database in ("taker", "giver"):
        await spare.psql(f"drop database {database} with (force)")


async def _free(server: ScratchPostgres) -> None:
    """Drop the subscription, then the slots, which it holds for a while."""
    await server.psql("alter subscription sub disable", "taker")
    await server.psql("alter subscription sub set (slot_name = none)", "taker")
    await server.psql("drop subscription sub", "taker")
    await until(lambda: _slots_are_gone(server))


async def _slots_are_gone(server: ScratchPostgres) -> bool:
    await server.psql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
    return await server.psql("select count(*) from pg_replication_slots") == "0"


async def subscribe(server: ScratchPostgres) -> None:
    login = f"host=127.0.0.1 port={server.port} user=postgres password={server.password} dbname=giver"
    options = "create_slot = false, slot_name = 'sub'"
    await server.psql(f"create subscription sub connection '{login}' publication p with ({options})", "taker")


async def in_step(server: ScratchPostgres) -> None:
    await until(lambda: server.psql("select 1 from pg_subscription_rel where srsubstate = 'r'", "taker"), 30)


def watch(court: Court, server: ScratchPostgres) -> Watched:
    return court.watch(server, databases={"include": ["postgres", "taker"]})


@caused("PostgresqlLogicalSlotBehind", "PostgresqlSubscriptionDisabled", "PostgresqlSubscriptionStopped")
async def test_a_consumer_that_hangs_and_a_subscription_that_stops_or_is_disabled_are_told(
    court: Court, pub: ScratchPostgres
) -> None:
    await subscribe(pub)
    await in_step(pub)
    watched = watch(court, pub)
    await watched.look()
    court.hold(8)
    assert court.names() == set()

    slot = {"slot_name": "sub", "slot_type": "logical", "database": "giver", "plugin": "pgoutput"}
    worker = int(await pub.psql("select pid from pg_stat_subscription where relid is null"))
    os.kill(worker, signal.SIGSTOP)
    try:
        await write_wal(pub, 110)
        await watched.look()
    finally:
        os.kill(worker, signal.SIGCONT)
    court.hold(10.5)
    assert court.told("PostgresqlLogicalSlotBehind") == [watched.labels(severity="warning", **slot)]
    assert court.names() == {"PostgresqlLogicalSlotBehind"}

    await pub.psql("alter subscription sub set (slot_name = 'misspelt')", "taker")
    await until(lambda: _slots_are_gone(pub))
    await until(lambda: stopped(watched))
    court.hold(6.5)
    assert court.names() == {"PostgresqlReceiverLost"}
    court.hold(0.5)
    assert court.told("PostgresqlSubscriptionStopped") == [watched.labels(severity="warning", **OURS)]
    assert court.names() == {"PostgresqlReceiverLost", "PostgresqlSubscriptionStopped"}

    await pub.psql("alter subscription sub disable", "taker")
    await watched.look()
    court.hold(16)
    assert court.told("PostgresqlSubscriptionDisabled") == [watched.labels(severity="info", **OURS)]
    assert court.names() == {"PostgresqlSubscriptionDisabled"}


async def stopped(watched: Watched) -> bool:
    await watched.look()
    return watched.value("pg_stat_subscription_apply_running") == 0


@caused("PostgresqlSubscriptionErrors", "PostgresqlSubscriptionTablesPending")
async def test_a_table_that_cannot_be_copied_is_told_by_errors_and_as_pending(
    court: Court, pub: ScratchPostgres
) -> None:
    for database in ("giver", "taker"):
        await pub.psql("insert into t values (1)", database)
    await subscribe(pub)
    watched = watch(court, pub)
    await watched.look()
    court.hold(2)
    assert court.names() == set()
    failed = "select 1 from pg_stat_subscription_stats where sync_error_count > {}"
    before = int(watched.value("pg_stat_subscription_sync_errors_total"))
    await until(lambda: pub.psql(failed.format(before)))
    await watched.look()
    court.hold(0.5)
    (told,) = court.told("PostgresqlSubscriptionErrors")
    assert told.items() >= watched.labels(severity="warning", subname="sub").items()
    assert court.names() == {"PostgresqlSubscriptionErrors"}
    court.hold(58)
    assert court.told("PostgresqlSubscriptionTablesPending") == [watched.labels(severity="warning", **OURS)]
    await pub.psql("delete from t", "taker")
    await in_step(pub)
    await watched.look()
    court.hold(16)
    assert court.names() == set()


@caused("PostgresqlSubscriptionErrors")
async def test_a_row_that_cannot_be_applied_is_told(court: Court, pub: ScratchPostgres) -> None:
    await subscribe(pub)
    await in_step(pub)
    watched = watch(court, pub)
    await watched.look()
    court.hold(2)
    for database in ("taker", "giver"):
        await pub.psql("insert into t values (2)", database)
    await until(lambda: pub.psql("select 1 from pg_stat_subscription_stats where apply_error_count > 0"))
    await watched.look()
    court.hold(0.5)
    (told,) = court.told("PostgresqlSubscriptionErrors")
    assert told.items() >= watched.labels(severity="warning", subname="sub").items()
