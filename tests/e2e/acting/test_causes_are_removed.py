"""Real faults on real servers under load: `auto` policies remove each cause, prove it, and the alert is over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tests.fixtures.acting_daemon import GENEROUS, ActingDaemon, Shop, new_daemon, running, shop_under_load
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until

MAJORS = (15, 18)
ANSWERED = (
    "ShopDeadRows",
    "ShopIdleInTransaction",
    "ShopIndexBloated",
    "ShopOldTable",
    "ShopOldTable",
    "ShopRunaway",
    "ShopSlotUnused",
)
"""Each alert that fired; two tables grew old."""


@dataclass(frozen=True)
class Stage:
    """A shop and the daemon that acts on it."""

    shop: Shop
    daemon: ActingDaemon

    async def removed(self, alert: str) -> dict[str, Any]:
        """Wait until an alert was answered and is over; return the plan with its journal."""
        plan = await until(lambda: self.daemon.succeeded(alert), GENEROUS, every=0.5)
        await until(lambda: self.daemon.clear(alert), GENEROUS, every=0.5)
        await until(lambda: self._counted(plan["action"]), GENEROUS, every=0.5)
        whole = await self.daemon.plan(plan["id"])
        assert whole["mode"] == "auto"
        assert not whole["approvals"]
        kinds = [one["kind"] for one in whole["journal"]]
        assert {"intent", "outcome", "measured", "verdict"} <= set(kinds), kinds
        assert kinds.index("intent") < kinds.index("outcome") < kinds.index("verdict")
        [verdict] = [one["body"]["verdict"] for one in whole["journal"] if one["kind"] == "verdict"]
        assert verdict == "improved"
        return whole

    async def _counted(self, action: str) -> float | None:
        return await self.daemon.value("dbarchitect_actions_total", action=action, outcome="succeeded")


OnBoth = Callable[[Callable[[Stage], Awaitable[None]]], Awaitable[None]]


@pytest.fixture(scope="module")
async def stages(
    servers: Servers, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Stage]]:
    """A shop on each version; their daemons begin together, so that one minute of only looking is enough."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for major in MAJORS:
            shop = await stack.enter_async_context(shop_under_load(servers, place, major, f"shop{major}"))
            folder: Path = tmp_path_factory.mktemp(f"auto{major}")
            made.append(Stage(shop, new_daemon(shop, folder, mode="auto")))
        await stack.enter_async_context(running(*(one.daemon for one in made)))
        yield made


@pytest.fixture(scope="module")
async def on_both(stages: list[Stage]) -> OnBoth:
    """Do the same on all servers at a time."""

    async def do(what: Callable[[Stage], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for stage in stages:
                tasks.create_task(_awaited(what(stage)))

    return do


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def test_dead_rows_are_vacuumed(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        await dead_rows(stage.shop)
        plan = await stage.removed("ShopDeadRows")
        assert (plan["action"], plan["subject"]) == ("postgresql.vacuum", "shop.shop.orders")
        sql = "SELECT vacuum_count, n_dead_tup < 100 FROM pg_stat_user_tables WHERE relname = 'orders'"
        assert await stage.shop.ask(sql) == "1|t"

    await on_both(case)


async def test_a_bloated_index_is_rebuilt(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        await bloated_index(stage.shop)
        file = "SELECT pg_relation_filenode('shop.events_key')"
        before = await stage.shop.ask(file)
        await stage.removed("ShopIndexBloated")
        assert await stage.shop.ask(file) != before
        assert await stage.shop.ask("SELECT pg_relation_size('shop.events_key') < 1500000") == "t"
        assert await stage.shop.ask("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == "0"

    await on_both(case)


async def test_a_session_that_idles_in_a_transaction_is_ended_and_no_other(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        others = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"
        before = await stage.shop.ask(others)
        async with idle_in_transaction(stage.shop) as session:
            await stage.removed("ShopIdleInTransaction")
            with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
                await session.execute("COMMIT")
        assert await stage.shop.ask(others) == before

    await on_both(case)


async def test_a_runaway_query_is_cancelled_and_its_session_stays(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        async with runaway_query(stage.shop) as ended:
            await stage.removed("ShopRunaway")
            assert isinstance(await ended, asyncpg.QueryCanceledError)
            there = "SELECT state FROM pg_stat_activity WHERE application_name = 'report'"
            assert await stage.shop.ask(there) == "idle"

    await on_both(case)


async def test_old_tables_are_frozen_one_after_the_other(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        age = "SELECT age(relfrozenxid) FROM pg_class WHERE oid = 'shop.ledger'::regclass"
        await old_ids(stage.shop)
        assert int(await stage.shop.ask(age)) > 60_000
        await stage.removed("ShopOldTable")
        plans = await stage.daemon.plans("ShopOldTable")
        assert {one["subject"] for one in plans} == {"shop.shop.ledger", "shop.shop.orders"}
        assert int(await stage.shop.ask(age)) < 30_000

    await on_both(case)


async def test_a_slot_that_nobody_uses_is_dropped_where_the_policy_names_the_target(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        await unused_slot(stage.shop)
        plan = await stage.removed("ShopSlotUnused")
        assert plan["class"] == "D"
        assert await stage.shop.ask("SELECT count(*) FROM pg_replication_slots") == "0"

    await on_both(case)


async def test_the_journal_of_all_of_it_is_sound_and_tells_who_did_what(on_both: OnBoth) -> None:
    async def case(stage: Stage) -> None:
        report = json.loads(await stage.daemon.get("/api/v1/audit/verify"))["audit"]
        assert report["ok"], report
        assert report["records"] > len(ANSWERED) * 6
        plans = await stage.daemon.plans()
        assert sorted(one["incident"] for one in plans) == sorted(ANSWERED)
        assert {(one["state"], one["reason"]) for one in plans} == {("succeeded", "verified: improved")}
        assert await stage.daemon.value("dbarchitect_actions_enabled") == 1
        assert not stage.daemon.events("acting.broken")
        assert not stage.daemon.events("execution.defect")

    await on_both(case)
