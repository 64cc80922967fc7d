"""The truth table of replication lag on real primaries and replicas."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.databases import NewLogin
from tests.fixtures.runners import given, monitoring_session, runner_of, the
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

SECONDS = "pg_replication_lag_seconds"
BYTES = "pg_replication_lag_bytes"


class Watch:
    """Looks at a server again and again with the same memory."""

    def __init__(self, server: ScratchPostgres, login: Any = None) -> None:
        self._server = server
        self._login = login
        self._runner = runner_of("lag", "replication_lag")
        self.result: Any = None

    async def look(self) -> Any:
        async with monitoring_session(self._server, login=self._login) as session:
            self.result = await self._runner.run(session)
        return self.result

    async def state(self) -> str:
        states = given(await self.look(), "pg_replication_state")
        assert sum(states.values()) == 1, states
        return next(key[0] for key, value in states.items() if value)

    def value(self, metric: str) -> float | None:
        return the(self.result, metric)


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def primary(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    server = await new_postgres(request.param)
    await server.psql("create table t (id int)")
    return server


@pytest.fixture
async def replica(primary: ScratchPostgres, new_postgres: NewPostgres) -> ScratchPostgres:
    return await new_postgres(replica_of=primary, settings={"wal_receiver_status_interval": "1s"})


async def write(server: ScratchPostgres, rows: int = 1000) -> None:
    await server.psql(f"insert into t select generate_series(1, {rows})")


async def level(primary: ScratchPostgres, replica: ScratchPostgres) -> None:
    """Wait until the replica has replayed everything."""
    lsn = await primary.psql("select pg_current_wal_lsn()")
    await until(lambda: replica.psql(f"select 1 where pg_last_wal_replay_lsn() >= '{lsn}'"))


async def test_a_primary_is_no_replica_and_has_no_state(
    primary: ScratchPostgres, monitor_role: NewLogin
) -> None:
    watch = Watch(primary, await monitor_role(primary))
    await watch.look()
    assert watch.value("pg_replication_is_replica") == 0
    assert watch.value(SECONDS) == 0
    assert watch.value("pg_replication_last_replay_seconds") is None
    assert given(watch.result, "pg_replication_state") == {}


async def test_an_idle_primary_is_not_lag_and_a_writing_one_is_ok(
    primary: ScratchPostgres, replica: ScratchPostgres, monitor_role: NewLogin
) -> None:
    watch = Watch(replica, await monitor_role(primary))
    await write(primary)
    await level(primary, replica)
    await until(watch.state)
    for _ in range(3):
        await write(primary)
        await level(primary, replica)
        assert await watch.state() == "ok"
        assert watch.value(SECONDS) <= 2
    assert await until(lambda: is_state(watch, "idle"))
    await replica.psql("select pg_sleep(2)")
    assert await watch.state() == "idle"
    assert (watch.value(SECONDS), watch.value(BYTES)) == (0, 0)
    assert watch.value("pg_replication_last_replay_seconds") >= 2  # the exporter's trap: this is not lag
    assert watch.value("pg_replication_is_replica") == watch.value("pg_replication_receiver_up") == 1


async def is_state(watch: Watch, state: str) -> bool:
    return await watch.state() == state


async def test_a_lost_primary_is_disconnected_and_never_zero(
    primary: ScratchPostgres, replica: ScratchPostgres
) -> None:
    watch = Watch(replica)
    await write(primary)
    await level(primary, replica)
    assert await until(lambda: is_state(watch, "idle"))
    await primary.kill()
    assert await until(lambda: is_state(watch, "disconnected"))
    first = watch.value(SECONDS)
    await replica.psql("select pg_sleep(1)")
    assert await watch.state() == "disconnected"
    assert watch.value(SECONDS) >= first + 0.9
    assert watch.value(BYTES) is None
    assert watch.value("pg_replication_receiver_up") == 0
    newcomer = Watch(replica)
    assert await newcomer.state() == "disconnected"
    assert newcomer.value(SECONDS) is None
    await primary.start()


async def test_a_frozen_link_is_disconnected_though_the_receiver_lives(
    primary: ScratchPostgres, new_postgres: NewPostgres
) -> None:
    replica = await new_postgres(replica_of=primary, settings={"wal_receiver_timeout": "8s"})
    watch = Watch(replica)
    await level(primary, replica)
    assert await until(lambda: is_state(watch, "idle"))
    sender = int(await primary.psql("select pid from pg_stat_replication"))
    os.kill(sender, signal.SIGSTOP)
    try:
        assert await until(lambda: is_state(watch, "disconnected"), deadline=20)
        assert watch.value(SECONDS) >= 0.9
        assert watch.value("pg_replication_receiver_up") == 0
    finally:
        os.kill(sender, signal.SIGCONT)
    assert await until(lambda: is_state(watch, "idle"), deadline=30)
    assert watch.value(SECONDS) == 0


async def test_paused_replay_is_named_with_what_it_holds_back(
    primary: ScratchPostgres, replica: ScratchPostgres
) -> None:
    watch = Watch(replica)
    await level(primary, replica)
    assert await until(lambda: is_state(watch, "idle"))
    await replica.psql("select pg_wal_replay_pause()")
    assert await watch.state() == "paused"
    assert watch.value(SECONDS) == 0  # nothing is held back yet
    await write(primary, 20_000)
    await until(lambda: grew(watch, "pg_replication_replay_queue_bytes"))
    await replica.psql("select pg_sleep(1)")
    assert await watch.state() == "paused"
    assert watch.value(SECONDS) >= 1
    assert watch.value(BYTES) >= 1_000_000
    assert watch.value("pg_replication_replay_paused") == 1
    await replica.psql("select pg_wal_replay_resume()")
    await level(primary, replica)
    assert await watch.state() in ("ok", "idle")
    assert watch.value(SECONDS) == 0


async def grew(watch: Watch, metric: str) -> bool:
    await watch.look()
    return (watch.value(metric) or 0) > 1_000_000


async def test_slow_replay_is_lagging(
    primary: ScratchPostgres, replica: ScratchPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.postgresql.lag_state.LAGGING_SECONDS", 1.0)
    watch = Watch(replica)
    await level(primary, replica)
    assert await until(lambda: is_state(watch, "idle"))
    startup = int(await replica.psql("select pid from pg_stat_activity where backend_type = 'startup'"))
    os.kill(startup, signal.SIGSTOP)
    try:
        await write(primary, 20_000)
        assert await until(lambda: is_state(watch, "lagging"))
        assert watch.value(SECONDS) >= 1
        assert watch.value("pg_replication_receiver_up") == 1
    finally:
        os.kill(startup, signal.SIGCONT)
    await level(primary, replica)
    assert await watch.state() in ("ok", "idle")


async def test_a_cascaded_replica_streams_from_its_upstream(
    primary: ScratchPostgres, replica: ScratchPostgres, new_postgres: NewPostgres
) -> None:
    cascaded = await new_postgres(replica_of=replica)
    watch = Watch(cascaded)
    for _ in range(2):
        await write(primary)
        await level(primary, cascaded)
        assert await watch.state() in ("ok", "idle")
        assert watch.value(SECONDS) <= 2
    await replica.kill()
    assert await until(lambda: is_state(watch, "disconnected"))
    assert watch.value(SECONDS) > 0
    await replica.start()


async def test_a_delayed_standby_is_delayed_and_not_lagging(
    primary: ScratchPostgres, new_postgres: NewPostgres
) -> None:
    replica = await new_postgres(replica_of=primary, settings={"recovery_min_apply_delay": "1h"})
    watch = Watch(replica)
    await until(lambda: primary.psql("select 1 from pg_stat_replication where state = 'streaming'"))
    await watch.look()
    await write(primary, 20_000)
    assert await until(lambda: is_state(watch, "delayed"))
    assert watch.value("pg_replication_apply_delay_seconds") == 3600
    assert watch.value(BYTES) > 0


async def test_a_server_just_promoted_is_a_primary_without_lag(
    primary: ScratchPostgres, replica: ScratchPostgres
) -> None:
    watch = Watch(replica)
    await write(primary)
    await level(primary, replica)
    await watch.look()
    await replica.promote()
    await watch.look()
    assert watch.value("pg_replication_is_replica") == 0
    assert watch.value(SECONDS) == 0
    assert watch.value("pg_replication_last_replay_seconds") is None
    assert given(watch.result, "pg_replication_state") == {}


async def test_a_bare_role_learns_that_the_lag_is_unknown_and_not_zero(
    primary: ScratchPostgres, replica: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(primary)
    await write(primary)
    await level(primary, replica)
    watch = Watch(replica, login)
    assert await watch.state() == "unknown"
    assert watch.value(SECONDS) is None
    assert watch.value("pg_replication_is_replica") == 1
    assert watch.value("pg_replication_last_replay_seconds") >= 0
