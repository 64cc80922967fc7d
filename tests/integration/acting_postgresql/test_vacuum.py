"""VACUUM as a remedy: what it removes, whom it waits for, and when it is not even begun."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Verdict
from actions.postgresql.vacuum import Vacuum
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.servers import NewPostgres, Pair
from tests.fixtures.waiting import until

VACUUM = Vacuum()
ROWS = 5000


async def counted(server: ScratchPostgres, database: str, least: int = 1) -> None:
    async def dead() -> bool:
        found = await server.psql("select n_dead_tup from pg_stat_all_tables where relname = 't'", database)
        return int(found or 0) >= least

    await until(dead, 60)


async def dirty(server: ScratchPostgres, database: str, rows: int = ROWS) -> None:
    """Make a table `public.t` that is half dead."""
    await server.psql(
        f"create table public.t (id int, filler text) with (autovacuum_enabled = off);"
        f"insert into public.t select i, repeat('x', 100) from generate_series(1, {rows * 2}) i;"
        f"delete from public.t where id > {rows}",
        database,
    )
    await counted(server, database, rows)


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Any) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await dirty(server, database)
    return database


async def size(server: ScratchPostgres, database: str) -> int:
    return int(await server.psql("select pg_relation_size('public.t')", database))


async def dead(server: ScratchPostgres, database: str) -> int:
    return int(await server.psql("select n_dead_tup from pg_stat_all_tables where relname = 't'", database))


async def test_it_removes_dead_rows_and_never_truncates(server: ScratchPostgres, shop: str) -> None:
    before = await size(server, shop)
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        assert "TRUNCATE false, INDEX_CLEANUP auto" in plan.steps[0].text
        assert all(result.allowed for result in await VACUUM.check(plan, session))
        first = await VACUUM.measure(plan, session)
        done = await carried_out(VACUUM, plan, session)
        after = await VACUUM.measure(plan, session)
    assert done["before"]["vacuum"]["dead"] == ROWS
    assert done["results"]["vacuum"]["dead"] == 0
    assert VACUUM.judge(plan, first, after) is Verdict.IMPROVED
    assert await size(server, shop) == before, "the empty end of the table must not have been cut off"


async def test_planning_again_with_its_parameters_gives_the_same_plan(
    server: ScratchPostgres, shop: str
) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session)
        assert plan.parameters["table"] == "t"
        assert (await planned(VACUUM, session, **plan.parameters)).plan_hash == plan.plan_hash


async def test_the_neediest_table_is_found(server: ScratchPostgres, shop: str) -> None:
    await server.psql(
        "create table public.small (id int) with (autovacuum_enabled = off);"
        "insert into public.small select generate_series(1, 1500); delete from public.small",
        shop,
    )
    async with acting(server, shop) as session:
        assert (await planned(VACUUM, session, dead_rows_min=1)).subject == f"{shop}.public.t"


async def test_there_is_nothing_to_do_when_few_rows_are_dead(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        refused = await refusal(VACUUM, session, table="t", dead_rows_min=ROWS * 10)
    assert "fewer than 50000" in refused.reason


async def test_between_plan_and_act_the_symptom_may_have_gone(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("vacuum public.t", shop)
        results = {result.guard: result for result in await VACUUM.check(plan, session)}
    assert not results["second_source"].allowed
    assert results["identity"].allowed


async def test_f53_a_table_dropped_and_made_anew_is_another_one(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("drop table public.t; create table public.t (id int)", shop)
        (same,) = await VACUUM.check(plan, session)
        assert (same.guard, same.allowed) == ("identity", False)
        with pytest.raises(NotDone, match="is gone"):
            await carried_out(VACUUM, plan, session)


async def test_f53_a_table_renamed_meanwhile_is_left_alone(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        await server.psql("alter table public.t rename to old; create table public.t (id int)", shop)
        with pytest.raises(NotDone, match=r"is called public\.old now"):
            await carried_out(VACUUM, plan, session)


async def test_f50_a_plan_for_another_database_is_refused(server: ScratchPostgres, shop: str) -> None:
    async with acting(server, shop) as session:
        refused = await refusal(VACUUM, session, database="another", table="t")
    assert refused.guard == "identity"


async def test_f53_a_replica_is_refused(postgres_pair: Pair) -> None:
    async with acting(postgres_pair[1]) as session:
        assert "is a replica" in (await refusal(VACUUM, session)).reason


@contextlib.asynccontextmanager
async def idle_in_transaction(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    async with connected(server, database, server_settings={"application_name": "forgotten"}) as user:
        await user.execute("begin isolation level repeatable read")
        await user.fetch("select 1 from pg_class")
        yield r"idle in a transaction.*forgotten|forgotten.*idle in a transaction"


@contextlib.asynccontextmanager
async def running(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    async with connected(server, database) as user:
        async with asyncio.TaskGroup() as group:
            group.create_task(asleep(user))
            await until(lambda: _busy(server, user.get_server_pid()), 60)
            yield "cancel_query"
            await wake(server)


async def _busy(server: ScratchPostgres, pid: int) -> bool:
    asked = f"select count(*) from pg_stat_activity where pid = {pid} and backend_xmin is not null"
    return int(await server.psql(asked)) == 1


@contextlib.asynccontextmanager
async def prepared(server: ScratchPostgres, database: str) -> AsyncIterator[str]:
    await server.psql("begin; insert into public.t values (0); prepare transaction 'lost one'", database)
    try:
        yield r"prepared transaction lost one.*ROLLBACK PREPARED"
    finally:
        await server.psql("rollback prepared 'lost one'", database)


@pytest.mark.parametrize("hold", [idle_in_transaction, running, prepared])
async def test_who_holds_the_horizon_is_named_first(server: ScratchPostgres, shop: str, hold: Any) -> None:
    async with hold(server, shop) as words, acting(server, shop) as session:
        refused = await refusal(VACUUM, session, table="t", blocker_seconds=0.0)
        assert "would be useless" in refused.reason
        assert re.search(words, refused.reason), refused.reason
    async with acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t", blocker_seconds=0.0)
        async with hold(server, shop):
            results = {result.guard: result for result in await VACUUM.check(plan, session)}
    assert not results["precondition"].allowed


async def test_a_holder_of_another_database_stands_against_nothing(
    server: ScratchPostgres, shop: str
) -> None:
    async with idle_in_transaction(server, "postgres"), acting(server, shop) as session:
        await planned(VACUUM, session, table="t", blocker_seconds=0.0)


@pytest.mark.parametrize("connected_standby", [True, False], ids=["standby_feedback", "slot"])
async def test_a_standby_and_its_slot_hold_the_horizon(
    new_postgres: NewPostgres, connected_standby: bool
) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(
        replica_of=primary,
        slot="far",
        settings={"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"},
    )
    await dirty(primary, "postgres")
    async with connected(replica) as reader:
        await reader.execute("begin isolation level repeatable read")
        await reader.fetch("select 1 from pg_class")

        async def fed() -> bool:
            return bool(await primary.psql("select 1 from pg_replication_slots where xmin is not null"))

        await until(fed, 60)
        if not connected_standby:
            await replica.kill()

            async def gone() -> bool:
                return not await primary.psql("select 1 from pg_stat_replication")

            await until(gone, 60)
        for _ in range(5):
            await primary.psql("insert into public.t values (0)")
        async with acting(primary) as session:
            refused = await refusal(VACUUM, session, table="t", blocker_transactions=1)
            await planned(VACUUM, session, table="t")
    assert ("hot_standby_feedback" if connected_standby else "the replication slot far") in refused.reason


async def test_a_lock_of_a_user_is_not_waited_for_long(server: ScratchPostgres, shop: str) -> None:
    async with connected(server, shop) as user, acting(server, shop) as session:
        plan = await planned(VACUUM, session, table="t")
        async with user.transaction():
            await user.execute("lock table public.t in share row exclusive mode")
            with pytest.raises(NotDone) as caught:
                await VACUUM.operations["vacuum"].perform(work(plan, "vacuum", session))
            assert caught.value.again
        await carried_out(VACUUM, plan, session)


@contextlib.asynccontextmanager
async def crowded(server: ScratchPostgres) -> AsyncIterator[None]:
    """Keep a server busy, so that VACUUM makes its longest pauses."""
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(10):
            user = await stack.enter_async_context(connected(server))
            group.create_task(asleep(user))
        yield
        await wake(server)


async def asleep(user: Any) -> None:
    with contextlib.suppress(asyncpg.PostgresError):
        await user.execute("select pg_sleep(150) from pg_class limit 1")


async def wake(server: ScratchPostgres) -> None:
    await server.psql(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
        " where query like 'select pg_sleep%' and pid <> pg_backend_pid()"
    )


async def under_way(server: ScratchPostgres) -> bool:
    return bool(await server.psql("select 1 from pg_stat_progress_vacuum"))


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


@pytest.mark.parametrize("name", ['a"b', "new\nline", "'; drop table t; --", "y" * 63, "%s $1"])
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


def test_what_is_not_measured_is_not_judged() -> None:
    assert VACUUM.judge(None, {}, {"dead_rows": 1}) is Verdict.INCONCLUSIVE  # type: ignore[arg-type]
    assert VACUUM.judge(None, {"dead_rows": 10}, {"dead_rows": 6}) is Verdict.NEUTRAL  # type: ignore[arg-type]
