"""pgBouncer's admin console, as Debian's pgBouncer speaks it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from actions.scratch.pgbouncer import ScratchPgbouncer
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Observation, Target
from collectors.pgbouncer import ENGINE
from collectors.pgbouncer.observer import PgbouncerObserver
from tests.fixtures.clients import connected
from tests.fixtures.waiting import until

Pool = Callable[..., Awaitable[ScratchPgbouncer]]


def watch(pool: Any, *, deadline: float = 3.0, probes: tuple = (), **options: Any) -> PgbouncerObserver:
    known = {"host": pool.host, "port": pool.port}
    if isinstance(pool, ScratchPgbouncer):
        known |= {"user": pool.admin, "password": {"text": pool.password}}
    target = Target(
        name="pool",
        engine="pgbouncer",
        options=ENGINE.options.model_validate(known | options),
        deadline_seconds=deadline,
        probes=probes,
    )
    return ENGINE.observe(target, ())


def values(observation: Observation) -> dict[tuple[str, frozenset], float]:
    assert observation.failure is None, observation.failure
    return {
        (sample.name, frozenset(sample.labels)): sample.value
        for frame in observation.frames
        for sample in frame.samples()
    }


def value(observation: Observation, metric_name: str, /, **labels: str) -> float:
    found = [
        number
        for (metric, key), number in values(observation).items()
        if metric == metric_name and frozenset(labels.items()) <= key
    ]
    assert len(found) == 1, values(observation)
    return found[0]


@pytest.fixture
async def pool(pgbouncer: Pool, postgres15: ScratchPostgres) -> ScratchPgbouncer:
    return await pgbouncer(postgres15, settings={"default_pool_size": "1", "stats_period": "1"})


@pytest.fixture
async def observer(pool: ScratchPgbouncer) -> AsyncIterator[PgbouncerObserver]:
    one = watch(pool)
    assert (await one.up()).up
    yield one
    await one.close()


async def test_up_tells_version_and_identity(observer: PgbouncerObserver) -> None:
    up = await observer.up()
    assert up.up
    assert up.version[0].isdigit()
    assert up.identity
    assert up.identity == (await observer.up()).identity


@pytest.mark.parametrize("auth_type", ["trust", "plain", "md5", "scram-sha-256"])
async def test_every_way_to_log_in_works(
    pgbouncer: Pool, postgres15: ScratchPostgres, auth_type: str
) -> None:
    one = watch(await pgbouncer(postgres15, settings={"auth_type": auth_type}))
    up = await one.up()
    await one.close()
    assert up.failure is None
    assert up.up


async def test_a_unix_socket_works(pgbouncer: Pool, postgres15: ScratchPostgres) -> None:
    folder = str(postgres15.socket_directory)
    pool = await pgbouncer(postgres15, settings={"unix_socket_dir": folder})
    one = watch(pool, host=folder)
    up = await one.up()
    await one.close()
    assert up.failure is None


async def test_a_waiting_client_is_seen_with_how_long_it_waits(
    pool: ScratchPgbouncer, observer: PgbouncerObserver
) -> None:
    async with connected(pool) as first, connected(pool) as second, asyncio.TaskGroup() as group:
        transaction = first.transaction()
        await transaction.start()
        await first.execute("select 1")
        begun = time.monotonic()
        group.create_task(second.execute("select 2"))
        labels = {"database": "postgres", "user": pool.server.superuser}

        async def waited() -> bool:
            pools = await observer.run("pools")
            return value(pools, "pgbouncer_pools_client_maxwait_seconds", **labels) > 0.4

        await until(waited)
        pools = await observer.run("pools")
        maxwait = value(pools, "pgbouncer_pools_client_maxwait_seconds", **labels)
        assert 0.4 < maxwait <= time.monotonic() - begun + 0.1
        assert value(pools, "pgbouncer_pools_client_waiting_connections", **labels) == 1
        assert value(pools, "pgbouncer_pools_client_active_connections", **labels) == 1
        assert value(pools, "pgbouncer_pools_server_active_connections", **labels) == 1
        clients = await observer.run("clients")
        assert value(clients, "pgbouncer_clients_connections", state="waiting", **labels) == 1
        assert value(clients, "pgbouncer_clients_wait_seconds_max", state="waiting", **labels) > 0.4
        servers = await observer.run("servers")
        assert value(servers, "pgbouncer_servers_connections", state="active", **labels) == 1
        await transaction.rollback()


async def test_totals_are_seconds_and_counts(pool: ScratchPgbouncer, observer: PgbouncerObserver) -> None:
    async with connected(pool) as client:
        for _ in range(5):
            await client.execute("select pg_sleep(0.1)")
    stats = await observer.run("stats")
    name = "pgbouncer_stats_totals_"
    assert value(stats, f"{name}queries_pooled_total", database="postgres") == 5
    assert value(stats, f"{name}sql_transactions_pooled_total", database="postgres") == 5
    assert 0.5 <= value(stats, f"{name}queries_duration_seconds_total", database="postgres") < 2
    assert value(stats, f"{name}sent_bytes_total", database="postgres") > 100


async def test_a_paused_database_is_named(pool: ScratchPgbouncer, observer: PgbouncerObserver) -> None:
    async with connected(pool) as client:
        await client.execute("select 1")
    before = await observer.run("databases")
    assert value(before, "pgbouncer_databases_paused", name="postgres") == 0
    async with connected(pool, "pgbouncer") as console:
        await console.execute("PAUSE postgres")
    after = await observer.run("databases")
    assert value(after, "pgbouncer_databases_paused", name="postgres") == 1
    assert value(after, "pgbouncer_databases_pool_size", name="postgres") == 1


async def test_lists_and_configuration_are_read_by_key(observer: PgbouncerObserver) -> None:
    assert value(await observer.run("lists"), "pgbouncer_used_clients") == 1
    assert value(await observer.run("lists"), "pgbouncer_cached_dns_names") >= 0
    config = await observer.run("config")
    assert value(config, "pgbouncer_config_max_client_connections") == 100
    assert value(config, "pgbouncer_config_default_pool_size") == 1


async def test_a_command_that_this_version_lacks_is_a_rejection_and_leaves_the_plan(
    observer: PgbouncerObserver,
) -> None:
    state = await observer.run("state")
    if state.failure is None:
        assert value(state, "pgbouncer_state", state="active") == 1
        return
    assert state.failure.cause == "unsupported"
    assert "state" not in [info.name for info in observer.plan()]
    assert "SHOW STATE" in next(one.reason for one in observer.rejections() if one.probe == "state")


async def test_every_planned_probe_answers_with_its_declared_labels(observer: PgbouncerObserver) -> None:
    for info in observer.plan():
        answer = await observer.run(info.name)
        for frame in answer.frames:
            for metric in frame.metrics:
                assert metric in info.metrics
                assert all(len(key) == len(metric.labels) for key in frame.keys)


async def test_one_session_is_kept(pool: ScratchPgbouncer, proxy: Callable[..., Awaitable[Any]]) -> None:
    wire = await proxy(pool)
    one = watch(wire, user=pool.admin, password={"text": pool.password})
    for _ in range(5):
        assert (await one.up()).up
        await one.run("pools")
    assert wire.accepted == 1
    await one.close()
    await until(lambda: wire.open == 0)


async def test_a_wrong_password_is_tried_three_times_a_minute_at_most(
    pool: ScratchPgbouncer, proxy: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = await proxy(pool)
    one = watch(wire, user=pool.admin, password={"text": "canary-c0ffee"})
    now = time.monotonic()
    for second in range(0, 59, 2):
        monkeypatch.setattr(
            "collectors.pgbouncer.observer.time.monotonic", lambda second=second: now + second
        )
        up = await one.up()
        assert not up.up
        assert up.failure.cause == "credentials"
        assert "canary-c0ffee" not in up.failure.message
    assert wire.accepted == 3
    await one.close()


async def test_no_password_at_all_is_said(pool: ScratchPgbouncer) -> None:
    up = await watch(pool, password=None).up()
    assert up.failure.cause == "credentials"
    assert "none is configured" in up.failure.message


async def test_a_user_who_may_not_see_the_console_is_told_where_to_be_added(
    pgbouncer: Pool, postgres15: ScratchPostgres
) -> None:
    pool = await pgbouncer(postgres15, users={"plain_one": "pw"})
    up = await watch(pool, user="plain_one", password={"text": "pw"}).up()
    assert up.failure.cause == "denied"
    assert "stats_users" in up.failure.message


async def test_a_user_of_stats_users_is_enough_for_everything(
    pgbouncer: Pool, postgres15: ScratchPostgres
) -> None:
    pool = await pgbouncer(postgres15, users={"watcher": "pw"}, settings={"stats_users": "watcher"})
    one = watch(pool, user="watcher", password={"text": "pw"}, probes=(("*", True),))
    await one.up()
    failures = [(await one.run(info.name)).failure for info in one.plan()]
    await one.close()
    assert {failure.cause for failure in failures if failure} <= {"unsupported"}


async def test_a_postgresql_server_is_not_taken_for_a_pgbouncer(postgres15: ScratchPostgres) -> None:
    up = await watch(postgres15, user=postgres15.superuser, password={"text": postgres15.password}).up()
    assert not up.up
    assert up.failure.cause == "unsupported"
    assert "not pgBouncer's admin console" in up.failure.message


async def test_a_pgbouncer_that_accepts_and_never_answers_is_given_up_in_time(
    pool: ScratchPgbouncer, observer: PgbouncerObserver
) -> None:
    pool.pause()
    try:
        begun = time.monotonic()
        fresh = await watch(pool, deadline=0.5).up()
        run = await observer.run("pools")
        up = await observer.up()
        assert time.monotonic() - begun < 0.5 + 2 + 3 + 1
    finally:
        pool.resume()
    assert [fresh.failure.cause, run.failure.cause] == ["timed_out", "timed_out"]
    assert not up.up
    await until(lambda: _is_up(observer))


async def test_a_pgbouncer_that_dies_in_mid_answer_is_a_failure_and_comes_back(
    pool: ScratchPgbouncer, proxy: Callable[..., Awaitable[Any]]
) -> None:
    wire = await proxy(pool)
    one = watch(wire, user=pool.admin, password={"text": pool.password})
    assert (await one.up()).up
    identity = (await one.up()).identity
    wire.drop_after(200)
    config = await one.run("config")
    assert config.failure.cause == "unreachable"
    assert config.frames == ()
    await until(lambda: _is_up(one))
    assert (await one.up()).identity != identity
    await one.close()


async def test_a_restart_is_survived(pool: ScratchPgbouncer, observer: PgbouncerObserver) -> None:
    await pool.kill()
    assert (await observer.run("pools")).failure.cause == "unreachable"
    up = await observer.up()
    assert up.failure.cause == "unreachable"
    await pool.start()
    if pool.port == observer._options.port:
        await until(lambda: _is_up(observer))
        assert (await observer.run("pools")).failure is None


async def test_the_console_answers_while_all_client_slots_are_taken(
    pgbouncer: Pool, postgres15: ScratchPostgres
) -> None:
    pool = await pgbouncer(postgres15, settings={"max_client_conn": "1"})
    one = watch(pool)
    async with connected(pool):
        up = await one.up()
        await one.close()
    assert up.failure is None


async def test_inspect_says_what_works(observer: PgbouncerObserver) -> None:
    found = {finding.feature: finding for finding in await observer.inspect()}
    assert found["version"].state == "ok"
    assert found["SHOW POOLS"].state == "ok"
    assert found["tls"].state == "info"


async def _is_up(observer: PgbouncerObserver) -> bool:
    return (await observer.up()).up
