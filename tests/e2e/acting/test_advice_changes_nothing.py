"""The same faults where the target says `advise`: plans lie there, and the server stays as it is until somebody wants one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from actions.scratch.place import Place
from tests.fixtures.acting_causes import (
    bloated_index,
    dead_rows,
    idle_in_transaction,
    old_ids,
    runaway_query,
    unused_slot,
)
from tests.fixtures.acting_daemon import (
    GENEROUS,
    WAITING,
    ActingDaemon,
    Shop,
    new_daemon,
    running,
    shop_under_load,
)
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until

ALERTS = {
    "ShopDeadRows",
    "ShopIdleInTransaction",
    "ShopIndexBloated",
    "ShopOldTable",
    "ShopRunaway",
    "ShopSlotUnused",
}
LEADER_SECONDS = 60.0
STATE = """
SELECT c.relname, c.relfilenode, c.relfrozenxid, pg_stat_get_vacuum_count(c.oid), pg_stat_get_analyze_count(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'shop' ORDER BY 1;
SELECT slot_name, restart_lsn FROM pg_replication_slots;
SELECT application_name, pid, state, query_start FROM pg_stat_activity
  WHERE application_name IN ('forgotten', 'report') ORDER BY 1;
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench';
SELECT name, setting FROM pg_settings WHERE source = 'configuration file' ORDER BY 1;
"""


@dataclass(frozen=True)
class Hurt:
    """A shop, and what the statement that runs for too long ends with."""

    shop: Shop
    query: asyncio.Future[BaseException | None]


@pytest.fixture
async def hurt(servers: Servers, place: Place) -> AsyncIterator[Hurt]:
    """A shop with every fault there is, before any daemon has seen it."""
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(shop_under_load(servers, place, 15, "advised"))
        await dead_rows(shop)
        await bloated_index(shop)
        await old_ids(shop)
        await unused_slot(shop)
        await stack.enter_async_context(idle_in_transaction(shop))
        query = await stack.enter_async_context(runaway_query(shop, WAITING))
        yield Hurt(shop, query)


async def test_plans_are_made_and_nothing_is_done_until_somebody_wants_one(
    hurt: Hurt, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = await hurt.shop.ask(STATE)
    assert before.count("\n") > 10
    daemon = new_daemon(hurt.shop, tmp_path_factory.mktemp("advise"), mode="advise")
    async with running(daemon):
        await until(lambda: _advised(daemon), GENEROUS, every=0.5)
        # Only then would it be free to act at all.
        await asyncio.sleep(LEADER_SECONDS)
        await until(lambda: daemon.value("dbarchitect_lease_held"), GENEROUS)
        plans = await daemon.plans()
        assert {(one["state"], one["mode"]) for one in plans} == {("proposed", "advise")}
        for each in plans:
            assert (await daemon.plan(each["id"]))["approvals"] == []
        for alert in ALERTS:
            assert await daemon.firing(alert), f"{alert} went away by itself"
        assert await daemon.values("dbarchitect_actions_total") == []
        assert await hurt.shop.ask(STATE) == before
        await _wanted(hurt, daemon)


async def _advised(daemon: ActingDaemon) -> bool:
    return {one["incident"] for one in await daemon.plans()} == ALERTS


async def _wanted(hurt: Hurt, daemon: ActingDaemon) -> None:
    """Approve one plan: that one is carried out, and no other."""
    [plan] = await daemon.plans("ShopRunaway")
    path = f"/api/v1/plans/{plan['id']}/approve"
    status, answer = await daemon.post(path, {"plan_hash": "0" * 64}, "otto")
    assert status == 409, answer
    status, answer = await daemon.post(path, {"plan_hash": plan["plan_hash"]}, "reader")
    assert status == 403, answer
    status, answer = await daemon.post(path, {"plan_hash": plan["plan_hash"], "note": "go on"}, "otto")
    assert status == 200, answer
    await until(lambda: _done(daemon), GENEROUS, every=0.5)
    assert isinstance(await hurt.query, asyncpg.QueryCanceledError)
    whole = await daemon.plan(plan["id"])
    assert [one["who"] for one in whole["approvals"]] == ["otto"]
    others = [one for one in await daemon.plans() if one["id"] != plan["id"]]
    assert {one["state"] for one in others} == {"proposed"}
    assert json.loads(await daemon.get("/api/v1/audit/verify"))["audit"]["ok"]


async def _done(daemon: ActingDaemon) -> bool:
    states = {one["state"] for one in await daemon.plans("ShopRunaway")}
    assert states <= {"approved", "claimed", "running", "verifying", "succeeded"}, states
    return states == {"succeeded"}
