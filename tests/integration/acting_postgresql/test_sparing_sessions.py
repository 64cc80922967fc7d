"""Who is never ended, who may be, and which rights that takes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import asyncpg
import pytest

from actions.errors import NotDone
from actions.model import Plan
from actions.postgresql import victims
from actions.postgresql.cancel_query import CancelQuery
from actions.postgresql.terminate_session import TerminateSession
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import Login, NewLogin
from tests.fixtures.misbehaving import (
    IDLE,
    LONG,
    gone,
    idling,
    pids,
    running,
)
from tests.fixtures.servers import Pair, Servers
from tests.fixtures.waiting import until

CANCEL, TERMINATE = CancelQuery(), TerminateSession()


@pytest.fixture(autouse=True)
def no_signals_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victims, "_rates", victims._Rates())


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def app(server: ScratchPostgres, bare_role: NewLogin) -> Login:
    return await bare_role(server)


@pytest.mark.parametrize(
    "name", ["pg_dump", "PG_DUMP", "barman_cloud", "pgBackRest [backup]", "Patroni heartbeat"]
)
async def test_backups_and_cluster_managers_are_spared(
    servers: Servers, bare_role: NewLogin, name: str
) -> None:
    server = await servers.get(15)
    login = await bare_role(server)
    async with idling(server, login, name), acting(server) as session:
        refused = await refusal(TERMINATE, session, user=login.user, **IDLE)
    assert refused.guard == "second_source"
    assert "is among applications_denied" in refused.reason


async def test_sessions_of_ours_and_those_that_wait_are_not_even_considered(
    server: ScratchPostgres, app: Login
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for name in ("dbarchitect/abc/1", "database-architect"):
            await stack.enter_async_context(idling(server, app, name))
        session = await stack.enter_async_context(acting(server))
        refused = await refusal(TERMINATE, session, user=app.user, applications_denied="none", **IDLE)
        assert "spared" not in refused.reason


async def test_a_superuser_is_spared_unless_allowed(server: ScratchPostgres) -> None:
    async with connected(server, server_settings={"application_name": "root_at_work"}) as one:
        await one.execute("begin")
        await one.execute("select 1")
        await asyncio.sleep(0.05)
        async with acting(server) as session:
            refused = await refusal(TERMINATE, session, application="root_at_work", **IDLE)
            assert "a superuser's" in refused.reason
            plan = await planned(TERMINATE, session, application="root_at_work", superusers=True, **IDLE)
            await carried_out(TERMINATE, plan, session)
            await until(lambda: gone(server, plan.parameters["pid"]), 60)


@pytest.mark.parametrize(
    ("given", "spared"),
    [
        ({"users_allowed": "r_*"}, False),
        ({"users_allowed": "other, R_*"}, False),
        ({"users_allowed": "other"}, True),
        ({"users_denied": "r_*"}, True),
        ({"databases_denied": "postgres"}, True),
        ({"databases_allowed": "post*"}, False),
        ({"applications_denied": "sh?p"}, True),
        ({"applications_denied": ""}, False),
        ({"applications_allowed": "shop"}, False),
        ({"applications_allowed": "[a-z]*"}, True),
    ],
)
async def test_lists_decide_who_may_be_ended(
    servers: Servers, bare_role: NewLogin, given: dict[str, Any], spared: bool
) -> None:
    server = await servers.get(18)
    login = await bare_role(server)
    async with idling(server, login), acting(server) as session:
        if spared:
            refused = await refusal(TERMINATE, session, user=login.user, **IDLE, **given)
            assert "spared" in refused.reason
        else:
            await planned(TERMINATE, session, user=login.user, **IDLE, **given)


async def test_replication_and_maintenance_are_no_symptoms(postgres_pair: Pair, bare_role: NewLogin) -> None:
    primary, _ = postgres_pair
    login = await bare_role(primary)
    await primary.psql(f"grant pg_read_all_stats to {login.user}")
    async with acting(primary) as session:
        walsenders = await session.fetch("select pid from pg_stat_replication")
        assert walsenders
        refused = await refusal(CANCEL, session, superusers=True, pid=walsenders[0]["pid"], **LONG)
    assert "spared" not in refused.reason


async def test_a_replica_s_sessions_can_be_ended(postgres_pair: Pair, bare_role: NewLogin) -> None:
    primary, replica = postgres_pair
    login = await bare_role(primary)
    await until(lambda: known_at(replica, login.user), 60)
    async with running(replica, login) as (_one, answer), acting(replica) as session:
        plan = await planned(CANCEL, session, user=login.user, **LONG)
        assert plan.identity.role == "replica"
        await carried_out(CANCEL, plan, session)
        with pytest.raises(asyncpg.QueryCanceledError):
            await answer


async def known_at(server: ScratchPostgres, user: str) -> bool:
    return await server.psql(f"select count(*) from pg_roles where rolname = '{user}'") == "1"


async def test_missing_grants_are_named_with_the_sql_that_gives_them(
    server: ScratchPostgres, app: Login, bare_role: NewLogin
) -> None:
    actor = await bare_role(server)
    async with idling(server, app) as one:
        async with acting(server, login=actor) as session:
            refused = await refusal(TERMINATE, session, user=app.user, **IDLE)
            assert f"GRANT pg_read_all_stats TO {actor.user};" in refused.reason
            await server.psql(f"grant pg_read_all_stats to {actor.user}")
            refused = await refusal(TERMINATE, session, user=app.user, **IDLE)
            assert f"GRANT pg_signal_backend TO {actor.user};" in refused.reason
            await server.psql(f"grant pg_signal_backend to {actor.user}")
            plan = await planned(TERMINATE, session, user=app.user, **IDLE)
            await server.psql(f"revoke pg_signal_backend from {actor.user}")
            with pytest.raises(NotDone, match="42501"):
                await carried_out(TERMINATE, plan, session)
            assert await one.fetchval("select 1") == 1
            await server.psql(f"grant pg_signal_backend to {actor.user}")
            await one.execute("select 1")
            await asyncio.sleep(0.05)
            await carried_out(TERMINATE, await planned(TERMINATE, session, user=app.user, **IDLE), session)


async def test_a_superuser_s_session_needs_a_superuser(server: ScratchPostgres, bare_role: NewLogin) -> None:
    actor = await bare_role(server)
    await server.psql(f"grant pg_read_all_stats, pg_signal_backend to {actor.user}")
    async with connected(server, server_settings={"application_name": "root_at_work"}) as one:
        await one.execute("begin")
        await one.execute("select 1")
        await asyncio.sleep(0.05)
        async with acting(server, login=actor) as session:
            refused = await refusal(TERMINATE, session, application="root_at_work", superusers=True, **IDLE)
    assert "only a superuser may signal it" in refused.reason


async def test_hostile_names_are_names(server: ScratchPostgres) -> None:
    user = f""""; drop table x; --%s{{}}$1'\\ {secrets.token_hex(3)}"""
    quoted = '"' + user.replace('"', '""') + '"'
    await server.psql(f"create role {quoted} login password 'p'")
    login = Login(user=user, password="p")
    try:
        async with idling(server, login, 'it\'s; "%s" {0} \\ $1'), acting(server) as session:
            plan = await planned(TERMINATE, session, user=user, **IDLE)
            assert "\n" not in plan.subject
            await carried_out(TERMINATE, plan, session)
            await until(lambda: gone(server, plan.parameters["pid"]), 60)
    finally:
        await server.psql(f"drop role {quoted}")


