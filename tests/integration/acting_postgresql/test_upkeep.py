"""ANALYZE, FREEZE, CHECKPOINT and a reload as remedies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from actions.errors import NotDone
from actions.model import Verdict
from actions.postgresql.analyze import Analyze
from actions.postgresql.checkpoint import Checkpoint
from actions.postgresql.freeze import Freeze
from actions.postgresql.reload import Reload
from actions.postgresql.set_parameter import SetParameter
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal
from tests.fixtures.clients import connected
from tests.fixtures.databases import Login, NewDatabase, NewLogin
from tests.fixtures.servers import NewPostgres, Pair
from tests.fixtures.waiting import until

ANALYZE, FREEZE, CHECKPOINT, RELOAD = Analyze(), Freeze(), Checkpoint(), Reload()
EVERY = [ANALYZE, FREEZE, CHECKPOINT, RELOAD]


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Any) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await server.psql(
        "create table public.t (id int) with (autovacuum_enabled = off);"
        "insert into public.t select generate_series(1, 1000)",
        database,
    )

    async def counted() -> bool:
        return (
            await server.psql("select n_live_tup from pg_stat_all_tables where relname = 't'", database)
            == "1000"
        )

    await until(counted, 60)
    return database


async def carry(action: Any, session: Any, plan: Any) -> Verdict:
    before = await action.measure(plan, session)
    await carried_out(action, plan, session)
    return action.judge(plan, before, await action.measure(plan, session))


async def test_a_table_is_analyzed_once(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(ANALYZE, session, table="t")
        assert all(result.allowed for result in await ANALYZE.check(plan, session))
        assert await carry(ANALYZE, session, plan) is Verdict.IMPROVED
        assert "are fresh" in (await refusal(ANALYZE, session, table="t")).reason
        results = {result.guard: result.allowed for result in await ANALYZE.check(plan, session)}
        assert results == {"identity": True, "second_source": False, "precondition": True}
    assert await server.psql("select reltuples from pg_class where relname = 't'", shop) == "1000"


async def test_analyze_waits_for_no_lock_and_skips_nothing(
    server: ScratchPostgres, shop: str, monitor_role: NewLogin
) -> None:
    async with connected(server, shop) as user, acting(server, shop) as session:
        plan = await planned(ANALYZE, session, table="t")
        async with user.transaction():
            await user.execute("lock table public.t in share update exclusive mode")
            with pytest.raises(NotDone) as caught:
                await carried_out(ANALYZE, plan, session)
            assert caught.value.again
    login = await monitor_role(server)
    async with acting(server, shop, login=login) as session:
        assert "GRANT" in (await refusal(ANALYZE, session, table="t")).reason
        with pytest.raises(NotDone):
            await carried_out(ANALYZE, plan, session)


async def age(server: ScratchPostgres, transactions: int) -> None:
    async with connected(server) as user:
        await user.execute(
            "do $$ begin for i in 1.."
            + str(transactions)
            + " loop perform txid_current(); commit; end loop; end $$"
        )


async def test_the_oldest_table_is_frozen(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"autovacuum_freeze_max_age": "100000", "autovacuum": "off"})
    await server.psql("create table public.t as select generate_series(1, 1000) as id")
    await age(server, 60_000)
    async with acting(server) as session:
        plan = await planned(FREEZE, session)
        assert plan.evidence["xid_age"] > 60_000
        plan = await planned(FREEZE, session, table="t")
        assert await carry(FREEZE, session, plan) is Verdict.IMPROVED
        assert "nothing to do" in (await refusal(FREEZE, session, table="t")).reason
        assert not {result.guard: result.allowed for result in await FREEZE.check(plan, session)}[
            "second_source"
        ]


async def test_who_keeps_a_table_from_being_frozen_is_named(new_postgres: NewPostgres) -> None:
    server = await new_postgres(18, settings={"autovacuum_freeze_max_age": "100000", "autovacuum": "off"})
    await server.psql("create table public.t as select generate_series(1, 1000) as id")
    await server.psql("begin; insert into public.t values (0); prepare transaction 'forgotten'")
    await age(server, 60_000)
    async with acting(server) as session:
        refused = await refusal(FREEZE, session, table="t")
        assert "the prepared transaction forgotten" in refused.reason
        await server.psql("rollback prepared 'forgotten'")
        await planned(FREEZE, session, table="t")


async def test_a_checkpoint_is_written(server: ScratchPostgres) -> None:
    await server.psql("create table if not exists public.c (i int); insert into public.c values (1)")
    async with acting(server) as session:
        plan = await planned(CHECKPOINT, session)
        assert await carry(CHECKPOINT, session, plan) is Verdict.IMPROVED


async def test_pg_checkpoint_is_enough_for_a_checkpoint(servers: Any, monitor_role: NewLogin) -> None:
    for major, words in ((14, "only a superuser may"), (16, "GRANT pg_checkpoint TO")):
        server = await servers.get(major)
        login = await monitor_role(server)
        async with acting(server, login=login) as session:
            refused = await refusal(CHECKPOINT, session)
            assert words in refused.reason
            if major == 14:
                continue
            await server.psql(refused.reason.partition(": ")[2])
            assert await carry(CHECKPOINT, session, await planned(CHECKPOINT, session)) is Verdict.IMPROVED


async def test_the_configuration_is_read_again(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15)
    async with acting(server) as session:
        plan = await planned(RELOAD, session)
        await server.psql("alter system set work_mem = '5MB'")
        before = await RELOAD.measure(plan, session)
        await carried_out(RELOAD, plan, session)

        async def loaded() -> bool:
            return RELOAD.judge(plan, before, await RELOAD.measure(plan, session)) is Verdict.IMPROVED

        await until(loaded, 60)
        assert await server.psql("show work_mem") == "5MB"


async def test_files_with_mistakes_are_not_read_again(new_postgres: NewPostgres) -> None:
    server = await new_postgres(18)
    async with acting(server) as session:
        plan = await planned(RELOAD, session)
        with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write("work_mem = 'a lot'\n")
        reason = (await refusal(RELOAD, session)).reason
        assert "postgresql.auto.conf:" in reason
        assert "work_mem" in reason
        assert [result.allowed for result in await RELOAD.check(plan, session)] == [False]


async def test_the_right_to_reload_can_be_granted(new_postgres: NewPostgres, monitor_role: NewLogin) -> None:
    server = await new_postgres(15)
    login = await monitor_role(server)
    async with acting(server, login=login) as session:
        refused = await refusal(RELOAD, session)
        await server.psql(refused.reason.partition(": ")[2])
        await carried_out(RELOAD, await planned(RELOAD, session), session)


async def test_the_documented_grants_are_enough(new_postgres: NewPostgres) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/engines/postgresql.md").read_text(encoding="utf-8")
    (grants,) = [one for one in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if "dbarchitect_acts" in one]
    server = await new_postgres(18)
    await server.psql(grants.replace("'...'", "'a password'"))
    await server.psql("create table public.t as select generate_series(1, 1000) as id")
    login = Login("dbarchitect_acts", "a password")
    asked = {"table": "t"}, {}, {}, {"name": "work_mem", "value": "8MB"}
    async with acting(server, login=login) as session:
        for action, parameters in zip((ANALYZE, CHECKPOINT, RELOAD, SetParameter()), asked, strict=True):
            plan = await planned(action, session, **parameters)
            await carried_out(action, plan, session)
        assert plan.identity.system
    assert await server.psql("show work_mem") == "8MB"


@pytest.mark.parametrize("action", EVERY, ids=lambda action: action.info.name)
async def test_what_may_be_done_on_a_replica(postgres_pair: Pair, action: Any) -> None:
    async with acting(postgres_pair[1]) as session:
        if action in (ANALYZE, FREEZE):
            assert "is a replica" in (await refusal(action, session)).reason
        else:
            plan = await planned(action, session)
            await carried_out(action, plan, session)


@pytest.mark.parametrize("action", EVERY, ids=lambda action: action.info.name)
def test_what_is_not_measured_is_not_judged(action: Any) -> None:
    assert action.judge(None, {}, {}) is Verdict.INCONCLUSIVE
