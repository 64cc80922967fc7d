"""Cancelling and terminating: the right session, and never another."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from actions.errors import NotDone
from actions.model import Plan, Verdict
from actions.postgresql import victims
from actions.postgresql.cancel_query import CancelQuery
from actions.postgresql.terminate_session import TerminateSession
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import Login, NewLogin
from tests.fixtures.servers import Pair, Servers
from tests.fixtures.waiting import until

CANCEL, TERMINATE = CancelQuery(), TerminateSession()
SLEEP = "select pg_sleep(300)"
IDLE = {"symptom": "idle_in_transaction", "least_seconds": 0.01}
LONG = {"symptom": "long_query", "least_seconds": 0.01}
HEAD = {"symptom": "lock_head", "least_seconds": 0.01}
DEAF = """do $$ begin loop begin perform pg_sleep(1); exception when query_canceled then null; end; end loop; end $$"""


@pytest.fixture(autouse=True)
def no_signals_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victims, "_rates", victims._Rates())


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


@pytest.fixture
async def app(server: ScratchPostgres, bare_role: NewLogin) -> Login:
    return await bare_role(server)


@contextlib.asynccontextmanager
async def session_of(server: Any, login: Login, name: str = "shop") -> AsyncIterator[asyncpg.Connection]:
    async with connected(
        server, user=login.user, password=login.password, server_settings={"application_name": name}
    ) as one:
        yield one


@contextlib.asynccontextmanager
async def running(server: Any, login: Login, sql: str = SLEEP, name: str = "shop") -> AsyncIterator[Any]:
    """Give a session with a statement under way, and its future."""
    async with session_of(server, login, name) as one:
        answer = asyncio.ensure_future(one.execute(sql, timeout=600))
        pid = one.get_server_pid()
        try:
            await until(lambda: is_active(server, pid), 60)
            yield one, answer
        finally:
            answer.cancel()
            with contextlib.suppress(BaseException):
                await answer


async def is_active(server: ScratchPostgres, pid: int) -> bool:
    said = await server.psql(f"select count(*) from pg_stat_activity where pid = {pid} and state = 'active'")
    return said == "1"


async def pids(server: ScratchPostgres, user: str) -> list[int]:
    said = await server.psql(f"select pid from pg_stat_activity where usename = '{user}' order by 1")
    return [int(line) for line in said.splitlines()]


@contextlib.asynccontextmanager
async def idling(server: Any, login: Login, name: str = "shop") -> AsyncIterator[asyncpg.Connection]:
    async with session_of(server, login, name) as one:
        await one.execute("begin")
        await one.execute("select 1")
        await asyncio.sleep(0.05)
        yield one


async def test_a_long_query_is_cancelled_and_its_session_stays(server: ScratchPostgres, app: Login) -> None:
    async with running(server, app) as (one, answer), acting(server) as session:
        plan = await planned(CANCEL, session, user=app.user, **LONG)
        assert plan.scope.part == f"session:{one.get_server_pid()}"
        assert (await planned(CANCEL, session, **plan.parameters)).plan_hash == plan.plan_hash
        assert all(result.allowed for result in await CANCEL.check(plan, session))
        before = await CANCEL.measure(plan, session)
        assert CANCEL.judge(plan, before, before) is Verdict.INCONCLUSIVE
        done = await carried_out(CANCEL, plan, session)
        assert done["results"]["cancel"]["cancelled"] is True
        with pytest.raises(asyncpg.QueryCanceledError):
            await answer
        assert await one.fetchval("select 1") == 1
        assert CANCEL.judge(plan, before, await CANCEL.measure(plan, session)) is Verdict.IMPROVED


async def test_the_one_that_idles_longest_is_ended_and_no_other(server: ScratchPostgres, app: Login) -> None:
    async with idling(server, app) as first, idling(server, app) as second, acting(server) as session:
        plan = await planned(TERMINATE, session, user=app.user, **IDLE)
        assert [step.name for step in plan.steps] == ["terminate"]
        assert plan.parameters["pid"] == first.get_server_pid()
        assert (await planned(TERMINATE, session, **plan.parameters)).plan_hash == plan.plan_hash
        before = await TERMINATE.measure(plan, session)
        done = await carried_out(TERMINATE, plan, session)
        assert done["results"]["terminate"]["terminated"] is True
        assert await pids(server, app.user) == [second.get_server_pid()]
        assert await second.fetchval("select 1") == 1
        assert TERMINATE.judge(plan, before, await TERMINATE.measure(plan, session)) is Verdict.IMPROVED


async def test_the_head_of_a_lock_queue_is_ended_and_those_behind_it_go_on(
    server: ScratchPostgres, app: Login
) -> None:
    table = f"t_{secrets.token_hex(4)}"
    await server.psql(f"create table public.{table} (id int); grant all on public.{table} to {app.user}")
    async with (
        session_of(server, app) as head,
        session_of(server, app) as waiting,
        acting(server) as session,
    ):
        await head.execute(f"begin; lock table public.{table}")
        behind = asyncio.ensure_future(waiting.fetchval(f"select count(*) from public.{table}"))
        await until(lambda: blocked_by(server, head.get_server_pid()), 60)
        plan = await planned(TERMINATE, session, user=app.user, **HEAD)
        assert plan.parameters["pid"] == head.get_server_pid()
        done = await carried_out(TERMINATE, plan, session)
        assert done["results"]["terminate"]["terminated"] is True
        assert await behind == 0
        assert CANCEL.judge(plan, {"victim_left": 1.0}, await TERMINATE.measure(plan, session)) is (
            Verdict.IMPROVED
        )


async def test_a_head_that_heeds_a_cancellation_is_not_terminated(
    server: ScratchPostgres, app: Login
) -> None:
    table = f"t_{secrets.token_hex(4)}"
    await server.psql(f"create table public.{table} (id int); grant all on public.{table} to {app.user}")
    sql = f"lock table public.{table}; {SLEEP}"
    async with (
        running(server, app, sql) as (head, answer),
        session_of(server, app) as waiting,
        acting(server) as session,
    ):
        behind = asyncio.ensure_future(waiting.fetchval(f"select count(*) from public.{table}"))
        await until(lambda: blocked_by(server, head.get_server_pid()), 60)
        plan = await planned(TERMINATE, session, user=app.user, **HEAD)
        done = await carried_out(TERMINATE, plan, session)
        assert done["results"]["cancel"]["heeded"] is True
        assert done["results"]["terminate"]["terminated"] is False
        with pytest.raises(asyncpg.QueryCanceledError):
            await answer
        assert await behind == 0
        assert await head.fetchval("select 1") == 1


async def test_a_statement_that_heeds_no_cancellation_is_told_of_and_then_terminated(
    server: ScratchPostgres, app: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actions.postgresql.cancel_query.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("actions.postgresql.terminate_session.HEED_SECONDS", 1.0)
    async with running(server, app, DEAF) as (one, _answer), acting(server) as session:
        plan = await planned(CANCEL, session, user=app.user, **LONG)
        with pytest.raises(NotDone, match=r"goes on after 1 s; postgresql\.terminate_session"):
            await carried_out(CANCEL, plan, session)
        plan = await planned(TERMINATE, session, user=app.user, **LONG)
        done = await carried_out(TERMINATE, plan, session)
        assert done["results"]["cancel"]["heeded"] is False
        assert done["results"]["terminate"]["terminated"] is True
        assert one.get_server_pid() not in await pids(server, app.user)


async def test_one_that_has_gone_on_is_left_alone(server: ScratchPostgres, app: Login) -> None:
    async with idling(server, app) as one, acting(server) as session:
        plan = await planned(TERMINATE, session, user=app.user, **IDLE)
        await one.execute("commit")
        await one.execute("begin")
        await one.execute("select 1")
        (result,) = await TERMINATE.check(plan, session)
        assert (result.guard, result.allowed) == ("second_source", False)
        with pytest.raises(NotDone, match="gone on by itself"):
            await carried_out(TERMINATE, plan, session)
        assert await one.fetchval("select 1") == 1


async def test_the_next_statement_of_the_same_session_is_not_cancelled(
    server: ScratchPostgres, app: Login
) -> None:
    async with session_of(server, app) as one, acting(server) as session:
        first = asyncio.ensure_future(one.execute("select pg_sleep(3)"))
        await until(lambda: is_active(server, one.get_server_pid()), 60)
        plan = await planned(CANCEL, session, user=app.user, **LONG)
        await first
        second = asyncio.ensure_future(one.fetchval("select count(pg_sleep(4))"))
        await until(lambda: is_active(server, one.get_server_pid()), 60)
        with pytest.raises(NotDone, match="gone on by itself"):
            await carried_out(CANCEL, plan, session)
        assert await second == 1


async def test_f52_a_pid_that_another_backend_has_by_now_is_never_signalled(
    server: ScratchPostgres, app: Login
) -> None:
    """Ten thousand tries with a live pid and the identity of a backend that had it before."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(acting(server))
        async with idling(server, app) as old:
            plan = await planned(TERMINATE, session, user=app.user, **IDLE)
            old_pid = old.get_server_pid()
        await until(lambda: gone(server, old_pid), 60)
        others = [await stack.enter_async_context(idling(server, app)) for _ in range(5)]
        tries = 0
        for number in range(2000):
            for other in others:
                known = {**plan.steps[0].arguments, "pid": other.get_server_pid()}
                how: victims.Signal = "pg_cancel_backend" if number % 2 else "pg_terminate_backend"
                with pytest.raises(NotDone, match="gone on by itself"):
                    await victims.signal(session, known, how)
                tries += 1
        assert tries == 10_000
        assert [await one.fetchval("select 1") for one in others] == [1] * 5


