"""What POST /api/v1/alertmanager answers, to whom, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.http import intake
from daemon.received.desk import Desk
from daemon.received.store import FILE
from tests.integration.http.serving import Served, serving
from tests.unit.received.telling import alert, notice
from tests.unit.snapshot.making import snapshot_of

PATH = "/api/v1/alertmanager"


@dataclass
class Token:
    name: str
    scopes: tuple[str, ...]
    sha256: str


def token(text: str, *scopes: str) -> Token:
    return Token(text, scopes, hashlib.sha256(text.encode()).hexdigest())


TOKENS = [token("hook-secret", "intake"), token("reader-secret", "read")]
HOOK = {"Authorization": "Bearer hook-secret"}
READER = {"Authorization": "Bearer reader-secret"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Served]:
    async with serving(snapshot_of(), desk=desk, tokens=TOKENS) as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def post(
    session: aiohttp.ClientSession, served: Served, body: Any, **headers: str
) -> tuple[int, dict[str, Any]]:
    async with session.post(served.url + PATH, data=body, headers={**HOOK, **headers}) as answer:
        return answer.status, await answer.json()


async def listed(session: aiohttp.ClientSession, served: Served) -> list[dict[str, Any]]:
    async with session.get(f"{served.url}/api/v1/alerts", headers=READER) as answer:
        assert answer.status == 200
        return (await answer.json())["data"]["alerts"]


async def test_alerts_are_taken_and_listed_until_they_are_over(
    served: Served, session: aiohttp.ClientSession
) -> None:
    code, said = await post(session, served, notice(alert(), alert("Bad", labels={}), truncatedAlerts=3))
    assert code == 200
    problem = "alerts[1]: has no labels"
    counts = {"new": 1, "resolved": 0, "repeated": 0, "refused": 1, "problems": [problem], "truncated": 3}
    assert said == {"status": "success", "data": counts}
    (one,) = await listed(session, served)
    assert one == {
        "labels": {"alertname": "Down", "severity": "critical"},
        "annotations": {"summary": "Down it is"},
        "state": "firing",
        "activeAt": "2026-01-01T10:00:00.123Z",
        "value": "",
        "sources": ["alertmanager"],
        "fingerprint": one["fingerprint"],
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "receivedFrom": "http://alertmanager:9093",
    }
    _, said = await post(session, served, notice(alert()))
    assert said["data"]["repeated"] == 1
    _, said = await post(session, served, notice(alert(ends="2026-01-01T10:05:00Z")))
    assert said["data"]["resolved"] == 1
    assert await listed(session, served) == []


async def test_only_a_token_with_the_scope_may_tell(served: Served, session: aiohttp.ClientSession) -> None:
    async def code(**headers: str) -> int:
        async with session.post(served.url + PATH, data=notice(alert()), headers=headers) as answer:
            assert (await answer.json())["hint"]
            return answer.status

    assert await code() == 401
    assert await code(Authorization="Bearer wrong") == 401
    assert await code(**READER) == 403
    assert await listed(session, served) == []
    async with session.get(f"{served.url}/api/v1/alerts", headers=HOOK) as answer:
        assert answer.status == 403, "who tells may not read"


async def test_without_any_token_reading_is_free_and_telling_is_not(
    desk: Desk, session: aiohttp.ClientSession
) -> None:
    async with serving(snapshot_of(), desk=desk) as open_to_all:
        async with session.get(f"{open_to_all.url}/api/v1/alerts") as answer:
            assert answer.status == 200
        assert (await post(session, open_to_all, notice(alert())))[0] == 401


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"nonsense", notice(version="5"), b"[" * 50_000, b"\xff"],
    ids=lambda one: repr(one[:9]),
)
async def test_garbage_is_refused_for_good(
    served: Served, session: aiohttp.ClientSession, desk: Desk, body: bytes
) -> None:
    code, said = await post(session, served, body)
    assert code == 400
    assert said["status"] == "error"
    assert said["hint"]
    assert desk.notices == {"taken": 0, "garbage": 1, "not_stored": 0}


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    served: Served, session: aiohttp.ClientSession
) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer hook-secret\r\n"
    said = await served.raw(f"{head}Content-Length: {intake.SIZE_MAX_BYTES + 1}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"set max_alerts" in said

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(intake.SIZE_MAX_BYTES // 65_536 + 2):
            yield b" " * 65_536

    assert (await post(session, served, endless()))[0] == 413
    bomb = gzip.compress(b" " * (intake.SIZE_MAX_BYTES * 20))
    code, _ = await post(session, served, bomb, **{"Content-Encoding": "gzip"})
    assert code == 415


async def test_the_body_may_come_in_pieces_and_by_any_name(
    served: Served, session: aiohttp.ClientSession
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        body = notice(alert("chunked"))
        for at in range(0, len(body), 50):
            yield body[at : at + 50]

    assert (await post(session, served, pieces()))[0] == 200
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        assert (await post(session, served, notice(alert(kind)), **{"Content-Type": kind}))[0] == 200
    assert len(await listed(session, served)) == 4


async def test_a_body_that_is_broken_off_leaves_the_daemon_well(
    served: Served, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer hook-secret\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f'{head}Content-Length: 1000\r\n\r\n{{"version": '.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    said = await served.raw(f"{head}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode())
    assert said.split(b" ")[1] == b"400"
    assert (await post(session, served, notice(alert())))[0] == 200
    assert "Connection lost" not in caplog.text


async def test_a_slow_body_is_cut_and_others_need_not_wait(
    served: Served, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 1.0)
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer hook-secret\r\n"
    began = time.monotonic()
    slow = asyncio.create_task(served.raw(f"{head}Content-Length: 1000\r\n\r\n{{".encode()))
    await asyncio.sleep(0.1)
    assert (await post(session, served, notice(alert())))[0] == 200
    assert time.monotonic() - began < 0.9
    assert (await slow).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 8


async def test_it_is_for_post_only_and_nothing_else_takes_a_body(
    served: Served, session: aiohttp.ClientSession
) -> None:
    async with session.get(served.url + PATH, headers=READER) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert "Allow" in (await answer.json())["hint"]
    async with session.put(served.url + PATH, data=b"{}", headers=READER) as answer:
        assert answer.status == 413
    async with session.post(f"{served.url}/api/v1/alerts", headers=READER) as answer:
        assert answer.status == 405


async def test_fifty_at_once_are_all_taken_once(
    served: Served, session: aiohttp.ClientSession, desk: Desk
) -> None:
    bodies = [notice(*[alert(f"n{number % 10}-{each}") for each in range(20)]) for number in range(50)]
    answers = await asyncio.gather(*[post(session, served, body) for body in bodies])
    assert {code for code, _ in answers} == {200}
    assert sum(said["data"]["new"] for _, said in answers) == 200
    assert sum(said["data"]["repeated"] for _, said in answers) == 800
    assert len(await listed(session, served)) == 200
    assert desk.notices["taken"] == 50


async def test_a_large_message_does_not_hold_up_the_loop(
    served: Served, session: aiohttp.ClientSession
) -> None:
    body = notice(*[alert(f"alert-{number}", annotations={"a": "x" * 500}) for number in range(8000)])
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            worst = max(worst, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    code, said = await post(session, served, io.BytesIO(body))
    watching.cancel()
    assert (code, said["data"]["new"]) == (200, 8000)
    assert worst < 0.5, f"the loop stood still for {worst:.2f} s"


async def test_what_cannot_be_stored_is_to_be_sent_again(
    served: Served, session: aiohttp.ClientSession, desk: Desk, tmp_path: Path
) -> None:
    await post(session, served, notice(alert("before")))
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with session.post(served.url + PATH, data=notice(alert("later")), headers=HOOK) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "10"
        assert [one["labels"]["alertname"] for one in await listed(session, served)] == ["before"]
        other.execute("ROLLBACK")
    assert (await post(session, served, notice(alert("later"))))[0] == 200
    assert len(await listed(session, served)) == 2
    assert desk.notices == {"taken": 2, "garbage": 0, "not_stored": 1}


async def test_the_metrics_tell_what_was_taken(
    served: Served, session: aiohttp.ClientSession, desk: Desk
) -> None:
    served.selfmetrics.registry.register(desk)
    await post(
        session, served, notice(alert(), alert("b", ends="2026-01-01T11:00:00Z"), alert("c", labels={}))
    )
    await post(session, served, b"{}")
    async with session.get(f"{served.url}/metrics", headers=READER) as answer:
        lines = (await answer.text()).splitlines()
    assert 'dbarchitect_received_alerts_total{outcome="new"} 2.0' in lines
    assert 'dbarchitect_received_alerts_total{outcome="resolved"} 1.0' in lines
    assert 'dbarchitect_received_alerts_total{outcome="refused"} 1.0' in lines
    assert 'dbarchitect_received_notices_total{outcome="garbage"} 1.0' in lines
    assert "dbarchitect_received_alerts_firing 1.0" in lines
    json.dumps(desk.shown())
