"""Cancelling and terminating: the right session, and never another."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path

import asyncpg
import pytest

from actions.errors import NotDone
from actions.model import Verdict
from actions.postgresql import victims
from actions.postgresql.cancel_query import CancelQuery
from actions.postgresql.terminate_session import TerminateSession
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned
from tests.fixtures.databases import Login, NewLogin
from tests.fixtures.misbehaving import (
    DEAF,
    HEAD,
    IDLE,
    LONG,
    SLEEP,
    blocked_by,
    gone,
    idling,
    is_active,
    pids,
    running,
    session_of,
)
from tests.fixtures.servers import Servers
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
