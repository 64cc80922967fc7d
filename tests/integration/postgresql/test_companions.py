"""Extensions beside pg_stat_statements, where they are installed."""

from __future__ import annotations

import asyncio

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.model import Target
from collectors.postgresql.options import PostgresOptions
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.missing import missing
from tests.fixtures.runners import given, lacks, monitoring_session, probe_named, the

TARGET = Target(name="companions", engine="postgresql", options=PostgresOptions())


@pytest.fixture
async def server(postgres15: ScratchPostgres) -> ScratchPostgres:
    """Debian's 15, which has packages of them."""
    for name in ("pg_stat_kcache", "pg_wait_sampling", "pg_qualstats"):
        if name not in postgres15.binaries.extensions:
            missing(name, f"apt-get install postgresql-15-{name.replace('_', '-')}")
    return postgres15


async def test_kcache_gives_cpu_and_disk_of_statements_and_the_rest(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    probe = probe_named("companions", "kcache")
    runner = probe.make(TARGET)
    async with (
        monitoring_session(server, login=await monitor_role(server)) as session,
        connected(server) as one,
    ):
        assert not lacks(session, probe)
        await one.fetch("select sum(g) from generate_series(1, 2000000) g")
        queryid = await one.fetchval(
            "select queryid from pg_stat_statements where query like 'select sum(g) from%' order by calls desc limit 1"
        )
        for _ in range(3):
            await one.fetch("select sum(g) from generate_series(1, 2000000) g")
            result = await runner.run(session)
        truth = await one.fetchval(
            "select sum(exec_user_time) from pg_stat_kcache() where queryid = $1", queryid
        )
    user = given(result, "pg_stat_kcache_user_seconds_total")
    assert user["postgres", "postgres", str(queryid)] == pytest.approx(truth)
    assert truth > 0.05
    assert ("", "", "other") in user
    assert {metric.name for frame in result.frames for metric in frame.metrics} <= {
        metric.name for metric in probe.info.metrics
    }


async def test_wait_sampling_gives_samples_by_event(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    probe = probe_named("companions", "wait_sampling")
    async with (
        monitoring_session(server, login=await monitor_role(server)) as session,
        connected(server) as one,
    ):
        assert not lacks(session, probe)
        runner = probe.make(TARGET)
        before = given(await runner.run(session), "pg_wait_sampling_profile_samples_total")
        await one.fetch("select pg_sleep(1)")
        await asyncio.sleep(0.1)
        result = await runner.run(session)
    samples = given(result, "pg_wait_sampling_profile_samples_total")
    key = ("Timeout", "PgSleep")
    period = the(result, "pg_wait_sampling_profile_period_seconds")
    assert (samples[key] - before.get(key, 0)) * period == pytest.approx(1.0, abs=0.5)


async def test_qualstats_tells_how_full_it_is(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    probe = probe_named("companions", "qualstats")
    async with (
        monitoring_session(server, login=await monitor_role(server)) as session,
        connected(server) as one,
    ):
        assert not lacks(session, probe)
        await one.execute("set pg_qualstats.sample_rate = 1")
        await one.execute("create temp table t as select 1 as id")
        await one.fetch("select * from t where id = 1")
        result = await probe.make(TARGET).run(session)
    assert the(result, "pg_qualstats_entries") >= 1
    assert the(result, "pg_qualstats_entries_max") == 1000


async def test_stat_monitor_sums_up_the_bucket_that_is_being_filled(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    # There is no package of it here: a function of the same shape stands for it.
    database = await fresh_database(server, template="template0")
    probe = probe_named("companions", "stat_monitor")
    async with connected(server, database) as connection:
        oid = await connection.fetchval("select oid from pg_database where datname = current_database()")
        await connection.execute(f"""
            create schema odd;
            create function odd.pg_stat_monitor_internal(showtext bool, out bucket int8, out userid oid,
                out dbid oid, out bucket_start_time timestamptz, out calls int8, out total_exec_time float8, out rows int8)
            returns setof record language sql as $$
              values (1, 10::oid, {oid}::oid, timestamptz '2026-01-01 00:00:00+00', 900::int8, 9000.0::float8, 9::int8),
                (2, 10::oid, {oid}::oid, timestamptz '2026-01-01 00:01:00+00', 5::int8, 1500.0::float8, 7::int8),
                (2, 10::oid, {oid}::oid, timestamptz '2026-01-01 00:01:00+00', 1::int8, 500.0::float8, 1::int8)
            $$
        """)
    async with monitoring_session(server, database) as session:
        assert lacks(session, probe) == "extension:pg_stat_monitor"
        from dataclasses import replace

        from collectors.postgresql.facts import Extension

        names = {f"function:odd.pg_stat_monitor_internal.{name}" for name in ("total_exec_time", "rows")}
        session.facts = replace(
            session.facts,
            extensions={"pg_stat_monitor": Extension(version="2.1", schema="odd")},
            catalogue=session.facts.catalogue | names,
        )
        result = await probe.make(TARGET).run(session)
    assert given(result, "pg_stat_monitor_bucket_calls") == {(database,): 6}
    assert given(result, "pg_stat_monitor_bucket_seconds") == {(database,): 2.0}
    assert given(result, "pg_stat_monitor_bucket_rows") == {(database,): 8}
    assert given(result, "pg_stat_monitor_bucket_statements") == {(database,): 2}
