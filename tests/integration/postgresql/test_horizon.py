"""Who holds the xmin horizon: each of the five cases constructed, and the one holder named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewLogin
from tests.fixtures.runners import given, monitoring_session, runner_of
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

AGE = "pg_xmin_horizon_age_transactions"
HOLDER = "pg_xmin_horizon_holder_age_transactions"


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    """A server of its own: nobody else's snapshot may be older."""
    return await new_postgres(request.param)


async def burn(server: ScratchPostgres, number: int) -> None:
    """Use up transaction ids."""
    await server.psql("select pg_current_xact_id();" * number)


async def look(server: ScratchPostgres, login: Any) -> Any:
    async with monitoring_session(server, login=login) as session:
        return await runner_of("horizon", "xmin_horizon").run(session)


def tables(result: Any) -> tuple[tuple[str, str, str], float]:
    """Return who holds back the tables, and the age."""
    ((key, age),) = [(key, age) for key, age in given(result, HOLDER).items() if key[0] == "tables"]
    return (key[1], key[2], key[3]), age


async def test_nobody_holds_it_on_a_quiet_server(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    result = await look(server, await monitor_role(server))
    assert given(result, HOLDER) == {}
    assert set(given(result, AGE).values()) == {0}


async def test_case_1_a_session_with_a_snapshot(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    login = await monitor_role(server)
    async with (
        asyncio.TaskGroup() as group,
        connected(server, server_settings={"application_name": "report"}) as connection,
    ):
        running = group.create_task(connection.fetch("select pg_sleep(3)"))
        await until(lambda: server.psql("select 1 from pg_stat_activity where wait_event = 'PgSleep'"))
        await burn(server, 50)
        result = await look(server, login)
        await running
    assert tables(result) == (("session", "report", "postgres"), pytest.approx(50, abs=3))
    assert given(result, AGE)["idle_in_transaction",] == 0


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
async def test_case_2_a_session_idle_in_transaction(
    server: ScratchPostgres, monitor_role: NewLogin, isolation: str
) -> None:
    login = await monitor_role(server)
    async with connected(server, server_settings={"application_name": "forgetful"}) as connection:
        await connection.execute(f"begin isolation level {isolation}")
        # In read committed only a transaction that has written holds it.
        await connection.fetch("select pg_current_xact_id()" if isolation == "read committed" else "select 1")
        await burn(server, 50)
        await asyncio.sleep(0.2)
        result = await look(server, login)
        await connection.execute("rollback")
    assert tables(result) == (("idle_in_transaction", "forgetful", "postgres"), pytest.approx(50, abs=3))
    seconds = given(result, "pg_xmin_horizon_holder_seconds")
    assert min(seconds.values()) >= 0.2
    freed = given(result, "pg_xmin_horizon_holder_blocks_transactions")
    assert max(freed.values()) == tables(result)[1]


async def test_case_3_a_prepared_transaction(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    login = await monitor_role(server)
    await server.psql("begin; select pg_current_xact_id(); prepare transaction 'orphan'")
    await burn(server, 50)
    fresh = await look(server, login)
    assert tables(fresh)[0] == ("prepared", "", "postgres")  # not named before it is a minute old
    from collectors.postgresql import horizon

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(horizon, "_NAMED_AFTER_SECONDS", 0.0)
        result = await look(server, login)
    assert tables(result) == (("prepared", "orphan", "postgres"), pytest.approx(50, abs=3))
    await server.psql("rollback prepared 'orphan'")


async def test_case_4_a_logical_slot_holds_the_catalogs_and_not_the_tables(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(server)
    await server.psql("select pg_create_logical_replication_slot('stale_cdc', 'pgoutput')")
    await burn(server, 50)
    now = [100.0]
    from collectors.postgresql.horizon import Horizon
    from tests.fixtures.observing import target

    runner = Horizon(target(server), now=lambda: now[0])
    async with monitoring_session(server, login=login) as session:
        await runner.run(session)
        now[0] += 30
        result = await runner.run(session)
    key = ("catalogs", "slot_catalog_xmin", "stale_cdc", "postgres")
    assert given(result, HOLDER) == {key: pytest.approx(50, abs=3)}
    assert given(result, "pg_xmin_horizon_holder_seconds")[key] == 30
    assert given(result, AGE)["slot_catalog_xmin",] == given(result, HOLDER)[key]


@pytest.mark.parametrize("slot", [None, "feedback"])
async def test_case_5_a_standby_with_feedback(
    server: ScratchPostgres, new_postgres: NewPostgres, monitor_role: NewLogin, slot: str | None
) -> None:
    login = await monitor_role(server)
    settings = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}
    replica = await new_postgres(replica_of=server, slot=slot, settings=settings)
    name = await until(lambda: server.psql("select application_name from pg_stat_replication"))
    async with connected(replica) as connection:
        await connection.execute("begin isolation level repeatable read")
        await connection.fetch("select 1")
        await burn(server, 50)

        async def told() -> bool:
            kinds = given(await look(server, login), AGE)
            return kinds["standby_feedback",] >= 50

        await until(told, deadline=20)
        result = await look(server, login)
        await connection.execute("rollback")
    (kind, holder, _), age = tables(result)
    assert (kind, holder) == ("standby_feedback", name)
    assert age == pytest.approx(50, abs=3)


async def test_of_several_the_oldest_is_named_and_what_would_be_freed(
    server: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(server)
    async with (
        connected(server, server_settings={"application_name": "older"}) as older,
        connected(server, server_settings={"application_name": "younger"}) as younger,
    ):
        for connection in (older, younger):
            await connection.execute("begin isolation level repeatable read")
            await connection.fetch("select 1")
            await burn(server, 30)
        result = await look(server, login)
    assert tables(result)[0] == ("idle_in_transaction", "older", "postgres")
    assert max(given(result, "pg_xmin_horizon_holder_blocks_transactions").values()) == 30
