"""The daemon's alerts in real Alertmanagers, while these are well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.alerting import Lamps, alerts_of, fires, keys, lamps_shown, over, time_of
from tests.fixtures.daemons import NewDaemon
from tests.fixtures.servers import NewAlertmanager
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def lamps() -> AsyncIterator[Lamps]:
    async with lamps_shown() as shown:
        yield shown


async def test_an_alert_is_there_with_all_it_has_again_and_again_until_it_is_over(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red")
    began = time.time()
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
    first = await fires(manager, "red")
    assert first["labels"] == {
        "alertname": "LampOn",
        "severity": "warning",
        "name": "red",
        "target": "hall",
        "job": "exporter",
        "instance": first["labels"]["instance"],
        "site": "north",
    }
    assert first["annotations"] == {"summary": "red is on", "description": "Target hall: 1"}
    assert first["generatorURL"] == "http://watch.example.com/api/v1/rules?type=alert&rule_name[]=LampOn"
    assert began - 1 <= time_of(first["startsAt"]) <= time.time()
    assert time_of(first["endsAt"]) > time.time(), "it is over unless it is sent again"
    shown = await manager.amtool("alert", "query", "alertname=LampOn", "site=north", "--output=extended")
    assert "red is on" in shown

    async def moved_on() -> bool:
        (again,) = await manager.alerts(name="red")
        assert again["startsAt"] == first["startsAt"]
        return time_of(again["endsAt"]) >= time_of(first["endsAt"]) + 2

    await until(moved_on)
    assert await daemon.value("dbarchitect_alertmanager_alerts_sent_total", alertmanager=manager.url) >= 3
    lamps.switch()
    await over(manager, "red")
    received = "alertmanager_alerts_received_total"
    # In so many words, and not because nobody spoke of it any more.
    await until(lambda: manager.metric(received, status="resolved", version="v2"))


async def test_a_restart_neither_loses_nor_doubles_an_alert_nor_begins_it_anew(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red")
    # An alert is over after four of these: longer than a restart takes on a machine that is busy.
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url, resend_delay="15s"))
    first = await fires(manager, "red")
    starts = set()

    async def watch() -> None:
        while True:
            starts.update(one["startsAt"] for one in await manager.alerts())
            assert len(await manager.alerts()) == 1, "it was over for a while, or there twice"
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    for kill in (False, True):
        if kill:
            daemon.process.kill()
            await daemon.process.wait()
        else:
            await daemon.end()
        await daemon.start()
        await daemon.ready()
        sent = "dbarchitect_alertmanager_alerts_sent_total"
        await until(lambda: daemon.value(sent, alertmanager=manager.url))  # noqa: B023 - used at once
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert starts == {first["startsAt"]}
    (own,) = await alerts_of(daemon, name="red")
    assert own["state"] == "firing"
    assert abs(time_of(own["activeAt"]) - time_of(first["startsAt"])) < 0.01


async def test_what_ended_just_before_the_end_of_the_daemon_is_still_said(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url, resend_delay="10m"))
    await fires(manager, "red")
    manager.pause()
    lamps.switch()

    async def known_to_be_over() -> bool:
        return not await alerts_of(daemon, name="red")

    await until(known_to_be_over)
    manager.resume()
    code, seconds = await daemon.end()
    assert code == 0
    assert seconds < 10
    assert await manager.alerts(name="red") == []


async def test_an_alertmanager_that_hangs_does_not_hold_up_the_end(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
    await fires(manager, "red")
    manager.pause()
    lamps.switch("red", "green")
    await until(lambda: daemon.value("dbarchitect_alertmanager_alerts_waiting", alertmanager=manager.url))
    code, seconds = await daemon.end()
    assert code == 0
    assert seconds < 10
    assert daemon.events("alertmanager.not_told")


async def test_a_reload_tells_a_new_alertmanager_at_once_and_leaves_an_old_one(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    stays, goes, comes = await alertmanager(), await alertmanager(), await alertmanager()
    lamps.switch("red")
    late = {"resend_delay": "10m"}
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, stays.url, goes.url, **late))
    first = [await fires(manager, "red") for manager in (stays, goes)]
    sent = await daemon.value("dbarchitect_alertmanager_alerts_sent_total", alertmanager=stays.url)
    daemon.write({**keys(tmp_path, stays.url, comes.url, **late), "targets": [lamps.target()]})
    assert (await daemon.reload())["event"] == "config.reloaded"
    assert (await fires(comes, "red"))["startsAt"] == first[0]["startsAt"]
    lamps.switch("green")
    for manager in (stays, comes):
        await fires(manager, "green")
        await over(manager, "red")
    assert await goes.alerts(name="green") == []
    assert await goes.alerts(name="red"), "nobody tells it any more"
    assert await daemon.values("dbarchitect_alertmanager_alerts_sent_total", alertmanager=goes.url) == []
    now = await daemon.value("dbarchitect_alertmanager_alerts_sent_total", alertmanager=stays.url)
    assert now > sent, "the count goes on over a reload"
    assert not daemon.events("asyncio")


async def test_what_ended_while_the_daemon_was_away_is_said_when_it_is_back(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red", "green")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url, resend_delay="10m"))
    await fires(manager, "red")
    first = await fires(manager, "green")
    assert daemon.process is not None
    daemon.process.kill()
    await daemon.process.wait()
    lamps.switch("green")
    await daemon.start()
    await over(manager, "red")
    (still,) = await manager.alerts(name="green")
    assert still["startsAt"] == first["startsAt"]
