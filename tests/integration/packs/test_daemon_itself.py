"""A daemon that sees old data, too much, or not enough - over a real server, and over its own numbers."""

from __future__ import annotations

import contextlib
import dataclasses

from aiohttp import web

from actions.scratch.postgres import ScratchPostgres
from collectors.model import Target
from collectors.registry import engines
from tests.fixtures import observing
from tests.fixtures.alerting import served
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court
from tests.fixtures.databases import NewLogin
from tests.fixtures.proofs import caused, replayed

PACK = "dbarchitect"


@caused("DbarchitectDataOld", "DbarchitectProbesLate")
@replayed("DbarchitectStuck")
async def test_probes_that_do_not_run_and_then_a_target_that_hangs_are_told(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look("connections", "xids")
    court.hold(8)
    assert court.names() == set()
    watched.lose("xids")
    court.hold(10)
    own = watched.labels(severity="warning")
    assert court.told("DbarchitectProbesLate") == [own]
    assert court.names() == {"DbarchitectProbesLate"}
    watched.hangs = True
    court.own.target("pg1").stuck = True
    court.hold(6)
    assert court.told("DbarchitectDataOld") == [watched.labels(severity="critical")]
    assert court.told("DbarchitectStuck") == [own]


@caused("DbarchitectDistress")
async def test_slow_probes_that_wait_for_a_server_in_distress_are_told(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look("connections")
    async with contextlib.AsyncExitStack() as sessions:
        while watched.value("pg_connections_used_ratio") <= 0.96:
            await sessions.enter_async_context(connected(spare))
            await watched.look("connections")
        await watched.look("connections")
    court.hold(31)
    assert court.told("DbarchitectDistress") == [watched.labels(severity="warning", reason="connections")]


@replayed("DbarchitectBudgetSpent", "DbarchitectExpensive")
async def test_a_server_on_which_looking_takes_much_time_is_told(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look("connections")
    numbers = court.own.target("pg1")
    numbers.database_seconds_total = 0.0
    for _ in range(70):
        numbers.budget_left_seconds = 0.0
        numbers.database_seconds_total += 10
        court.hold(0.5)
    own = watched.labels(severity="warning")
    assert court.told("DbarchitectBudgetSpent") == [own]
    assert court.told("DbarchitectExpensive") == [own]


@caused("DbarchitectSeriesCapReached", "DbarchitectSeriesDropped")
async def test_a_target_with_more_series_than_it_may_have_is_told(
    court: Court, spare: ScratchPostgres
) -> None:
    found = observing.target(spare, name="pg1")
    watched = court.watch_target(dataclasses.replace(found, series_max=60))
    await watched.look("connections", "transactions", "database", "processes", "settings")
    court.hold(31)
    assert court.told("DbarchitectSeriesCapReached") == [watched.labels(severity="warning")]
    dropped = court.told("DbarchitectSeriesDropped")
    assert watched.labels(severity="info", probe="settings") in dropped


@caused("DbarchitectScrapeCut")
async def test_an_exporter_that_gives_too_much_is_told(court: Court) -> None:
    page = "\n".join(["# TYPE lamp gauge", *(f'lamp{{n="{n}"}} 1' for n in range(200)), ""])

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=page)

    application = web.Application()
    application.router.add_get("/metrics", show)
    async with served(application) as port:
        options = engines()["exporter"].options.model_validate({"url": f"http://127.0.0.1:{port}/metrics"})
        watched = court.watch_target(
            Target(name="lamps", engine="exporter", options=options, series_max=50, deadline_seconds=2)
        )
        await watched.look("scrape")
    court.hold(16)
    (told,) = court.told("DbarchitectScrapeCut")
    assert told.items() >= watched.labels(severity="warning").items()


@caused("DbarchitectPrivilegeLost")
async def test_a_right_that_the_role_had_six_hours_ago_is_missed(
    court: Court, spare: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(spare)
    watched = court.watch(spare, user=login.user, password={"text": login.password})
    await watched.look("connections")
    court.hold(400, step_seconds=240)
    assert court.names() == set()
    await spare.psql(f"revoke pg_monitor from {login.user}")
    watched.observer.ask_anew()
    await watched.look("connections")
    court.hold(11)
    lost = court.told("DbarchitectPrivilegeLost")
    assert all(each.items() >= watched.labels(severity="warning").items() for each in lost)
    assert court.names() == {"DbarchitectPrivilegeLost"}


@replayed("DbarchitectLoopLate", "DbarchitectRestartsOften")
async def test_a_daemon_that_is_late_or_restarts_again_and_again_is_told(court: Court) -> None:
    court.own.loop_lag(0.8)
    court.hold(11)
    assert court.told("DbarchitectLoopLate") == [{"severity": "warning"}]
    for _ in range(4):
        court.new_process()
        court.hold(2)
    assert court.told("DbarchitectRestartsOften") == [{"severity": "warning"}]
    assert court.names() == {"DbarchitectRestartsOften"}
