"""Stopped in every way, ended in mid VACUUM, started again: nothing is forgotten, and no secret shows anywhere."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from actions.scratch.place import Place
from tests.fixtures.acting_causes import dead_rows
from tests.fixtures.acting_daemon import (
    GENEROUS,
    TOKENS,
    ActingDaemon,
    Shop,
    new_daemon,
    running,
    shop_under_load,
)
from tests.fixtures.daemons import run_command
from tests.fixtures.dead_rows import crowded, under_way
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until

MANY = 200_000
"""Dead rows, more than the server's buffers hold: while the server is busy, VACUUM takes some seconds."""


@pytest.fixture(scope="module")
async def shop(servers: Servers, place: Place) -> AsyncIterator[Shop]:
    async with shop_under_load(servers, place, 15, "stopped") as made:
        yield made


@pytest.fixture(scope="module")
async def daemon(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ActingDaemon]:
    """One daemon for all tests of this file, in their order."""
    made = new_daemon(shop, tmp_path_factory.mktemp("stopped"), mode="auto")
    async with running(made):
        yield made


async def enabled(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_actions_enabled") == 1


async def stopped(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_actions_enabled") == 0


async def resume(daemon: ActingDaemon) -> None:
    """Take all stops back, as only an administrator may."""
    assert (await daemon.ask("DELETE", "/api/v1/stop", {"note": "all is well"}, "otto"))[0] == 403
    assert (await daemon.ask("DELETE", "/api/v1/stop", {}, "admin"))[0] in (400, 422)
    status, answer = await daemon.ask("DELETE", "/api/v1/stop", {"note": "all is well"}, "admin")
    assert (status, answer["stops"]) == (200, []), answer
    await until(lambda: enabled(daemon), 30)


async def by_file(daemon: ActingDaemon) -> None:
    (daemon.folder / "STOP").touch()
    await until(lambda: stops(daemon), 30)
    (daemon.folder / "STOP").unlink()


async def by_signal(daemon: ActingDaemon) -> None:
    daemon.send(signal.SIGUSR1)


async def by_api(daemon: ActingDaemon) -> None:
    status, answer = await daemon.ask("POST", "/api/v1/stop", {"why": "a drill"}, "otto")
    assert status == 200, answer


async def by_command(daemon: ActingDaemon) -> None:
    """Through the journal, as one stops a daemon that does not answer."""
    code, out, err = await run_command("stop", "--direct", "--why", "a drill", "--config", str(daemon.config))
    assert code == 0, (out, err)


WAYS = (by_file, by_signal, by_api, by_command)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_it_is_stopped_and_stays_so_until_an_administrator_says_otherwise(
    daemon: ActingDaemon, way: Callable[[ActingDaemon], Awaitable[None]]
) -> None:
    await until(lambda: enabled(daemon), GENEROUS)
    await way(daemon)
    await until(lambda: stopped(daemon), 30)
    await until(lambda: stops(daemon), 30)
    await asyncio.sleep(2)  # a stop file that is gone takes nothing back
    assert await stopped(daemon)
    if way is by_signal:
        await daemon.end()
        await daemon.start()
        await daemon.ready(GENEROUS)
        await until(lambda: stops(daemon), 30)
        assert await stopped(daemon)
    await resume(daemon)


async def stops(daemon: ActingDaemon) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(await daemon.get("/api/v1/stop"))["stops"]
    return found


async def test_a_stop_cancels_the_vacuum_that_runs(shop: Shop, daemon: ActingDaemon) -> None:
    await until(lambda: leads(daemon), GENEROUS)
    await asyncio.sleep(60)  # as long as a new leader only looks
    async with crowded(shop.server):
        await dead_rows(shop, "ledger", MANY)
        await until(lambda: under_way(shop.server), GENEROUS)
        await by_api(daemon)
        await until(lambda: nothing_runs(shop), 30)
    [plan] = await until(lambda: daemon.plans("ShopDeadRows"), 30)
    await until(lambda: rests(daemon, plan["id"]), GENEROUS)
    whole = await daemon.plan(plan["id"])
    assert (whole["state"], "a drill" in whole["reason"]) == ("needs_human", True), whole["reason"]
    await resume(daemon)


async def leads(daemon: ActingDaemon) -> bool:
    return await daemon.value("dbarchitect_lease_held") == 1


async def nothing_runs(shop: Shop) -> bool:
    return not await under_way(shop.server)


async def rests(daemon: ActingDaemon, key: str) -> bool:
    return (await daemon.plan(key))["state"] not in ("claimed", "running", "resolving", "verifying")


async def test_a_vacuum_that_the_end_of_the_daemon_breaks_off_is_done_after_its_restart(
    shop: Shop, daemon: ActingDaemon
) -> None:
    async with crowded(shop.server):
        await dead_rows(shop, "orders", MANY)
        await until(lambda: under_way(shop.server), GENEROUS)
        assert_no_secret(shop, daemon, "\n".join(command_lines()))
        code, _ = await daemon.end()
        assert code == 0
        await until(lambda: nothing_runs(shop), 30)
        await daemon.start()
        await daemon.ready(GENEROUS)
        await until(lambda: under_way(shop.server), GENEROUS)
    await until(lambda: vacuumed(daemon), GENEROUS, every=0.5)
    vacuums = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'orders'"
    assert await shop.ask(vacuums) == "1"
    report = json.loads(await daemon.get("/api/v1/audit/verify"))["audit"]
    assert report["ok"], report


async def vacuumed(daemon: ActingDaemon) -> bool:
    plans = [one for one in await daemon.plans("ShopDeadRows") if one["subject"] == "shop.shop.orders"]
    assert len(plans) == 1, plans
    assert plans[0]["state"] in ("claimed", "running", "resolving", "verifying", "succeeded"), plans
    return bool(plans[0]["state"] == "succeeded")


async def test_no_secret_shows_anywhere(shop: Shop, daemon: ActingDaemon) -> None:
    plans = [await daemon.plan(one["id"]) for one in await daemon.plans()]
    assert plans
    paths = ("/", "/metrics", "/api/v1/plans", "/api/v1/stop", "/api/v1/actions", "/api/v1/targets")
    shown = [json.dumps(plans), *[await daemon.get(path) for path in paths]]
    shown += [daemon.log.read_text(), shop.server.log.read_text(errors="replace"), *command_lines()]
    shown += [one.read_bytes().decode("latin-1") for one in daemon.state_dir.rglob("*") if one.is_file()]
    assert_no_secret(shop, daemon, "\n".join(shown))


def assert_no_secret(shop: Shop, daemon: ActingDaemon, text: str) -> None:
    assert text
    secrets = [shop.actor.password, shop.watcher.password, *TOKENS.values()]
    assert [secret for secret in secrets if secret in text] == [], daemon.folder


def command_lines() -> list[str]:
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(one.read_bytes().decode("latin-1"))
        except OSError:
            continue
    return found