async def test_f52_a_pid_that_is_really_used_again(server: ScratchPostgres, app: Login) -> None:
    """The kernel is told to give the same pid once more."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    async with acting(server) as session:
        async with idling(server, app) as old:
            plan = await planned(TERMINATE, session, user=app.user, **IDLE)
            pid = old.get_server_pid()
        await until(lambda: gone(server, pid), 60)
        for _ in range(200):
            try:
                last.write_text(str(pid - 1))
            except OSError as error:
                pytest.skip(f"this kernel lets nobody choose the next pid: {error}")
            async with idling(server, app) as new:
                if new.get_server_pid() != pid:
                    continue
                with pytest.raises(NotDone, match="gone on by itself"):
                    await carried_out(TERMINATE, plan, session)
                assert await new.fetchval("select 1") == 1
                return
        pytest.skip("others were always faster to take the pid")


async def gone(server: ScratchPostgres, pid: int) -> bool:
    return await server.psql(f"select count(*) from pg_stat_activity where pid = {pid}") == "0"


async def blocked_by(server: ScratchPostgres, pid: int) -> bool:
    said = await server.psql(
        f"select count(*) from pg_stat_activity where {pid} = any(pg_blocking_pids(pid)) and wait_event_type = 'Lock'"
    )
    return said != "0"


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
