"""Dropping invalid indexes: debris goes, whatever else is invalid stays."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Verdict
from actions.postgresql.drop_invalid_index import DropInvalidIndex
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.debris import building, failed_build, snapshot_holder
from tests.fixtures.servers import Pair, Servers
from tests.fixtures.waiting import until

DROP = DropInvalidIndex()


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await server.psql("create table public.t as select i as id from generate_series(1, 1000) i", database)
    await failed_build(server, database)
    return database


async def indexes(server: ScratchPostgres, database: str) -> list[str]:
    said = await server.psql(
        "select indexrelid::regclass from pg_index where indrelid = 't'::regclass order by 1", database
    )
    return said.splitlines()


async def test_debris_is_dropped_and_its_definition_kept(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(DROP, session, index="broken")
        assert plan.steps[0].text == "DROP INDEX CONCURRENTLY public.broken"
        assert plan.steps[0].undo_text.startswith("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t")
        assert "its build failed" in plan.reason
        assert (await planned(DROP, session, **plan.parameters)).plan_hash == plan.plan_hash
        assert all(result.allowed for result in await DROP.check(plan, session))
        before = await DROP.measure(plan, session)
        done = await carried_out(DROP, plan, session)
        assert "CREATE UNIQUE INDEX broken" in done["before"]["drop"]["definition"]
        assert DROP.judge(plan, before, before) is Verdict.INCONCLUSIVE
        assert DROP.judge(plan, before, await DROP.measure(plan, session)) is Verdict.IMPROVED
    assert await indexes(server, shop) == []


async def test_what_a_failed_reindex_has_left_is_recognised(server: ScratchPostgres, shop: str) -> None:
    await server.psql("drop index broken; create index fine on public.t (id)", shop)
    async with building(server, shop, "reindex index concurrently public.fine") as pid:
        await server.psql(f"select pg_cancel_backend({pid})")
        await until(lambda: ended(server, pid), 60)
    assert await indexes(server, shop) == ["fine", "fine_ccnew"]
    async with acting(server, shop) as session:
        plan = await planned(DROP, session, index="fine_ccnew")
        assert "REINDEX CONCURRENTLY failed and left it" in plan.reason
        await carried_out(DROP, plan, session)
    assert await indexes(server, shop) == ["fine"]


async def ended(server: ScratchPostgres, pid: int) -> bool:
    said = await server.psql(f"select count(*) from pg_stat_activity where pid = {pid} and state = 'active'")
    return said == "0"


async def test_a_build_that_runs_is_left_alone(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(DROP, session, index="broken")
        async with building(server, shop, "create index concurrently slow on public.t (id)") as pid:
            refused = await refusal(DROP, session, index="slow")
            assert f"pid {pid} builds an index of public.t" in refused.reason
            results = {result.guard: result for result in await DROP.check(plan, session)}
            assert not results["precondition"].allowed
            with pytest.raises(NotDone, match="builds an index"):
                await carried_out(DROP, plan, session)
    assert "broken" in await indexes(server, shop)


async def test_valid_ones_and_those_with_a_purpose_stay(server: ScratchPostgres, shop: str) -> None:
    await server.psql(
        "create index fine on public.t (id);"
        "create table public.whole (id int, day int, primary key (id, day)) partition by range (day);"
        "create table public.part partition of public.whole for values from (1) to (9);"
        "create index waits on only public.whole (day);"
        "create table public.backed (id int constraint backed_key unique);"
        "update pg_index set indisvalid = false where indexrelid in ('backed_key'::regclass, 'part_pkey'::regclass)",
        shop,
    )  # fmt: skip
    async with acting(server, shop) as session:
        for index, said in {
            "fine": "is valid",
            "waits": "is a partitioned index",
            "backed_key": "backs the constraint backed_key",
            "part_pkey": "constraint",
            "absent": "has no index public.absent",
            "t": "has no index public.t",
        }.items():
            refused = await refusal(DROP, session, index=index)
            assert said in refused.reason, refused


async def test_another_index_of_the_same_name_is_not_dropped(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(DROP, session, index="broken")
        await server.psql("alter index broken rename to renamed", shop)
        await failed_build(server, shop)
        (result,) = await DROP.check(plan, session)
        assert (result.guard, result.allowed) == ("identity", False)
        with pytest.raises(NotDone, match=r"is called public\.renamed now"):
            await carried_out(DROP, plan, session)
        await server.psql("drop index renamed", shop)
        with pytest.raises(NotDone, match="is gone"):
            await carried_out(DROP, plan, session)
    assert await indexes(server, shop) == ["broken"]


async def test_it_waits_for_transactions_only_so_long_and_can_be_repeated(
    server: ScratchPostgres, shop: str
) -> None:
    read_back = DROP.operations["drop"].read_back
    assert read_back
    async with acting(server, shop) as session:
        plan = await planned(DROP, session, index="broken", wait_seconds=1.0)
        asked = work(plan, "drop", session)
        async with snapshot_holder(server, shop), connected(server, shop) as user:
            with pytest.raises(OutcomeUnknown):
                await carried_out(DROP, plan, session)
            async with asyncio.timeout(20):
                await user.execute("insert into public.t values (5000)")
        assert (await read_back(asked)).answer == "not_done"
        await carried_out(DROP, plan, session)
        assert (await read_back(asked)).answer == "done"
    assert await indexes(server, shop) == []


@pytest.mark.parametrize(
    "name",
    ['"; DROP TABLE t; --', "it's", 'a"b', "a b", "%s{}$1", "new\nline", "Group", "\u202ertl", "x" * 63],
)
async def test_hostile_names_are_names(servers: Servers, fresh_database: NewDatabase, name: str) -> None:
    server = await servers.get(18)
    database = await fresh_database(server, f"d_{secrets.token_hex(3)}'\"%s")
    await server.psql("create table public.t as select i as id from generate_series(1, 100) i", database)
    await failed_build(server, database, '"' + name.replace('"', '""') + '"')
    async with acting(server, database) as session:
        plan = await planned(DROP, session, index=name)
        await carried_out(DROP, plan, session)
    assert await indexes(server, database) == []
    assert await server.psql("select count(*) from t", database) == "100"


async def test_the_rights_that_are_missing_are_named(
    server: ScratchPostgres, shop: str, bare_role: NewLogin
) -> None:
    actor, owner = await bare_role(server), await bare_role(server)
    await server.psql(f"alter table public.t owner to {owner.user}", shop)
    async with acting(server, shop, login=actor) as session:
        refused = await refusal(DROP, session, index="broken")
        assert f"GRANT pg_read_all_stats TO {actor.user};" in refused.reason
        await server.psql(f"grant pg_read_all_stats to {actor.user}")
        refused = await refusal(DROP, session, index="broken")
        assert f'GRANT "{owner.user}" TO {actor.user};' in refused.reason
        await server.psql(f"grant {owner.user} to {actor.user}")
        await server.psql(f"grant usage, create on schema public to {owner.user}", shop)
        await carried_out(DROP, await planned(DROP, session, index="broken"), session)
    assert await indexes(server, shop) == []


async def test_a_replica_is_refused(postgres_pair: Pair) -> None:
    _, replica = postgres_pair
    async with acting(replica) as session:
        refused = await refusal(DROP, session, index="any")
    assert "name the primary" in refused.reason
