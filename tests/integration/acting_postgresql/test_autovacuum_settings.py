"""Tables get autovacuum settings that fit them, and get their old ones back exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from actions.errors import NotDone
from actions.model import Verdict
from actions.postgresql import autovacuum_settings, tables
from actions.postgresql.autovacuum_settings import AutovacuumSettings
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, asked, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.waiting import until

SETTINGS = AutovacuumSettings()
NOW = {"counted_min": 0.0}


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Any) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await server.psql(
        "create table public.t (id int); insert into public.t select generate_series(1, 100000)", database
    )
    await server.psql("analyze public.t; delete from public.t where id <= 50000", database)

    async def counted() -> bool:
        sql = "select n_live_tup > 0 and n_dead_tup > 0 from pg_stat_all_tables where relname = 't'"
        return await server.psql(sql, database) == "t"

    await until(counted, 60)
    return database


async def options(server: ScratchPostgres, database: str) -> str:
    return await server.psql("select reloptions from pg_class where relname = 't'", database)


async def undone(plan: Any, session: Any, before: Any) -> Any:
    undo = SETTINGS.operations["alter"].undo
    assert undo is not None
    return await undo(work(plan, "alter", session, before))


OLD = [
    "",
    "fillfactor=70",
    "autovacuum_vacuum_scale_factor=0.50,fillfactor=90",
    "autovacuum_vacuum_threshold=50000",
]


@pytest.mark.parametrize("old", OLD)
async def test_they_are_set_and_taken_back_exactly(server: ScratchPostgres, shop: str, old: str) -> None:
    if old:
        await server.psql(f"alter table public.t set ({old})", shop)
    was = sorted(filter(None, (await options(server, shop)).strip("{}").split(",")))
    async with acting(server, shop) as session:
        plan = await planned(SETTINGS, session, table="t", **NOW)
        assert all(result.allowed for result in await SETTINGS.check(plan, session))
        done = await carried_out(SETTINGS, plan, session)
        now = done["results"]["alter"]["options"]
        assert "autovacuum_vacuum_scale_factor=0.1" in now
        assert [option for option in now if option.startswith("fillfactor")] == [
            option for option in was if option.startswith("fillfactor")
        ]
        assert "already" in (await refusal(SETTINGS, session, table="t", **NOW)).reason
        for _ in range(2):
            await undone(plan, session, done["before"]["alter"])
    assert sorted(filter(None, (await options(server, shop)).strip("{}").split(","))) == was


async def test_a_lock_is_not_waited_for_long(server: ScratchPostgres, shop: str) -> None:
    async with connected(server, shop) as user, acting(server, shop) as session:
        plan = await planned(SETTINGS, session, table="t", **NOW)
        async with user.transaction():
            await user.execute("lock table public.t in share update exclusive mode")
            with pytest.raises(NotDone) as caught:
                await carried_out(SETTINGS, plan, session)
            assert caught.value.again
    assert await options(server, shop) == ""


async def test_what_somebody_else_set_meanwhile_is_left_to_people(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(SETTINGS, session, table="t", **NOW)
        done = await carried_out(SETTINGS, plan, session)
        await server.psql("alter table public.t set (autovacuum_vacuum_threshold = 7)", shop)
        with pytest.raises(NotDone, match="decide by hand"):
            await undone(plan, session, done["before"]["alter"])
        assert await undone(plan, session, {}) == {}
    assert "autovacuum_vacuum_threshold=7" in await options(server, shop)


async def test_only_the_owner_may(server: ScratchPostgres, shop: str, monitor_role: NewLogin) -> None:
    login = await monitor_role(server)
    async with acting(server, shop, login=login) as session:
        refused = await refusal(SETTINGS, session, table="t", **NOW)
        await server.psql(refused.reason.partition(": ")[2].partition(" (")[0])
        plan = await planned(SETTINGS, session, table="t", **NOW)
        await carried_out(SETTINGS, plan, session)


async def test_where_it_is_not_wanted(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        assert "counted for" in (await refusal(SETTINGS, session, table="t", counted_min=1e9)).reason
        await server.psql("alter table public.t set (autovacuum_enabled = off)", shop)
        assert "ask first" in (await refusal(SETTINGS, session, table="t", **NOW)).reason
        await server.psql("create table public.few (id int)", shop)
        assert "fewer than" in (await refusal(SETTINGS, session, table="few", **NOW)).reason


async def test_a_table_dropped_meanwhile_is_another_one(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(SETTINGS, session, table="t", **NOW)
        await server.psql("drop table public.t; create table public.t (id int)", shop)
        assert [result.allowed for result in await SETTINGS.check(plan, session)] == [False]
        with pytest.raises(NotDone, match="is gone"):
            await carried_out(SETTINGS, plan, session)
    assert await options(server, shop) == ""


async def test_the_scale_follows_the_churn_within_its_bounds(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        found = await tables.choose(session, asked(table="t"), "dead", ("r",))
        assert isinstance(found, tables.Table)
        for changed, scale in (
            (0, "0.01"),
            (900, "0.01"),
            (1500, "0.02"),
            (4000, "0.05"),
            (9000, "0.1"),
            (10**7, "0.1"),
        ):
            one = dataclasses.replace(found, rows=1e5, updated=changed, deleted=0, counted_seconds=3600.0)
            assert autovacuum_settings.fitting(one)["autovacuum_vacuum_scale_factor"] == scale
        plan = await planned(SETTINGS, session, table="t", **NOW)
        share = (await SETTINGS.measure(plan, session))["dead_share"]
    assert 0.3 < share < 0.7
    cases = (
        (0.3, 0.2, 0, "improved"),
        (0.001, 0.009, 0, "improved"),
        (0.3, 0.29, 1, "inconclusive"),
        (0.3, 0.46, 0, "inconclusive"),
        (0.3, 0.46, 1, "worse"),
    )
    for was, now, came, verdict in cases:
        before, after = (
            {"dead_share": was, "autovacuums": 0.0},
            {"dead_share": now, "autovacuums": float(came)},
        )
        assert SETTINGS.judge(plan, before, after) == verdict
    assert SETTINGS.judge(plan, {}, {"dead_share": 0.1}) is Verdict.INCONCLUSIVE
