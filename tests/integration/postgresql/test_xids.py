"""Transaction ids: ages, consumption, runway, and that we take none."""

from __future__ import annotations

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.postgresql.xids import XID_LIMIT, TableAges, Xids
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewLogin
from tests.fixtures.observing import target
from tests.fixtures.runners import given, monitoring_session, the
from tests.fixtures.servers import NewPostgres

AGE = "pg_database_wraparound_age_datfrozenxid_seconds"


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    return await new_postgres(request.param)


async def test_ages_consumption_and_runway_with_pg_monitor_alone(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    now = [0.0]
    runner = Xids(target(server), now=lambda: now[0])
    async with monitoring_session(server, login=await monitor_role(server)) as session:
        first = await runner.run(session)
        assert the(first, "pg_xid_consumption_per_second") is None
        assert given(first, "pg_database_xid_runway_seconds") == {}
        await server.psql("select pg_current_xact_id();" * 200)
        now[0] = 100.0
        result = await runner.run(session)
    assert the(result, "pg_xid_next_total") == the(first, "pg_xid_next_total") + 200
    assert the(result, "pg_xid_consumption_per_second") == 2.0
    age = given(result, AGE)["postgres",]
    assert age == given(first, AGE)["postgres",] + 200
    assert given(result, "pg_database_xid_runway_seconds")["postgres",] == (XID_LIMIT - age) / 2
    assert given(result, "pg_database_xid_used_ratio")["postgres",] == age / XID_LIMIT
    assert given(result, "pg_database_freeze_max_age_ratio")["postgres",] == age / 200_000_000
    assert given(result, "pg_database_mxid_runway_seconds") == {}  # none was made: there is no end in sight


async def test_multixacts_are_counted_without_superuser(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    now = [0.0]
    runner = Xids(target(server), now=lambda: now[0])
    async with (
        monitoring_session(server, login=await monitor_role(server)) as session,
        connected(server) as one,
        connected(server) as other,
    ):
        await one.execute("create table t as select g id from generate_series(1, 20) g")
        await runner.run(session)
        for number in range(1, 21):
            async with one.transaction(), other.transaction():
                await one.fetch(f"select * from t where id = {number} for share")
                await other.fetch(f"select * from t where id = {number} for share")
        now[0] = 100.0
        result = await runner.run(session)
    assert the(result, "pg_mxid_consumption_per_second") == pytest.approx(0.2, abs=0.02)
    assert given(result, "pg_database_wraparound_age_datminmxid_seconds")["postgres",] >= 20
    assert given(result, "pg_database_mxid_runway_seconds")["postgres",] > 10**9


async def test_the_worst_tables_are_named_with_their_toast_and_few(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    async with connected(server) as connection:
        await connection.execute("create table ancient (t text)")
        await connection.execute("insert into ancient values ('x')")
        await server.psql("select pg_current_xact_id();" * 100)
        await connection.execute("vacuum freeze pg_catalog.pg_class")
        async with monitoring_session(server, login=await monitor_role(server)) as session:
            result = await TableAges(target(server)).run(session)
        found = given(result, "pg_table_xid_age_transactions")
        assert len(found) == 20
        assert ("postgres", "pg_catalog", "pg_class") not in found
        oldest = await connection.fetchval("select max(age(relfrozenxid)) from pg_class where relkind = 'r'")
        assert max(found.values()) == oldest


async def test_no_probe_ever_takes_a_transaction_id(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    from collectors.model import Target
    from collectors.postgresql.options import PostgresOptions
    from tests.fixtures.runners import lacks

    modules = ("statements", "statement_texts", "blocking", "horizon", "lag", "bloat", "xids", "connections")
    where = Target(name="no-xid", engine="postgresql", options=PostgresOptions())
    await server.psql("create extension pg_stat_statements; create extension pgstattuple")
    async with monitoring_session(server, login=await monitor_role(server)) as session:
        before = await server.psql("select pg_snapshot_xmax(pg_current_snapshot())")
        import importlib

        for module in modules:
            for probe in importlib.import_module(f"collectors.postgresql.{module}").PROBES:
                assert not lacks(session, probe), probe.info.name
                await probe.make(where).run(session)
        assert await server.psql("select pg_snapshot_xmax(pg_current_snapshot())") == before
