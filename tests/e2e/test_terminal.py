"""`dbarchitect status` against a daemon that watches a real server, and against what is none."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.missing import missing
from tests.fixtures.servers import NewPostgres
from tests.fixtures.terminals import (
    TOKEN,
    Answer,
    Daemon,
    dbarchitect,
    prepare,
    start,
    stop,
    target,
    watching,
)
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
async def server(postgres15: ScratchPostgres) -> ScratchPostgres:
    await prepare(postgres15)
    return postgres15


@pytest.fixture(scope="module")
async def daemon(server: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """A daemon that all tests share which leave it as it is."""
    async with watching(server, tmp_path_factory.mktemp("daemon")) as made:
        yield made


async def test_status_of_targets_that_are_up_ends_with_0(daemon: Daemon) -> None:
    answer = await dbarchitect("status", "--url", daemon.url)
    assert answer.code == 0, answer.out + answer.err
    head, _, first, second, *_ = answer.out.splitlines()
    assert head.split() == [
        "TARGET", "ENGINE", "ROLE", "VERSION", "STATE", "SINCE", "DATA", "SESSIONS", "SERIES", "FAILING", "DISTRESS",
    ]  # fmt: skip
    assert re.match(r"shop-primary +postgresql +primary +15\.\d+ +up +", first)
    assert re.match(r"here +host +host +\S+ +up +", second)


async def test_status_finds_the_daemon_by_its_configuration_and_by_the_environment(daemon: Daemon) -> None:
    for answer in (
        await dbarchitect("status", "--config", str(daemon.config)),
        await dbarchitect("status", DBARCHITECT_URL=daemon.url),
    ):
        assert answer.code == 0, answer.err
        assert "shop-primary" in answer.out


async def test_status_as_json_has_the_values(daemon: Daemon) -> None:
    await until(lambda: _sessions(daemon), deadline=15)
    answer = await dbarchitect("status", "--url", daemon.url, "--output", "json")
    shop = json.loads(answer.out)["targets"][0]
    assert (shop["name"], shop["up"], shop["role"], shop["cluster"]) == (
        "shop-primary",
        True,
        "primary",
        "shop",
    )
    assert 1 <= shop["sessions"] <= 3
    assert shop["series"] > 100
    assert {"probe", "what", "reason"} <= set(shop["not_collected"][0])


async def _sessions(daemon: Daemon) -> bool:
    answer = await dbarchitect("status", "--url", daemon.url, "--output", "json")
    return bool(json.loads(answer.out)["targets"][0]["sessions"])


async def test_a_dead_server_is_down_with_the_reason_in_status_and_top(
    new_postgres: NewPostgres, tmp_path: Path
) -> None:
    server = await new_postgres(15, prepared=True)
    await prepare(server)
    async with watching(server, tmp_path) as daemon:
        await server.stop()
        answer = await until(lambda: _down(daemon), deadline=60)
        narrow = await dbarchitect("status", "--url", daemon.url, COLUMNS="60")
        top = await dbarchitect("top", "shop-primary", "--url", daemon.url)
    assert answer.code == narrow.code == 1
    assert re.search(r"shop-primary +postgresql .* DOWN unreachable +\d", answer.out)
    assert re.search(rf"^shop-primary is down: .*{server.port}.*refused", answer.out, re.MULTILINE)
    assert max(map(len, narrow.out.splitlines())) <= 60
    assert "DOWN unreachable" in narrow.out
    assert top.code == 0
    assert re.search(r"^DOWN for .*refused", top.out, re.MULTILINE)
    assert "tps" not in top.out


async def _down(daemon: Daemon) -> Answer | None:
    answer = await dbarchitect("status", "--url", daemon.url)
    # While it stops, a server says that it does; what is awaited is that nobody listens any more.
    return answer if "DOWN" in answer.out and "refused" in answer.out else None


async def test_status_names_what_is_not_collected(daemon: Daemon) -> None:
    short = await dbarchitect("status", "--url", daemon.url)
    everything = await dbarchitect("status", "--url", daemon.url, "--verbose")
    assert "only on a replica" not in short.out
    assert re.search(r"not collected from shop-primary: .*wal_receiver.*: only on a replica", everything.out)


async def test_without_a_daemon_the_exit_is_2_and_the_message_says_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in (["status"], ["top", "shop"]):
        answer = await dbarchitect(*command, "--url", url)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == (
            f"dbarchitect: no daemon at {url}: connection refused. Start it with `dbarchitect run CONFIG`, or say "
            "where it listens with --url URL or --config FILE.\n"
        )


async def test_a_daemon_on_a_unix_socket_is_reached(server: ScratchPostgres, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    process = await start(tmp_path, "targets:\n" + target("shop", server.port), listen=f"unix:{path}")
    try:
        await until(lambda: _answers(f"unix:{path}"), deadline=30)
        by_config = await dbarchitect("status", "--config", str(tmp_path / "config.yaml"))
        assert by_config.code == 0, by_config.err
    finally:
        await stop(process)
    gone = await dbarchitect("status", "--url", f"unix:{path}")
    assert gone.code == 2
    assert f"no daemon at unix:{path}: no such file or directory" in gone.err


async def _answers(url: str) -> bool:
    return (await dbarchitect("status", "--url", url)).code == 0


async def test_a_token_is_asked_for_and_taken_from_a_file(server: ScratchPostgres, tmp_path: Path) -> None:
    port = free_port()
    digest = subprocess.run(["sha256sum"], input=TOKEN, capture_output=True, text=True, check=True).stdout[
        :64
    ]
    body = f"http: {{tokens: [{{name: me, scopes: [read], sha256: {digest}}}]}}\n"
    process = await start(
        tmp_path, body + "targets:\n" + target("shop", server.port), listen=f"127.0.0.1:{port}"
    )
    url = f"http://127.0.0.1:{port}"
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(TOKEN + "\n")
    wrong.write_text("another")
    try:
        await until(lambda: _answers_with(url, right), deadline=30)
        without, refused = (
            await dbarchitect("status", "--url", url),
            await dbarchitect("status", "--url", url, "--token-file", str(wrong)),
        )
    finally:
        await stop(process)
    assert without.code == refused.code == 2
    assert "wants a token" in without.err
    assert "--token-file" in without.err
    assert "does not know this token" in refused.err


async def _answers_with(url: str, token: Path) -> bool:
    return (await dbarchitect("status", "--url", url, "--token-file", str(token))).code == 0


async def test_a_daemon_with_tls_is_trusted_by_its_authority_only(
    server: ScratchPostgres, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        missing("openssl", "apt-get install openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    body = f"http: {{tls: {{cert_file: {cert}, key_file: {key}}}}}\ntargets:\n" + target("shop", server.port)
    process = await start(tmp_path, body, listen=f"127.0.0.1:{port}")
    config = str(tmp_path / "config.yaml")
    try:
        await until(lambda: _trusted(config, cert), deadline=30)
        strange = await dbarchitect("status", "--config", config)
        plain = await dbarchitect("status", "--url", f"http://127.0.0.1:{port}")
    finally:
        await stop(process)
    assert strange.code == plain.code == 2
    assert f"https://127.0.0.1:{port}: the secure connection failed: " in strange.err
    assert "--ca-file" in strange.err
    assert "with TLS, the address begins with https://" in plain.err, plain.err


async def _trusted(config: str, ca: Path) -> bool:
    return (await dbarchitect("status", "--config", config, "--ca-file", str(ca))).code == 0


async def test_mistakes_in_the_options_are_named() -> None:
    for arguments, message in (
        (["--url", "ftp://x"], "--url: the address begins with http://, https:// or unix:/"),
        (["--url", "http://me:secret@x"], "a token into --token-file"),
        (["--token-file", "/nowhere"], "--token-file /nowhere: No such file or directory"),
        (["--token-file", "/etc/passwd"], "--token-file /etc/passwd: should hold one token and nothing else"),
        (["--ca-file", "/etc/passwd", "--url", "https://127.0.0.1:1"], "--ca-file /etc/passwd"),
        (["--config", "/nowhere.yaml"], "name the daemon's address with --url instead"),
    ):
        answer = await dbarchitect("status", *arguments)
        assert answer.code == 2
        assert message in answer.err, answer.err


async def test_what_is_not_our_daemon_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        seen = await dbarchitect("status", "--url", f"127.0.0.1:{port}")
        secure = await dbarchitect("status", "--url", f"https://127.0.0.1:{port}")
    assert (seen.code, secure.code) == (2, 2)
    assert "is not dbarchitect, or another version of it (HTTP 404 for /api/v1/targets)" in seen.err
    assert "the secure connection failed" in secure.err


async def test_a_daemon_that_never_answers_is_given_up_on() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        seen = await dbarchitect("status", "--url", f"127.0.0.1:{port}", within=20)
    assert seen.code == 2
    assert "no answer within 5 s" in seen.err
