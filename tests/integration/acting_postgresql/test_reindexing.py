"""REINDEX CONCURRENTLY: only what is bloated by two accounts, and nothing left behind, whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Verdict
from actions.postgresql.latency import slower
from actions.postgresql.reindex_concurrently import ReindexConcurrently
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.debris import builds, failed_build, kill_backend, snapshot_holder
from tests.fixtures.servers import NewPostgres, Pair, Servers
from tests.fixtures.waiting import until

REINDEX = ReindexConcurrently()
SMALL = {"bloat_bytes_min": 0}
BLOATED = """
create table public.t (id int, filler text) with (autovacuum_enabled = off);
insert into public.t select i, 'x' from generate_series(1, 60000) i;
create index bloated on public.t (id);
delete from public.t where id % 10 <> 0;
vacuum public.t;
"""


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


async def shop_on(server: ScratchPostgres, database: str) -> None:
    await server.psql("create extension if not exists pgstattuple", database)
    await server.psql(BLOATED, database)

    # Of what a session has changed itself ANALYZE learns too late.
    await server.psql("analyze public.t", database)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await shop_on(server, database)
    return database


async def indexes(server: ScratchPostgres, database: str) -> dict[str, bool]:
    said = await server.psql(
        "select indexrelid::regclass, indisvalid from pg_index where indrelid = 't'::regclass order by 1",
        database,
    )
    return {name: valid == "t" for name, _, valid in (line.partition("|") for line in said.splitlines())}


async def size(server: ScratchPostgres, database: str) -> int:
    return int(await server.psql("select pg_relation_size('bloated')", database))


async def test_a_bloated_index_is_rebuilt(server: ScratchPostgres, shop: str) -> None:
    large = await size(server, shop)
    async with acting(server, shop) as session:
        plan = await planned(REINDEX, session, index="bloated", **SMALL)
        assert plan.steps[0].text == "REINDEX INDEX CONCURRENTLY public.bloated"
        assert plan.evidence["estimated"] > 0.5
        assert plan.evidence["measured"] > 0.5
        assert plan.prediction.disk_bytes == large
        assert (await planned(REINDEX, session, **plan.parameters)).plan_hash == plan.plan_hash
        assert all(result.allowed for result in await REINDEX.check(plan, session))
        before = await REINDEX.measure(plan, session)
        assert before["index_bytes"] == large
        done = await carried_out(REINDEX, plan, session)
        after = await REINDEX.measure(plan, session)
        assert done["results"]["reindex"]["bytes_after"] == after["index_bytes"] < large / 2
        assert done["results"]["tidy"] == {"dropped": []}
        assert REINDEX.judge(plan, before, after) is Verdict.IMPROVED
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert "are asked for" in refused.reason
    assert await indexes(server, shop) == {"bloated": True}


async def test_one_estimator_alone_is_not_enough(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        await server.psql("drop extension pgstattuple", shop)
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert refused.guard == "second_source"
        assert "only one estimator" in refused.reason
        assert "CREATE EXTENSION pgstattuple" in refused.reason
        await planned(REINDEX, session, index="bloated", single_estimate=True, **SMALL)
        await server.psql("delete from pg_statistic where starelid = 't'::regclass", shop)
        refused = await refusal(REINDEX, session, index="bloated", single_estimate=True, **SMALL)
        assert "is not known" in refused.reason
        await server.psql("create extension pgstattuple", shop)
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert "ANALYZE its table" in refused.reason


async def test_estimators_that_disagree_stand_against_it(server: ScratchPostgres, shop: str) -> None:
    """The statistics take the rows for much wider than they are: by them nothing is bloated."""
    await server.psql(
        "update pg_statistic set stawidth = 60, stadistinct = -1 where starelid = 't'::regclass", shop
    )
    await server.psql(
        "update pg_attribute set attlen = 60 where attrelid = 't'::regclass and attname = 'id'", shop
    )
    async with acting(server, shop) as session:
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
    assert "disagree" in refused.reason


async def test_what_cannot_be_rebuilt_is_refused(server: ScratchPostgres, shop: str) -> None:
    await failed_build(server, shop)
    await server.psql(
        "create table public.whole (id int) partition by range (id); create index parts on public.whole (id);"
        "create table public.ranges (r int4range, constraint no_overlap exclude using gist (r with &&));"
        "create index hashed on public.t using hash (id)",
        shop,
    )
    async with acting(server, shop) as session:
        for index, schema, said in (
            ("broken", "public", "is invalid: postgresql.drop_invalid_index"),
            ("parts", "public", "is a partitioned index"),
            ("no_overlap", "public", "exclusion constraint"),
            ("hashed", "public", "only the bloat of B-trees"),
            ("pg_class_oid_index", "pg_catalog", "of a system catalog"),
            ("absent", "public", "has no index"),
        ):
            refused = await refusal(REINDEX, session, index=index, schema=schema, **SMALL)
            assert said in refused.reason


async def test_an_open_transaction_stands_against_it_before_it_costs_anything(
    server: ScratchPostgres, shop: str
) -> None:
    async with acting(server, shop) as session, snapshot_holder(server, shop) as pid:
        await asyncio.sleep(1.5)
        refused = await refusal(REINDEX, session, index="bloated", wait_seconds=1.0, **SMALL)
        assert f"pid {pid} has had a transaction open" in refused.reason


async def test_giving_up_waiting_leaves_debris_that_is_cleaned(server: ScratchPostgres, shop: str) -> None:
    operation = REINDEX.operations["reindex"]
    assert operation.capture
    assert operation.read_back
    assert operation.clean
    await server.psql("create index mine on public.t (id)", shop)
    await server.psql("alter index mine rename to bloated_ccnew7", shop)
    await server.psql(
        "update pg_index set indisvalid = false where indexrelid = 'bloated_ccnew7'::regclass", shop
    )
    async with acting(server, shop) as session:
        plan = await planned(REINDEX, session, index="bloated", wait_seconds=1.0, **SMALL)
        before = await operation.capture(work(plan, "reindex", session))
        asked = work(plan, "reindex", session, before)
        async with snapshot_holder(server, shop):
            with pytest.raises(OutcomeUnknown, match="55P03"):
                await operation.perform(asked)
        assert (await indexes(server, shop))["bloated_ccnew"] is False
        assert (await operation.read_back(asked)).answer == "not_done"
        assert await operation.clean(asked) == {"dropped": ["public.bloated_ccnew"]}
        assert await operation.clean(asked) == {"dropped": []}
        # What was there before is not ours.
        assert await indexes(server, shop) == {"bloated": True, "bloated_ccnew7": False}
        await operation.perform(asked)
        assert (await operation.read_back(asked)).answer == "done"


async def test_f29_a_backend_that_is_killed_in_the_middle_leaves_debris_for_the_next_attempt(
    new_postgres: NewPostgres,
) -> None:
    server = await new_postgres(15)
    await server.psql("create database shop")
    await shop_on(server, "shop")
    operation = REINDEX.operations["reindex"]
    assert operation.capture
    assert operation.read_back
    assert operation.clean
    async with acting(server, "shop") as session:
        plan = await planned(REINDEX, session, index="bloated", **SMALL)
        before = await operation.capture(work(plan, "reindex", session))
        async with snapshot_holder(server, "shop"):
            task = asyncio.ensure_future(operation.perform(work(plan, "reindex", session, before)))
            await until(lambda: builds(server, session.pid), 60)
            kill_backend(session.pid)
            with pytest.raises(OutcomeUnknown):
                await task
    await until(lambda: answers(server), 60)
    assert await indexes(server, "shop") == {"bloated": True, "bloated_ccnew": False}
    async with acting(server, "shop", epoch=2) as session:
        asked = work(plan, "reindex", session, before)
        assert (await operation.read_back(asked)).answer == "not_done"
        assert await operation.clean(asked) == {"dropped": ["public.bloated_ccnew"]}
        done = await operation.perform(asked)
        read = await operation.read_back(asked)
        assert read.answer == "done"
        tidy = REINDEX.operations["tidy"].perform
        assert await tidy(work(plan, "tidy", session, {}, {"reindex": done})) == {"dropped": []}
        with pytest.raises(NotDone, match="is not known"):
            await tidy(work(plan, "tidy", session))
    assert await indexes(server, "shop") == {"bloated": True}


async def answers(server: ScratchPostgres) -> bool:
    try:
        return await server.psql("select 1") == "1"
    except Exception:
        return False


async def test_a_cancelled_attempt_is_under_way_until_it_has_ended(
    server: ScratchPostgres, shop: str
) -> None:
    operation = REINDEX.operations["reindex"]
    assert operation.capture
    assert operation.read_back
    async with acting(server, shop) as session, acting(server, shop, execution="looker") as looker:
        plan = await planned(REINDEX, session, index="bloated", **SMALL)
        before = await operation.capture(work(plan, "reindex", session))
        async with snapshot_holder(server, shop):
            task = asyncio.ensure_future(operation.perform(work(plan, "reindex", session, before)))
            await until(lambda: builds(server, session.pid), 60)
            asked = work(plan, "reindex", looker, before)
            assert (await operation.read_back(asked)).answer == "under_way"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await operation.read_back(asked)).answer == "not_done"
        assert operation.clean
        await operation.clean(asked)
    assert await indexes(server, shop) == {"bloated": True}


async def test_another_index_of_its_name_is_not_rebuilt(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(REINDEX, session, index="bloated", **SMALL)
        await server.psql(
            "alter index bloated rename to old; create index bloated on public.t (filler)", shop
        )
        (result,) = await REINDEX.check(plan, session)
        assert (result.guard, result.allowed) == ("identity", False)
        with pytest.raises(NotDone, match=r"is called public\.old now"):
            await carried_out(REINDEX, plan, session)


async def test_hostile_and_long_names(server: ScratchPostgres, shop: str) -> None:
    for name in ('"; DROP TABLE t; --', "it's %s", "x" * 63):
        await server.psql('alter index public.bloated rename to "' + name.replace('"', '""') + '"', shop)
        async with acting(server, shop) as session:
            plan = await planned(
                REINDEX, session, index=name, bloat_ratio_min=0.05, single_estimate=True, **SMALL
            )
            operation = REINDEX.operations["reindex"]
            assert operation.capture
            before = await operation.capture(work(plan, "reindex", session))
            asked = work(plan, "reindex", session, before)
            async with snapshot_holder(server, shop):
                quick = work(await planned(REINDEX, session, **{**plan.parameters, "wait_seconds": 1.0}), "reindex", session, before)  # fmt: skip
                with pytest.raises(OutcomeUnknown):
                    await operation.perform(quick)
            assert len(await indexes(server, shop)) == 2
            assert operation.clean
            assert len((await operation.clean(asked))["dropped"]) == 1
            assert len(await indexes(server, shop)) == 1
        await server.psql('alter index public."' + name.replace('"', '""') + '" rename to bloated', shop)


async def test_rights_that_are_missing_are_named(
    server: ScratchPostgres, shop: str, bare_role: NewLogin
) -> None:
    actor, owner = await bare_role(server), await bare_role(server)
    await server.psql(f"alter table public.t owner to {owner.user}", shop)
    await server.psql(f"grant usage, create on schema public to {owner.user}", shop)
    async with acting(server, shop, login=actor) as session:
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert f"GRANT pg_read_all_stats TO {actor.user};" in refused.reason
        await server.psql(f"grant pg_read_all_stats to {actor.user}")
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert f'GRANT "{owner.user}" TO {actor.user};' in refused.reason
        await server.psql(f"grant {owner.user} to {actor.user}")
        refused = await refusal(REINDEX, session, index="bloated", **SMALL)
        assert "GRANT pg_stat_scan_tables" in refused.reason
        await server.psql(f"grant pg_stat_scan_tables to {actor.user}")
        await carried_out(REINDEX, await planned(REINDEX, session, index="bloated", **SMALL), session)


async def test_a_replica_is_refused(postgres_pair: Pair) -> None:
    _, replica = postgres_pair
    async with acting(replica) as session:
        refused = await refusal(REINDEX, session, index="any")
    assert "name the primary" in refused.reason


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {}, False),
        ({"statement_calls": 50.0, "statement_seconds": 1.0}, {}, False),
        ({"statement_calls": 100.0, "statement_seconds": 1.0}, {}, False),
        ((100.0, 1.0), (150.0, 1.5), None),
        ((100.0, 1.0), (200.0, 2.0), False),
        ((100.0, 1.0), (200.0, 3.1), True),
        ((100.0, 1.0), (10.0, 3.1), False),
    ],
)
def test_slower_is_told_by_calls_made_since(before: object, after: object, said: bool | None) -> None:
    def figures(one: object) -> dict[str, float]:
        if isinstance(one, tuple):
            return {"statement_calls": one[0], "statement_seconds": one[1]}
        assert isinstance(one, dict)
        return one

    assert slower(figures(before), figures(after)) is said
