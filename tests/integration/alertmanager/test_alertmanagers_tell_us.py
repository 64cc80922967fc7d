"""The loop closed: a real Alertmanager tells the daemon by its webhook, of others' alerts and of our own."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actions.scratch.alertmanager import ScratchAlertmanager
from tests.fixtures.alerting import HOOK, TOKEN, Lamps, alerts_of, fires, keys, lamps_shown, over
from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.servers import NewAlertmanager
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(120)
TAKEN = "dbarchitect_received_alerts_total"


@pytest.fixture
async def lamps() -> AsyncIterator[Lamps]:
    async with lamps_shown() as shown:
        yield shown


@pytest.fixture
async def daemon(lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path) -> Daemon:
    """A daemon that is told, and tells nobody."""
    return await daemon_process(lamps.target(), token=TOKEN, http={"tokens": [HOOK]}, **keys(tmp_path))


def telling(daemon: Daemon, *, token: str = TOKEN, **more: Any) -> dict[str, Any]:
    """Return how an Alertmanager is to be set up so that it tells a daemon."""
    url = f"{daemon.url}/api/v1/alertmanager"
    http = {"authorization": {"type": "Bearer", "credentials_file": "{room}/token"}}
    return {
        "webhooks": [{"url": url, "http_config": http, "send_resolved": True, **more}],
        "files": {"token": token},
        "route": {"group_by": ["alertname"], "repeat_interval": "2s"},
    }


async def say(manager: ScratchAlertmanager, *names: str, over: bool = False, minutes: float = 10) -> None:
    """Tell an Alertmanager of alerts, as Prometheus does."""
    now = dt.datetime.now(dt.UTC)
    ends = now if over else now + dt.timedelta(minutes=minutes)
    body = [
        {
            "labels": {"alertname": name, "severity": "critical", "instance": "db9"},
            "annotations": {"summary": f"{name} of db9"},
            "startsAt": "2026-01-01T10:00:00.123456789Z",
            "endsAt": ends.isoformat(),
            "generatorURL": "http://prometheus:9090/graph",
        }
        for name in names
    ]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{manager.url}/api/v2/alerts", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_what_an_alertmanager_has_is_listed_until_it_is_over(
    daemon: Daemon, alertmanager: NewAlertmanager
) -> None:
    manager = await alertmanager(**telling(daemon))
    await say(manager, "Slow")
    (one,) = await until(lambda: alerts_of(daemon, alertname="Slow"))
    (there,) = await manager.alerts(alertname="Slow")
    assert one["labels"] == there["labels"]
    assert one["annotations"] == there["annotations"]
    assert one["fingerprint"] == there["fingerprint"]
    assert one["generatorURL"] == there["generatorURL"]
    assert one["activeAt"][:23] == there["startsAt"][:23]
    assert (one["state"], one["sources"]) == ("firing", ["alertmanager"])
    await until(lambda: daemon.value(TAKEN, outcome="repeated"))
    assert await daemon.value(TAKEN, outcome="new") == 1
    await say(manager, "Slow", over=True)
    await until(lambda: nothing(daemon, alertname="Slow"))
    assert await daemon.value(TAKEN, outcome="resolved") == 1


async def nothing(daemon: Daemon, **labels: str) -> bool:
    return not await alerts_of(daemon, **labels)


async def test_two_that_tell_of_one_alert_over_a_restart_are_one_alert(
    daemon: Daemon, alertmanager: NewAlertmanager
) -> None:
    managers = [await alertmanager(**telling(daemon)) for _ in range(2)]
    for manager in managers:
        await say(manager, "Slow")
    await until(lambda: repeated(daemon, 2))
    assert len(await alerts_of(daemon, alertname="Slow")) == 1
    assert daemon.process is not None
    daemon.process.kill()
    await daemon.process.wait()
    await daemon.start()
    await daemon.ready()
    assert len(await alerts_of(daemon, alertname="Slow")) == 1, "known before anybody tells again"
    await until(lambda: repeated(daemon, 2))
    assert await daemon.value(TAKEN, outcome="new") == 0
    for manager in managers:
        await say(manager, "Slow", over=True)
    await until(lambda: nothing(daemon, alertname="Slow"))


async def repeated(daemon: Daemon, times: int) -> bool:
    return (await daemon.value(TAKEN, outcome="repeated") or 0) >= times


async def test_nothing_that_was_answered_with_200_is_lost_by_kill_9(daemon: Daemon) -> None:
    assert daemon.process is not None
    for turn in range(3):
        alert = {
            "status": "firing",
            "labels": {"alertname": f"Turn{turn}"},
            "annotations": {},
            "startsAt": "2026-01-01T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{turn:016x}",
        }
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session:
            body = json.dumps({"version": "4", "alerts": [alert]})
            async with session.post(
                f"{daemon.url}/api/v1/alertmanager", data=body, headers=headers
            ) as answer:
                daemon.process.kill()
                assert answer.status == 200
        await daemon.process.wait()
        await daemon.start()
        await daemon.ready()
        for earlier in range(turn + 1):
            assert await alerts_of(daemon, alertname=f"Turn{earlier}")


async def test_alerts_that_come_while_the_daemon_is_away_come_when_it_is_back(
    daemon: Daemon, alertmanager: NewAlertmanager
) -> None:
    manager = await alertmanager(**telling(daemon))
    await daemon.end()
    await say(manager, "Slow")
    await manager.metric("alertmanager_notifications_total")
    await until(
        lambda: manager.metric("alertmanager_notification_requests_failed_total", integration="webhook")
    )
    await daemon.start()
    await daemon.ready()
    await until(lambda: alerts_of(daemon, alertname="Slow"), deadline=30)


async def test_a_wrong_token_is_refused_and_counted_where_it_comes_from(
    daemon: Daemon, alertmanager: NewAlertmanager
) -> None:
    manager = await alertmanager(**telling(daemon, token="wrong"))
    await say(manager, "Slow")
    failed = "alertmanager_notifications_failed_total"
    await until(lambda: manager.metric(failed, integration="webhook"))
    assert await alerts_of(daemon) == []
    assert "401" in manager.log


async def test_alerts_that_were_left_out_are_counted(daemon: Daemon, alertmanager: NewAlertmanager) -> None:
    setup = telling(daemon, max_alerts=2)
    manager = await alertmanager(**{**setup, "route": {"group_by": ["instance"]}})
    await say(manager, "A", "B", "C", "D", "E")
    await until(lambda: daemon.value(TAKEN, outcome="truncated"))
    assert await daemon.value(TAKEN, outcome="truncated") == 3
    assert len(await alerts_of(daemon)) == 2
    assert daemon.events("received.truncated")[0]["left_out"] == 3


async def test_an_alert_of_ours_that_comes_back_is_one_alert(
    lamps: Lamps, daemon_process: NewDaemon, alertmanager: NewAlertmanager, tmp_path: Path
) -> None:
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), token=TOKEN, http={"tokens": [HOOK]}, **keys(tmp_path))
    manager = await alertmanager(**telling(daemon))
    tokens = {"http": {"tokens": [HOOK]}}
    daemon.write({**keys(tmp_path, manager.url), **tokens, "targets": [lamps.target()]})
    await daemon.reload()
    there = await fires(manager, "red")

    async def back() -> list[dict[str, Any]]:
        return [one for one in await alerts_of(daemon, name="red") if "alertmanager" in one["sources"]]

    await until(back)
    (one,) = await alerts_of(daemon, name="red")
    assert one["sources"] == ["rules", "alertmanager"]
    assert one["fingerprint"] == there["fingerprint"]
    assert "site" not in one["labels"], "as our rule names it"
    await say(manager, "Slow")
    await until(lambda: alerts_of(daemon, alertname="Slow"))
    lamps.switch()
    # Over by our rules, whatever the Alertmanager has said until now.
    await until(lambda: nothing(daemon, name="red"))
    await over(manager, "red")
    await until(lambda: daemon.value(TAKEN, outcome="resolved"))
    assert await alerts_of(daemon, name="red") == []
    assert len(await alerts_of(daemon)) == 1
