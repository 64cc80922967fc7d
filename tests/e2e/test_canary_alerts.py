"""Secrets for Alertmanagers, receivers and those who send us alerts show nowhere, whatever the others answer."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fixtures.daemons import Daemon, NewDaemon, run_command
from tests.fixtures.waiting import until

CANARY = re.compile(r"c4n4ry|YzRuNHJ5", re.IGNORECASE)
"""As it is, and in base64 as it stands in a header."""
INTAKE = "c4n4ry-intake-token"
RULES = "groups: [{name: g, rules: [{alert: Always, expr: up == 1}]}]\n"


@pytest.fixture
async def gossip() -> AsyncIterator[TestServer]:
    """A service that refuses everything and repeats, in its body and headers, what it was told in confidence."""

    async def repeat(request: web.Request) -> web.Response:
        said = request.headers.get("Authorization", "")
        kind, _, rest = said.partition(" ")
        plain = base64.b64decode(rest).decode() if kind == "Basic" else rest
        return web.Response(status=500, text=f"no: {said} {plain} password={plain}", headers={"X-Said": said})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", repeat)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    yield server
    await server.close()


async def test_no_secret_of_a_peer_shows_in_any_output(
    daemon_process: NewDaemon, gossip: TestServer, tmp_path: Path
) -> None:
    url = str(gossip.make_url("")).rstrip("/")
    secret = tmp_path / "secret"
    secret.write_text("c4n4ry-in-a-file")
    secret.chmod(0o600)
    (tmp_path / "rules.yaml").write_text(RULES)
    tokens = [{"name": "am", "scopes": ["intake"], "sha256": hashlib.sha256(INTAKE.encode()).hexdigest()}]
    tokens.append({"name": "r", "scopes": ["read"], "sha256": hashlib.sha256(b"reader").hexdigest()})
    daemon = await daemon_process(
        {"name": "here", "engine": "host", "interval": "1s"},
        token="reader",
        rules={"builtin": False, "files": [str(tmp_path / "rules.yaml")], "interval": "1s", "resend_delay": "1s"},
        alertmanagers=[
            {"url": url, "user": "me", "password": {"text": "c4n4ry-basic"}},
            {"url": f"{url}/prefix", "bearer_token": {"file": str(secret)}},
            {"url": "http://127.0.0.1:1", "bearer_token": {"text": "c4n4ry-nobody-there"}},
        ],
        history={
            "remote_write": [
                {"url": f"{url}/write", "bearer_token": {"text": "c4n4ry-write"}},
                {"url": "http://127.0.0.1:1/w", "user": "u", "password": {"text": "c4n4ry-w"}},
            ]
        },
        http={"tokens": tokens},
    )  # fmt: skip
    await until(lambda: daemon.value("dbarchitect_alertmanager_requests_failed_total", alertmanager=url))
    await until(lambda: daemon.value("dbarchitect_remote_write_failing", url=f"{url}/write"), 30)
    outputs = {path: await daemon.get(path) for path in ("/", "/metrics", "/api/v1/alerts", "/api/v1/rules")}
    outputs |= {f"intake {number}": text for number, text in enumerate(await _told(daemon))}
    for command in ("check", "alerts", "status"):
        argv = (
            [str(daemon.config)]
            if command == "check"
            else ["--url", daemon.url, "--config", str(daemon.config)]
        )
        outputs[command] = "".join(map(str, await run_command(command, *argv)))
    await daemon.end()
    outputs["log"] = daemon.log.read_text()
    for path in daemon.state_dir.rglob("*"):
        if path.is_file():
            outputs[str(path)] = path.read_bytes().decode("latin-1")
    assert {name: CANARY.findall(text)[:3] for name, text in outputs.items() if CANARY.search(text)} == {}
    assert "alertmanager.failed" in outputs["log"]


async def test_no_secret_shows_when_the_past_is_asked_of_a_gossip(
    daemon_process: NewDaemon, gossip: TestServer
) -> None:
    url = str(gossip.make_url("")).rstrip("/")
    daemon = await daemon_process(
        {"name": "here", "engine": "host", "interval": "1s"},
        history={"query": {"url": url, "user": "me", "password": {"text": "c4n4ry-query"}}},
    )
    await until(lambda: daemon.events("history.not_read"))
    text = daemon.log.read_text() + await daemon.get("/metrics")
    assert not CANARY.search(text)


async def _told(daemon: Daemon) -> list[str]:
    """Send alerts rightly and wrongly, and return the answers."""
    answers = []
    path = f"{daemon.url}/api/v1/alertmanager"
    good = {"version": "4", "alerts": []}
    async with aiohttp.ClientSession() as session:
        for token, body in (
            (INTAKE, json.dumps(good)),
            (INTAKE, "c4n4"),
            (f"{INTAKE}x", "{}"),
            ("reader", "{}"),
        ):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(path, data=body, headers=headers) as answer:
                answers.append(f"{answer.status} {dict(answer.headers)} {await answer.text()}")
    return answers
