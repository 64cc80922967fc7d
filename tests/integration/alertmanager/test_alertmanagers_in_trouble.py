"""Alertmanagers that die, hang, refuse, or are something else; the others and the judge go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.alertmanager.message import Message
from daemon.alertmanager.sender import QUEUE_MAX, Sender
from daemon.config.peer import PeerSettings
from daemon.peer import Peer
from rules.labels import labels_of
from tests.fixtures.alerting import Lamps, fires, keys, lamps_shown, over, served, time_of
from tests.fixtures.certificates import Authority
from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.servers import NewAlertmanager
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(120)
SENT = "dbarchitect_alertmanager_alerts_sent_total"
FAILED = "dbarchitect_alertmanager_requests_failed_total"
DROPPED = "dbarchitect_alertmanager_alerts_dropped_total"
WAITING = "dbarchitect_alertmanager_alerts_waiting"
BCRYPT = "$2b$04$j880N4nhcc9iAFJfFr6C1.D4dVdGI/R58MsbXeGxX1T.wv0xGKYj2"
"""Of right-horse-battery."""
EVALUATED = "dbarchitect_rule_group_last_evaluation_timestamp_seconds"


@pytest.fixture
async def lamps() -> AsyncIterator[Lamps]:
    async with lamps_shown() as shown:
        yield shown


async def failure(daemon: Daemon) -> str:
    """Wait until the log says that an Alertmanager cannot be told, and return why."""
    (event, *_) = await until(lambda: daemon.events("alertmanager.failed"))
    return event["reason"]


async def test_one_that_was_away_hears_what_fires_and_what_ended_meanwhile_and_says_so(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []

    async def note(request: web.Request) -> web.Response:
        told.extend((await request.json())["alerts"])
        return web.Response()

    receiver = web.Application()
    receiver.router.add_post("/", note)
    async with served(receiver) as port:
        manager = await alertmanager(webhooks=[{"url": f"http://127.0.0.1:{port}/"}])
        lamps.switch("red")
        daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
        await fires(manager, "red")
        await until(lambda: told)
        # It writes down whom it told when it ends, so that it can tell of the end later.
        await manager.end()
        lamps.switch()
        await until(lambda: daemon.events("alertmanager.failed"))
        await daemon.ready()
        await manager.start()
        (ended, *_) = await until(lambda: [one for one in told if one["status"] == "resolved"])
    assert ended["labels"]["name"] == "red"


async def test_one_that_was_killed_gets_the_present_state_and_the_ends_when_it_is_back(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    stays, dies = await alertmanager(), await alertmanager()
    lamps.switch("red", "green")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, stays.url, dies.url))
    await fires(dies, "red")
    await fires(dies, "green")
    await dies.kill()
    lamps.switch("green", "blue")
    await fires(stays, "blue")
    await over(stays, "red")
    assert await daemon.value(FAILED, alertmanager=dies.url) >= 1

    async def all_wait() -> bool:
        return await daemon.value(WAITING, alertmanager=dies.url) == 3

    await until(all_wait)
    await dies.start()
    assert (await fires(dies, "green"))["startsAt"] == (await fires(stays, "green"))["startsAt"]
    await fires(dies, "blue")
    assert await dies.alerts(name="red") == []
    resolved = await dies.metric("alertmanager_alerts_received_total", status="resolved", version="v2")
    assert resolved >= 1
    assert daemon.events("alertmanager.reachable")


async def test_one_killed_with_all_it_knew_hears_of_what_fires_within_the_resend_delay(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    lamps.switch("red")
    await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
    first = await fires(manager, "red")
    await manager.kill()
    await manager.start()
    assert (await fires(manager, "red"))["startsAt"] == first["startsAt"]


async def test_one_that_hangs_delays_neither_the_other_nor_the_judge(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    hangs, other = await alertmanager(), await alertmanager()
    lamps.switch("red")
    slow = {"url": hangs.url, "timeout": "2s"}
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, slow, other.url))
    await fires(hangs, "red")
    hangs.pause()
    for turn in range(4):
        name = f"lamp{turn}"
        lamps.switch("red", name)
        began = time.monotonic()
        await fires(other, name, deadline=5)
        assert time.monotonic() - began < 3
    (group,) = await daemon.values(EVALUATED)
    assert time.time() - group < 2
    assert "no answer within 2 s" in await failure(daemon)
    (before,) = await other.alerts(name="red")
    hangs.resume()
    await fires(hangs, "lamp3")
    await over(hangs, "lamp0")
    assert time_of(before["endsAt"]) > time.time()


async def test_a_wrong_password_is_said_without_it_and_a_right_one_is_taken_up(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager(web={"basic_auth_users": {"judge": BCRYPT}})
    secret = tmp_path / "password"
    secret.write_text("wrong-horse-battery")
    secret.chmod(0o600)
    entry = {"url": manager.url, "user": "judge", "password": {"file": str(secret)}}
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, entry))
    assert "it answers 401" in await failure(daemon)
    assert await daemon.value(DROPPED, alertmanager=manager.url) == 0
    secret.write_text("right-horse-battery")
    await until(lambda: daemon.value(SENT, alertmanager=manager.url))
    assert "horse" not in daemon.log.read_text()


async def test_a_token_that_fits_in_no_header_is_a_reason_and_not_the_end(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager()
    secret = tmp_path / "token"
    secret.write_text("two-secret\rlines-of-token")
    secret.chmod(0o600)
    lamps.switch("red")
    entry = {"url": manager.url, "bearer_token": {"file": str(secret)}}
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, entry))
    assert "cannot be sent in a header" in await failure(daemon)
    assert "lines-of-token" not in daemon.log.read_text()
    secret.write_text("one-line\n")
    await fires(manager, "red")


async def test_the_prefix_is_part_of_the_url_and_without_it_alerts_wait(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    manager = await alertmanager(flags=["--web.route-prefix=/am"])
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
    assert "it answers 404" in await failure(daemon)
    assert await daemon.value(DROPPED, alertmanager=manager.url) == 0
    assert await daemon.value(WAITING, alertmanager=manager.url) == 1
    daemon.write({**keys(tmp_path, f"{manager.url}/am/"), "targets": [lamps.target()]})
    await daemon.reload()
    await until(lambda: daemon.value(SENT, alertmanager=f"{manager.url}/am"))


async def test_its_certificate_has_to_be_one_that_we_trust(
    lamps: Lamps, alertmanager: NewAlertmanager, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    authority = Authority.make()
    signed = authority.sign("alertmanager")
    manager = await alertmanager(
        files={"am.crt": signed.certificate, "am.key": signed.key},
        web={"tls_server_config": {"cert_file": "{room}/am.crt", "key_file": "{room}/am.key"}},
    )
    assert manager.url.startswith("https:")
    lamps.switch("red")
    daemon = await daemon_process(lamps.target(), **keys(tmp_path, manager.url))
    assert "certificate verify failed" in await failure(daemon)
    assert await manager.alerts() == []
    ca = tmp_path / "ca.crt"
    ca.write_text(authority.certificate)
    entry = {"url": manager.url, "tls": {"ca_file": str(ca)}}
    daemon.write({**keys(tmp_path, entry), "targets": [lamps.target()]})
    await daemon.reload()
    await fires(manager, "red")


async def test_a_redirect_is_not_followed_with_our_token(
    lamps: Lamps, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/trap")

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", elsewhere)
    async with served(application) as port:
        entry = {"url": f"http://127.0.0.1:{port}", "bearer_token": {"text": "token-of-the-test"}}
        lamps.switch("red")
        daemon = await daemon_process(lamps.target(), **keys(tmp_path, entry))
        assert "it answers 307" in await failure(daemon)
        await until(lambda: len(asked) >= 2)
    assert set(asked) == {"/api/v2/alerts"}


async def test_a_wait_that_it_asks_for_is_kept_but_not_for_ever(tmp_path: Path) -> None:
    asked: list[float] = []

    async def busy(_request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        if len(asked) > 1:
            return web.Response()
        return web.Response(status=503, headers={"Retry-After": "3"})

    application = web.Application()
    application.router.add_post("/api/v2/alerts", busy)
    async with served(application) as port:
        sender = Sender(Peer(PeerSettings(url=f"http://127.0.0.1:{port}")))
        sender.offer([message("a")])
        running = asyncio.create_task(sender.run())
        await until(lambda: len(asked) == 2)
        running.cancel()
        await asyncio.wait([running])
        await sender.close()
    assert asked[1] - asked[0] >= 3


async def test_an_alert_that_is_refused_does_not_cost_the_others(alertmanager: NewAlertmanager) -> None:
    manager = await alertmanager()
    sender = Sender(Peer(PeerSettings(url=manager.url)))
    names = [f"n{number}" for number in range(600)]
    bad = {"n0", "n255", "n256", "n599"}
    sender.offer([message(name, label="not a name" if name in bad else "ok") for name in names])
    await sender.flush(30)
    taken = {one["labels"]["name"] for one in await manager.alerts()}
    assert taken == set(names) - bad
    assert (sender.dropped, sender.waiting, sender.sent) == (4, 0, 596)
    assert sender.reachable
    sender.offer([message("late")])
    await sender.flush(5)
    assert len(await manager.alerts(name="late")) == 1
    await sender.close()


async def test_the_queue_is_bounded_and_prefers_what_would_not_be_said_again() -> None:
    sender = Sender(Peer(PeerSettings(url="http://127.0.0.1:1")))
    began = time.monotonic()
    sender.offer(message(f"over{number}", resolved=True) for number in range(QUEUE_MAX - 10))
    sender.offer(message(f"fires{number}") for number in range(QUEUE_MAX))
    assert sender.waiting == QUEUE_MAX
    assert sender.dropped == QUEUE_MAX - 10
    kept = [each.resolved for each in sender._waiting.values()]
    assert kept.count(True) == QUEUE_MAX - 10
    sender.offer(message(f"late{number}", resolved=True) for number in range(30))
    assert sender.waiting == QUEUE_MAX
    names = {each.labels.get("name") for each in sender._waiting.values()}
    assert {f"late{number}" for number in range(30)} <= names
    assert "over0" not in names, "of two that are over the older goes"
    assert time.monotonic() - began < 2


async def test_a_newer_word_replaces_the_one_that_waits_and_survives_one_under_way() -> None:
    held, bodies = asyncio.Event(), []

    async def slow(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        await held.wait()
        return web.Response()

    application = web.Application()
    application.router.add_post("/api/v2/alerts", slow)
    async with served(application) as port:
        sender = Sender(Peer(PeerSettings(url=f"http://127.0.0.1:{port}")))
        sender.offer([message("a")])
        running = asyncio.create_task(sender.run())
        await until(lambda: bodies)
        sender.offer([message("a"), message("b")])
        sender.offer([message("a", resolved=True)])
        assert sender.waiting == 2
        held.set()
        await until(lambda: len(bodies) == 2)
        await until(lambda: not sender.waiting)
        running.cancel()
        await asyncio.wait([running])
        await sender.close()
    assert {one["labels"]["name"]: one["endsAt"] for one in bodies[1]}.keys() == {"a", "b"}
    assert any(one["endsAt"].startswith("2001") for one in bodies[1])


def message(name: str, *, resolved: bool = False, label: str = "ok") -> Message:
    now = time.time()
    labels = labels_of({"alertname": "A", "name": name, label: "x"})
    if resolved:
        return Message(labels, {}, 10**9 - 60, 10**9, "", resolved=True)
    return Message(labels, {}, now, now + 60, "", resolved=False)
