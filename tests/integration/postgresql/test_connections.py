"""Connections against the limits that count."""

from __future__ import annotations

import contextlib

import pytest

from tests.fixtures.clients import connected
from tests.fixtures.databases import NewLogin
from tests.fixtures.runners import given, monitoring_session, runner_of, the
from tests.fixtures.servers import NewPostgres


@pytest.mark.parametrize(("major", "reserved"), [(15, {}), (18, {"reserved_connections": "2"})])
async def test_used_and_usable_are_what_an_ordinary_user_meets(
    new_postgres: NewPostgres,
    bare_role: NewLogin,
    monitor_role: NewLogin,
    major: int,
    reserved: dict[str, str],
) -> None:
    settings = {"max_connections": "20", "superuser_reserved_connections": "3", **reserved}
    server = await new_postgres(major, settings=settings)
    usable = 17 - len(reserved) * 2
    login, watcher, bare = await monitor_role(server), await monitor_role(server), await bare_role(server)
    await server.psql(
        f"alter role {login.user} connection limit 16; create database limited connection limit 8"
    )
    async with contextlib.AsyncExitStack() as stack:
        for number in range(usable - 5):
            database = "limited" if number < 4 else "postgres"
            await stack.enter_async_context(
                connected(server, database, user=login.user, password=login.password)
            )
        for who in (watcher, bare):
            async with monitoring_session(server, login=who) as session:
                result = await runner_of("connections", "connections").run(session)
            assert the(result, "pg_connections_max") == 20
            assert the(result, "pg_connections_usable") == usable
            assert the(result, "pg_connections_used") == usable - 4  # ours is one of them
            assert the(result, "pg_connections_used_ratio") == pytest.approx((usable - 4) / usable)
            assert given(result, "pg_database_connections_used_ratio")["limited",] == 0.5
            assert given(result, "pg_role_connections_used_ratio")[login.user,] == (usable - 5) / 16
            assert result.distress == ""
        for _ in range(3):
            await stack.enter_async_context(connected(server, user=login.user, password=login.password))
        async with monitoring_session(server, login=watcher) as session:
            result = await runner_of("connections", "connections").run(session)
        assert result.distress == "connections"
