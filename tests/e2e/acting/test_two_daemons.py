"""Two daemons that share a store: one acts, the other stands by, and takes over; a stop holds for both."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_daemon import ActingDaemon, tokens
from tests.fixtures.databases import Login, NewDatabase, NewLogin
from tests.fixtures.waiting import until

HOST = {"name": "here", "engine": "host", "interval": "1s"}
TAKEN_OVER = 120.0
"""Seconds: 30 until the lease has run out, 35 more until nothing of the old leader can be under way."""


def member(folder: Path, server: ScratchPostgres, database: str, login: Login) -> ActingDaemon:
    """Return a daemon with a folder of its own, whose journal is on the server."""
    folder.mkdir()
    where: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "dbname": database,
        "user": login.user,
        "password": {"text": login.password},
        "tls": {"mode": "disable"},
    }
    daemon = ActingDaemon(
        folder,
        {
            "targets": [HOST],
            "rules": {"builtin": False, "files": []},
            "http": {"tokens": tokens()},
            "acting": {
                "builtin": False,
                "policy_files": [],
                "stop_file": str(folder / "STOP"),
                "store": {"postgresql": where},
            },
        },
    )
    daemon.reads()
    return daemon


@pytest.fixture
async def both(
    postgres15: ScratchPostgres, fresh_database: NewDatabase, bare_role: NewLogin, tmp_path: Path
) -> AsyncIterator[tuple[ActingDaemon, ActingDaemon]]:
    """The leader, and one that came later."""
    database, login = await fresh_database(postgres15), await bare_role(postgres15)
    await postgres15.psql(f"CREATE SCHEMA dbarchitect AUTHORIZATION {login.user}", database)
    first, second = (member(tmp_path / name, postgres15, database, login) for name in ("first", "second"))
    async with contextlib.AsyncExitStack() as stack:
        for daemon in (first, second):
            stack.push_async_callback(_end, daemon)
            await daemon.start()
            await daemon.ready()
            await until(lambda: leads(first))
        yield first, second


async def _end(daemon: ActingDaemon) -> None:
    assert daemon.process is not None
    if daemon.process.returncode is None:
        assert (await daemon.end())[0] == 0


async def leads(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_lease_held") == 1


async def enabled(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_actions_enabled") == 1


async def test_the_second_stands_by_and_a_stop_at_either_holds_for_both(
    both: tuple[ActingDaemon, ActingDaemon],
) -> None:
    first, second = both
    await until(lambda: _all(enabled, both), 30)
    assert not await leads(second)
    status, answer = await second.ask("POST", "/api/v1/stop", {"why": "a drill"}, "otto")
    assert status == 200, answer
    await until(lambda: _all(stopped, both), 30)
    await first.end()
    await until(lambda: leads(second), TAKEN_OVER)
    assert not await enabled(second)
    assert (await second.ask("DELETE", "/api/v1/stop", {"note": "it is over"}, "admin"))[0] == 200
    await until(lambda: enabled(second), 30)
    assert json.loads(await second.get("/api/v1/audit/verify"))["audit"]["ok"]


async def _all(what: Callable[[ActingDaemon], Awaitable[bool]], daemons: Sequence[ActingDaemon]) -> bool:
    return all([await what(daemon) for daemon in daemons])


async def stopped(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_actions_enabled") == 0


async def test_the_second_takes_over_from_one_that_was_killed(
    both: tuple[ActingDaemon, ActingDaemon],
) -> None:
    first, second = both
    await first.end(signal.SIGKILL)
    await until(lambda: leads(second), TAKEN_OVER)
    [taken] = [one for one in second.events("lease.taken") if one["epoch"] == 2]
    assert taken["after"]
    assert json.loads(await second.get("/api/v1/audit/verify"))["audit"]["ok"]