async def test_no_more_than_three_are_signalled_in_a_minute(server: ScratchPostgres, app: Login) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(idling(server, app))
        session = await stack.enter_async_context(acting(server))
        for _ in range(3):
            await carried_out(TERMINATE, await planned(TERMINATE, session, user=app.user, **IDLE), session)
        plan = await planned(TERMINATE, session, user=app.user, **IDLE)
        with pytest.raises(NotDone, match="3 sessions were signalled within a minute"):
            await carried_out(TERMINATE, plan, session)
        assert len(await pids(server, app.user)) == 1


async def test_what_became_of_a_termination_is_read_back(server: ScratchPostgres, app: Login) -> None:
    read_back = TERMINATE.operations["terminate"].read_back
    assert read_back
    async with idling(server, app), acting(server) as session:
        plan: Plan = await planned(TERMINATE, session, user=app.user, **IDLE)
        asked = work(plan, "terminate", session)
        assert (await read_back(asked)).answer == "not_done"
        await carried_out(TERMINATE, plan, session)
        assert (await read_back(asked)).answer == "done"


async def test_the_watching_role_plans_without_the_right_to_signal(
    server: ScratchPostgres, app: Login
) -> None:
    async with idling(server, app), acting(server, read_only=True) as session:
        plan = await planned(TERMINATE, session, user=app.user, **IDLE)
    assert "watching role" in plan.warnings[0]
