"""VACUUM as a remedy in bad cases: locks, lost sessions, missing rights, hostile names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Verdict
from actions.postgresql.tables import Table, choose
from actions.postgresql.vacuum import Vacuum
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, asked, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.dead_rows import ROWS, counted, crowded, dead, dirty, under_way
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

VACUUM = Vacuum()

VACUUM = Vacuum()


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Any) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await dirty(server, database)
    return database


async def test_a_lock_of_a_user_is_not_waited_for_long(server: ScratchPostgres, shop: str) -> None:
    async with connected(server, shop) as user, acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        async with user.transaction():
            await user.execute("lock table public.t in share row exclusive mode")
            with pytest.raises(NotDone) as caught:
                await VACUUM.operations["vacuum"].perform(work(plan, "vacuum", session))
            assert caught.value.again
        await carried_out(VACUUM, plan, session)


async def outcome(doing: Any) -> Any:
    try:
        return await doing
    except OutcomeUnknown as error:
        return error


@pytest.mark.parametrize("how", ["cancelled", "killed"])
async def test_it_is_ended_in_the_middle(new_postgres: NewPostgres, how: str) -> None:
    server = await new_postgres(15)
    await dirty(server, "postgres", rows=200_000)
    perform = VACUUM.operations["vacuum"].perform
    async with acting(server) as session, crowded(server):
        plan = await planned(VACUUM, session, table="t")
        async with asyncio.TaskGroup() as group:
            working = group.create_task(outcome(perform(work(plan, "vacuum", session))))
            await until(lambda: under_way(server), 60)
            if how == "cancelled":
                working.cancel()
            else:
                await server.psql(f"select pg_terminate_backend({session.pid})")
        if how == "cancelled":
            assert working.cancelled()
            assert (await session.fetch("select 1 as one"))[0]["one"] == 1
        else:
            assert isinstance(working.result(), OutcomeUnknown)
        assert not await under_way(server)
    async with acting(server, epoch=2) as session:
        evidence = (await carried_out(VACUUM, plan, session))["results"]["vacuum"]
    assert evidence["dead"] == 0
    assert evidence["cost_delay_ms"] == 0


async def test_whoever_works_on_it_already_is_not_disturbed(new_postgres: NewPostgres) -> None:
    server = await new_postgres(18)
    await dirty(server, "postgres", rows=200_000)
    async with connected(server) as user, asyncio.TaskGroup() as group, acting(server) as session:
        plan = await planned(VACUUM, session, table="t")
        await user.execute("set vacuum_cost_delay = 100")
        working = group.create_task(user.execute("vacuum public.t"))
        await until(lambda: under_way(server), 60)
        refused = await refusal(VACUUM, session, table="t")
        assert f"already works on it (pid {user.get_server_pid()})" in refused.reason
        results = {result.guard: result.allowed for result in await VACUUM.check(plan, session)}
        assert results == {"identity": True, "second_source": True, "precondition": False}
        with pytest.raises(NotDone):
            await VACUUM.operations["vacuum"].perform(work(plan, "vacuum", session))
        assert await under_way(server)
        working.cancel()


async def test_the_same_oid_in_another_database_is_another_table(
    new_postgres: NewPostgres, fresh_database: NewDatabase
) -> None:
    server = await new_postgres(15)
    far = await fresh_database(server, template="template0")
    at = {"schema": "pg_catalog", "table": "pg_proc"}
    async with connected(server, far) as user, asyncio.TaskGroup() as group:
        await user.execute("set vacuum_cost_delay = 100; set vacuum_cost_limit = 1")
        working = group.create_task(user.execute("vacuum (freeze, disable_page_skipping) pg_catalog.pg_proc"))
        await until(lambda: under_way(server), 60)
        async with acting(server, far) as there, acting(server) as here:
            busy, free = [await choose(session, asked(**at), "dead", ("r",)) for session in (there, here)]
        assert await under_way(server)
        working.cancel()
    assert isinstance(busy, Table)
    assert isinstance(free, Table)
    assert busy.oid == free.oid
    assert busy.worker is not None
    assert free.worker is None


@pytest.mark.parametrize("major", [15, 17])
async def test_without_the_right_the_sql_that_gives_it_is_named(
    servers: Any, fresh_database: NewDatabase, monitor_role: NewLogin, major: int
) -> None:
    server = await servers.get(major)
    database = await fresh_database(server)
    await dirty(server, database)
    login = await monitor_role(server)
    async with acting(server, database, login=login) as session:
        refused = await refusal(VACUUM, session, table="t")
        wanted = refused.reason.partition(": ")[2].partition(";")[0].partition(" (")[0]
        assert wanted.startswith("GRANT "), refused.reason
        await server.psql(wanted, database)
        plan = await planned(VACUUM, session, table="t")
        assert (await carried_out(VACUUM, plan, session))["results"]["vacuum"]["dead"] == 0


async def test_pg_maintain_is_enough(
    servers: Any, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    server = await servers.get(17)
    database = await fresh_database(server)
    await dirty(server, database)
    login = await monitor_role(server)
    await server.psql(f"grant pg_maintain to {login.user}")
    async with acting(server, database, login=login) as session:
        plan = await planned(VACUUM, session, table="t")
        assert (await carried_out(VACUUM, plan, session))["results"]["vacuum"]["dead"] == 0


async def test_a_right_taken_away_meanwhile_is_not_success(
    postgres15: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    database = await fresh_database(postgres15)
    await dirty(postgres15, database)
    login = await monitor_role(postgres15)
    await postgres15.psql(f"alter table public.t owner to {login.user}", database)
    async with acting(postgres15, database, login=login) as session:
        plan = await planned(VACUUM, session, table="t")
        await postgres15.psql("alter table public.t owner to postgres", database)
        with pytest.raises(NotDone, match="VACUUM"):
            await carried_out(VACUUM, plan, session)
    assert await dead(postgres15, database) == ROWS


async def test_the_watching_role_makes_plans_that_say_so(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop, read_only=True) as session:
        plan = await planned(VACUUM, session, table="t")
        assert "no `act` credentials" in plan.warnings[0]
        with pytest.raises(NotDone):
            await carried_out(VACUUM, plan, session)


HOSTILE = ['a"b', "new\nline", "'; drop table t; --", "y" * 63, "%s $1 %I", "ünï", "a.b", "\\", " ", "--"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_f47_a_hostile_name_is_vacuumed_like_any_other(
    postgres18: ScratchPostgres, fresh_database: NewDatabase, name: str
) -> None:
    database = await fresh_database(postgres18)
    await dirty(postgres18, database)
    async with connected(postgres18, database) as owner, acting(postgres18, database) as session:
        quoted = await owner.fetchval("select quote_ident($1)", name)
        await owner.execute(f"alter table public.t rename to {quoted}")
        plan = await planned(VACUUM, session, table=name)
        assert (await carried_out(VACUUM, plan, session))["results"]["vacuum"]["dead"] == 0
        assert "\n" not in plan.summary


async def test_f15_what_it_writes_is_foretold(server: ScratchPostgres, shop: str) -> None:
    await server.psql("vacuum public.t; update public.t set filler = filler", shop)
    await counted(server, shop, ROWS)
    await server.psql("checkpoint", shop)
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        before = await server.psql("select pg_current_wal_insert_lsn()", shop)
        await carried_out(VACUUM, plan, session)
        wrote = int(await server.psql(f"select pg_current_wal_insert_lsn() - '{before}'::pg_lsn", shop))
    assert 0 < wrote <= plan.prediction.disk_bytes


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (
            "a partitioned table; name one of its partitions",
            "create table public.x (i int) partition by range (i)",
        ),
        ("a view", "create view public.x as select 1 as i"),
        ("has no table public.x", "select 1"),
    ],
)
async def test_what_is_no_table_is_refused(
    postgres18: ScratchPostgres, fresh_database: NewDatabase, kind: str, make: str
) -> None:
    database = await fresh_database(postgres18)
    await postgres18.psql(make, database)
    async with acting(postgres18, database) as session:
        assert kind in (await refusal(VACUUM, session, table="x")).reason


BEFORE = {"dead_rows": 10.0, "vacuums": 1.0}


def test_what_is_not_measured_is_not_judged() -> None:
    assert VACUUM.judge(None, {}, {"dead_rows": 1}) is Verdict.INCONCLUSIVE  # type: ignore[arg-type]
    assert VACUUM.judge(None, BEFORE, BEFORE | {"dead_rows": 1.0}) is Verdict.INCONCLUSIVE  # type: ignore[arg-type]
    assert VACUUM.judge(None, BEFORE, {"dead_rows": 6.0, "vacuums": 2.0}) is Verdict.NEUTRAL  # type: ignore[arg-type]
