"""Light probes that are due together are one statement, say what they say alone, and fail alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.model import Cost, Observation, Scope
from collectors.postgresql.observer import PostgresObserver
from daemon.watch import _together
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewLogin
from tests.fixtures.observing import observing, values
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until


@contextlib.asynccontextmanager
async def watched(server: ScratchPostgres, login: NewLogin) -> AsyncIterator[PostgresObserver]:
    who = await login(server)
    async with observing(server, user=who.user, password={"text": who.password}) as observer:
        assert (await observer.up()).up
        yield observer


def light(observer: PostgresObserver) -> list[str]:
    return [info.name for info in observer.plan() if _together(info)]


async def cycle(observer: PostgresObserver, names: Sequence[str]) -> dict[str, Observation]:
    assert (await observer.up()).up
    await observer.ask_ahead(names)
    return {name: await observer.run(name) for name in names}


def shape(found: dict[str, Observation]) -> dict[str, list[object]]:
    """Return what does not change from one look to the next."""
    return {name: [frame.metrics for frame in one.frames] for name, one in found.items()}


def types(found: dict[str, Observation]) -> dict[str, type]:
    """Return of what type the values of each metric are that has any."""
    return {
        metric.name: type(value)
        for one in found.values()
        for frame in one.frames
        for metric, column in zip(frame.metrics, frame.columns, strict=True)
        for value in column
        if value is not None
    }


async def asked(server: ScratchPostgres, user: str) -> int:
    """Return how many statements this role has had executed."""
    sql = (
        "select coalesce(sum(s.calls), 0) from pg_stat_statements s"
        f" join pg_roles r on r.oid = s.userid where r.rolname = '{user}'"
    )
    return int(await server.psql(sql))


async def test_on_every_version_a_probe_says_the_same_ahead_and_alone(
    any_postgres: ScratchPostgres, monitor_role: NewLogin
) -> None:
    async with watched(any_postgres, monitor_role) as observer:
        names = light(observer)
        assert {"activity", "blocking", "connections", "database", "settings"} <= set(names)
        alone = await cycle(observer, names)
        together = await cycle(observer, names)
        assert not observer._ahead._broken
        assert all(one.failure is None for one in (*alone.values(), *together.values()))
        assert shape(together) == shape(alone)
        both = types(together).keys() & types(alone).keys()
        assert {name: types(together)[name] for name in both} == {name: types(alone)[name] for name in both}
        for probe, metric in (("connections", "pg_connections_max"), ("static", "pg_static")):
            assert values(together[probe], metric) == values(alone[probe], metric)


async def test_a_cycle_of_light_probes_is_one_statement_for_each_pace(
    new_postgres: NewPostgres, monitor_role: NewLogin
) -> None:
    server = await new_postgres(15, settings={"shared_preload_libraries": "pg_stat_statements"})
    await server.psql("create extension pg_stat_statements")
    login = await monitor_role(server)
    async with observing(server, user=login.user, password={"text": login.password}) as observer:
        assert (await observer.up()).up
        often = [info.name for info in observer.plan() if _together(info) and info.every_seconds < 60]
        for _ in range(2):
            await cycle(observer, often)
        before = await asked(server, login.user)
        await cycle(observer, often)
        paces = {info.every_seconds for info in observer.plan() if info.name in often}
        assert await asked(server, login.user) - before == 1 + len(paces), "`up` and one for each pace"


async def test_what_one_probe_may_not_read_is_the_matter_of_that_probe(
    new_postgres: NewPostgres, monitor_role: NewLogin
) -> None:
    server = await new_postgres(15)
    async with watched(server, monitor_role) as observer:
        names = light(observer)
        await cycle(observer, names)
        await server.psql("revoke select on pg_stat_slru from public")
        refused = await cycle(observer, names)
        failed = {name: one.failure.cause for name, one in refused.items() if one.failure}
        assert failed == {"slru": "denied"}
        assert observer._ahead._broken, "the statement for all of them was refused"
        rest = await cycle(observer, names)
        assert {name for name, one in rest.items() if one.failure} == {"slru"}
        await observer.ask_ahead(names)
        assert set(names) - set(observer._ahead._answers) == {"slru"}, "the others go on together"


async def test_answers_that_nobody_took_are_not_kept_for_the_next_look(
    postgres15: ScratchPostgres, monitor_role: NewLogin
) -> None:
    async with watched(postgres15, monitor_role) as observer:
        names = light(observer)
        await cycle(observer, names)
        await observer.ask_ahead(names)
        assert observer._ahead._answers
        await observer.ask_ahead([])
        assert not observer._ahead._answers


async def test_who_waits_is_seen_though_nobody_waited_before(
    new_postgres: NewPostgres, monitor_role: NewLogin
) -> None:
    """No row has told the names of the columns when the first ones come."""
    server = await new_postgres(15)
    async with watched(server, monitor_role) as observer:
        names = ["blocking", "connections", "database"]
        for _ in range(2):
            assert values((await cycle(observer, names))["blocking"], "pg_blocked_sessions") == {(): 0}
        async with connected(server) as holder, connected(server) as waiter:
            await holder.execute("create table held (a int)")
            await holder.execute("begin; lock table held in access exclusive mode")
            waiting = asyncio.ensure_future(waiter.fetch("select * from held"))
            await until(lambda: server.psql("select 1 from pg_locks where not granted"))
            for _ in range(2):
                seen = await cycle(observer, names)
                assert values(seen["blocking"], "pg_blocked_sessions") == {(): 1}
            await holder.execute("rollback")
            await waiting


@pytest.mark.parametrize("cost", [Cost.MEDIUM, Cost.HEAVY])
async def test_dear_probes_ask_alone(postgres15: ScratchPostgres, monitor_role: NewLogin, cost: Cost) -> None:
    async with watched(postgres15, monitor_role) as observer:
        dear = [info for info in observer.plan() if info.cost is cost and info.scope is Scope.SERVER]
        assert dear
        assert not any(observer._goes_along(info) for info in dear)
