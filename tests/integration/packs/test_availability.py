"""Servers that are down, restarted, crashed, or no longer what they were."""

from __future__ import annotations

import asyncio
import os
import signal

import asyncpg

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court
from tests.fixtures.databases import NewLogin
from tests.fixtures.proofs import caused
from tests.fixtures.waiting import until

BACK_OFF_SECONDS = 3.0
"""A server that was gone is not asked again at once: the second attempt comes within two seconds."""


@caused("PostgresqlDown", "PostgresqlRestarted")
async def test_a_killed_server_is_down_and_one_that_is_back_was_restarted(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    await spare.kill()
    await watched.look()
    court.hold(1)
    assert court.names() == set()
    court.hold(0.5)
    assert court.told("PostgresqlDown") == [watched.labels(severity="critical")]
    assert court.names() == {"PostgresqlDown"}
    await spare.start()
    await asyncio.sleep(BACK_OFF_SECONDS)
    await watched.look()
    court.hold(0.5)
    assert court.told("PostgresqlRestarted") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlRestarted"}
    court.hold(32)
    assert court.names() == set()


@caused("PostgresqlDown")
async def test_a_frozen_server_is_down(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    await watched.look()
    court.hold(1)
    spare.pause()
    try:
        await watched.look()
    finally:
        spare.resume()
    court.hold(1.5)
    assert court.names() == {"PostgresqlDown"}
    assert court.told("PostgresqlDown") == [watched.labels(severity="critical")]


@caused("PostgresqlStatisticsReset")
async def test_a_crashed_process_is_told_by_the_statistics_that_it_cost(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    async with connected(spare) as session:
        os.kill(await session.fetchval("select pg_backend_pid()"), signal.SIGKILL)
    await until(lambda: _answers(spare))
    await watched.look()
    court.hold(0.5)
    assert court.told("PostgresqlStatisticsReset") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlStatisticsReset"}


async def _answers(server: ScratchPostgres) -> bool:
    try:
        async with connected(server) as session:
            return bool(await session.fetchval("select true"))
    except (OSError, asyncpg.PostgresError):
        return False


@caused("PostgresqlMetricsMissing")
async def test_probes_that_the_role_may_no_longer_run_are_named(
    court: Court, spare: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(spare)
    watched = court.watch(spare, user=login.user, password={"text": login.password})
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    await spare.psql("revoke execute on function pg_stat_get_activity(int) from public")
    await watched.look()
    await spare.psql("grant execute on function pg_stat_get_activity(int) to public")
    court.hold(14)
    found = court.told("PostgresqlMetricsMissing")
    assert {each["probe"] for each in found} == {"connections", "transactions", "blocking"}
    assert found[0] == watched.labels(severity="warning", probe="blocking")
    assert court.names() == {"PostgresqlMetricsMissing"}


@caused("PostgresqlTargetVanished")
async def test_a_server_that_nobody_watches_any_more_is_told(
    court: Court, postgres18: ScratchPostgres
) -> None:
    watched = court.watch(postgres18)
    await watched.look()
    court.hold(2)
    await court.forget(watched)
    court.hold(4)
    assert court.names() == set()
    court.hold(2)
    assert court.told("PostgresqlTargetVanished") == [watched.labels(severity="warning")]
    court.hold(30)
    assert court.names() == set()
