"""The pack dbarchitect, judging what a real daemon says of its own judge: what it cannot judge, keep or tell."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from actions.scratch.ports import free_port
from collectors.strict_yaml import dump
from daemon.received.store import FILE
from tests.fixtures.alerting import HOOK, TOKEN, Lamps, keys, lamps_shown, served
from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.judging import Judged
from tests.fixtures.proofs import caused
from tests.fixtures.waiting import until
from tests.unit.received.telling import alert, notice

pytestmark = pytest.mark.timeout(120)
FAILED = "dbarchitect_alertmanager_requests_failed_total"
DROPPED = "dbarchitect_alertmanager_alerts_dropped_total"
NOT_SAVED = "dbarchitect_alerts_save_failures_total"
MISSED = "dbarchitect_rule_group_iterations_missed_total"
LOST = "dbarchitect_remote_write_samples_lost_total"
WARNING = {"severity": "warning"}
BROKEN = {"alert": "Broken", "expr": "lamp + on () lamp"}
"""Well with one lamp, and not with two."""


@pytest.fixture
async def lamps() -> AsyncIterator[Lamps]:
    async with lamps_shown() as shown:
        yield shown


async def see(judged: Judged, daemon: Daemon) -> None:
    judged.see_page(await daemon.get("/metrics"), "dbarchitect_")


@caused(
    "DbarchitectRuleFailing",
    "DbarchitectHistoryFailing",
    "DbarchitectAlertmanagerFailing",
    "DbarchitectRemoteWriteFailing",
    "DbarchitectAlertsNotSaved",
)
async def test_a_judge_that_cannot_judge_tell_or_keep_says_each(
    lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    in_the_way = state / "history"
    in_the_way.write_text("a file where the folder should be")
    broken = tmp_path / "broken.yaml"
    broken.write_text(dump({"groups": [{"name": "broken", "rules": [BROKEN]}]}))
    nobody, deaf = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}/write"
    given = keys(tmp_path, nobody)
    given["rules"]["files"].append(str(broken))
    given["history"] = {"remote_write": [{"url": deaf}]}
    daemon = await daemon_process(lamps.target(), daemon={"state_dir": str(state)}, **given)
    judged = Judged("dbarchitect", time.time())
    await see(judged, daemon)
    judged.hold(5.5)
    assert judged.firing().keys() == {"DbarchitectHistoryFailing"}

    lamps.switch("red", "green")
    (state / "alerts.new").mkdir()
    await until(lambda: daemon.value("dbarchitect_rule_failing", rule="Broken"))
    await until(lambda: daemon.value(FAILED, alertmanager=nobody))
    await until(lambda: daemon.value("dbarchitect_remote_write_failing", url=deaf), 30)
    await until(lambda: daemon.value(NOT_SAVED))
    await see(judged, daemon)
    judged.hold(14)
    found = judged.firing()
    assert found["DbarchitectHistoryFailing"] == [WARNING]
    assert found["DbarchitectAlertsNotSaved"] == [WARNING]
    assert found["DbarchitectAlertmanagerFailing"] == [{"alertmanager": nobody, "severity": "critical"}]
    (failing,) = found["DbarchitectRuleFailing"]
    assert failing["rule"] == "Broken"
    assert failing["rule_group"].endswith("broken.yaml;broken")
    assert "DbarchitectRemoteWriteFailing" not in found
    judged.hold(2)
    assert judged.firing()["DbarchitectRemoteWriteFailing"] == [{"url": deaf, **WARNING}]

    lamps.known = {"red"}
    (state / "alerts.new").rmdir()

    async def well() -> bool:
        return not await daemon.values("dbarchitect_rule_failing")

    await until(well)
    before = await daemon.value(NOT_SAVED)
    await see(judged, daemon)
    judged.hold(16)
    assert await daemon.value(NOT_SAVED) == before
    assert judged.firing().keys() & {"DbarchitectRuleFailing", "DbarchitectAlertsNotSaved"} == set()


@caused("DbarchitectAlertsDropped", "DbarchitectSamplesLost")
async def test_alerts_and_samples_that_are_refused_for_good_are_told(
    lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=400, text="never")

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", refuse)
    async with served(application) as port:
        url = f"http://127.0.0.1:{port}"
        given = keys(tmp_path, url)
        given["history"] = {"enabled": False, "remote_write": [{"url": f"{url}/write"}]}
        daemon = await daemon_process(lamps.target(), **given)
        judged = Judged("dbarchitect", time.time())
        await see(judged, daemon)
        judged.hold(1)
        assert "DbarchitectAlertsDropped" not in judged.firing()
        lamps.switch("red")
        await until(lambda: daemon.value(DROPPED, alertmanager=url))
        await until(lambda: daemon.values(LOST, url=f"{url}/write"), 30)
        await see(judged, daemon)
    judged.hold(1)
    found = judged.firing()
    assert found["DbarchitectAlertsDropped"] == [{"alertmanager": url, **WARNING}]
    assert found["DbarchitectSamplesLost"] == [{"url": f"{url}/write", "reason": "refused", **WARNING}]
    judged.hold(20)
    assert judged.firing().keys() & {"DbarchitectAlertsDropped", "DbarchitectSamplesLost"} == set()


@caused("DbarchitectAlertsNotStored", "DbarchitectNoticesTruncated")
async def test_alerts_that_an_alertmanager_told_in_vain_are_told(
    lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    daemon = await daemon_process(lamps.target(), token=TOKEN, http={"tokens": [HOOK]}, **keys(tmp_path))
    judged = Judged("dbarchitect", time.time())
    assert await told(daemon, b"garbage") == 400
    assert await told(daemon, notice(alert())) == 200
    await see(judged, daemon)
    judged.hold(1)
    assert judged.firing() == {}
    with sqlite3.connect(daemon.state_dir / FILE, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert await told(daemon, notice(alert("later"))) == 503
        other.execute("ROLLBACK")
    assert await told(daemon, notice(alert("later"), truncatedAlerts=3)) == 200
    await see(judged, daemon)
    judged.hold(1)
    found = judged.firing()
    assert found["DbarchitectAlertsNotStored"] == [{"outcome": "not_stored", **WARNING}]
    assert found["DbarchitectNoticesTruncated"] == [{"outcome": "truncated", "severity": "info"}]
    judged.hold(16)
    assert judged.firing().keys() & {"DbarchitectAlertsNotStored", "DbarchitectNoticesTruncated"} == set()


@caused("DbarchitectEvaluationsMissed")
async def test_evaluations_that_a_daemon_that_stood_still_left_out_are_told(
    lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    daemon = await daemon_process(lamps.target(), **keys(tmp_path))
    judged = Judged("dbarchitect", time.time())
    await until(lambda: daemon.values(MISSED))
    await see(judged, daemon)
    judged.hold(1)
    assert judged.firing() == {}
    before = sum(await daemon.values(MISSED))
    daemon.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(3)
    finally:
        daemon.send(signal.SIGCONT)

    async def counted() -> bool:
        return sum(await daemon.values(MISSED)) >= before + 4

    await until(counted)
    await see(judged, daemon)
    judged.hold(1)
    (missed,) = judged.firing()["DbarchitectEvaluationsMissed"]
    assert missed["rule_group"].endswith("lamps.yaml;lamps")


async def told(daemon: Daemon, body: Any) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{daemon.url}/api/v1/alertmanager", data=body, headers=headers) as answer,
    ):
        return answer.status
