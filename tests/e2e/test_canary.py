"""Secrets of every shape are planted, errors about them produced; the text is looked for in every output."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psutil
import pytest

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from daemon.check import check
from tests.fixtures.clients import connected
from tests.fixtures.daemons import Daemon, NewDaemon, postgres_target, run_command
from tests.fixtures.servers import SETTINGS, Servers
from tests.fixtures.waiting import until

CANARY = re.compile(r"c4n4ry|C4N4RY", re.IGNORECASE)
MEAN = "c4n4ry-@:/%'\"\\ {}$&?#=;é<end"
"""With everything that ends a password early in one syntax or another."""
RIGHT = "c4n4ry-right-in-a-file"
TOKEN = "c4n4ry-http-token"
OWN = """
literal:
  sql: select 'password=c4n4ry-in-sql'::text::int as n
  values: {n: {metric: own_literal, kind: gauge, help: h}}
connects:
  sql: select * from dblink('host=127.0.0.1 port=1 user=x password=c4n4ry-in-dblink', 'select 1') as t(n int)
  values: {n: {metric: own_connects, kind: gauge, help: h}}
broken:
  sql: select 'postgresql://u:c4n4ry-in-uri@h/db'::json as n
  values: {n: {metric: own_broken, kind: gauge, help: h}}
"""


@pytest.fixture(scope="module")
async def server(servers: Servers, place: Place) -> AsyncIterator[ScratchPostgres]:
    """A server that itself knows canaries: in statements, in sessions and in its settings."""
    settings = {**SETTINGS, "shared_preload_libraries": "pg_stat_statements"}
    async with ScratchPostgres(servers.binaries(15), place=place, name="canary", settings=settings) as made:
        await made.psql("create extension pg_stat_statements")
        await made.psql(f"create role mon login password '{RIGHT}'; grant pg_monitor to mon")
        mean = MEAN.replace("'", "''")
        await made.psql(f"create role mean login password '{mean}'; grant pg_monitor to mean")
        await made.psql("create role planted login password 'c4n4ry-in-a-statement'")
        await made.psql("alter role planted password $x$c4n4ry-in-dollars$x$")
        await made.psql("set application_name = 'password=c4n4ry-in-a-name'; select pg_sleep(0.01)")
        yield made


@pytest.fixture
def planted(server: ScratchPostgres, tmp_path: Path) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Targets, each with a secret of another shape, and the environment that some of them need."""
    right, wrong, mean = tmp_path / "right", tmp_path / "wrong", tmp_path / "mean"
    right.write_text(RIGHT)
    wrong.write_text("c4n4ry-wrong-in-a-file\n")
    mean.write_text(MEAN)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "shop").write_text("c4n4ry-credential")
    for path in (right, wrong, mean, credentials / "shop"):
        path.chmod(0o600)
    at = f"127.0.0.1:{server.port}"
    key = MEAN.replace("\\", "\\\\").replace("'", "\\'")
    node = {"engine": "exporter", "url": f"http://{at}/metrics?token=c4n4ry-query", "interval": "500ms"}
    paced = {"engine": "postgresql", "interval": "500ms", "deadline": "1s"}
    targets: list[dict[str, object]] = [
        postgres_target(server, "right", user="mon", password={"file": str(right)}),
        postgres_target(server, "wrong-file", user="mon", password={"file": str(wrong)}),
        postgres_target(server, "mean", user="mean", password={"file": str(mean)}),
        postgres_target(server, "env", user="mon", password={"env": "CANARY_PASSWORD"}),
        postgres_target(server, "credential", user="mon", password={"credential": "shop"}),
        postgres_target(server, "inline", user="mon", password={"text": "c4n4ry-inline"}),
        postgres_target(server, "plain", user="mon", password="c4n4ry-plain"),
        {**paced, "name": "uri", "dsn": f"postgresql://mon:{quote('c4n4ry-' + MEAN, safe='')}@{at}/postgres?sslmode=disable"},
        {**paced, "name": "query", "dsn": f"postgresql://mon@{at}/postgres?password=c4n4ry-in-query&sslmode=disable"},
        {**paced, "name": "pairs", "dsn": f"host=127.0.0.1 port={server.port} user=mon password='{key}x' dbname=postgres sslmode=disable"},
        {**node, "name": "bearer", "bearer_token": {"text": "c4n4ry-bearer"}},
        {**node, "name": "basic", "user": "c", "password": {"text": "c4n4ry-basic"}},
        {"name": "pool", "engine": "pgbouncer", "host": "127.0.0.1", "port": server.port, "interval": "500ms",
         "user": "mon", "password": {"text": "c4n4ry-pool"}, "tls": {"mode": "disable"}},
    ]  # fmt: skip
    environment = {"CANARY_PASSWORD": "c4n4ry-environment", "CREDENTIALS_DIRECTORY": str(credentials)}
    return targets, environment


async def test_no_secret_shows_in_any_output_of_a_running_daemon(
    server: ScratchPostgres,
    planted: tuple[list[dict[str, object]], dict[str, str]],
    daemon_process: NewDaemon,
    tmp_path: Path,
) -> None:
    targets, environment = planted
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    token = {"name": "tests", "scopes": ["read"], "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}
    daemon = await daemon_process(
        *targets, env=environment, ready=False, metrics_files=[str(own)], http={"tokens": [token]},
        defaults={"collect": {"statement_texts": True}},
    )  # fmt: skip
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    outputs: dict[str, str] = {}
    async with connected(server, server_settings={"application_name": "c4n4ry"}) as other:
        # A label may say what an application calls itself: that is no secret of ours.
        await other.execute("set application_name = ''")
        await until(lambda: _all_asked(daemon, bearer, len(targets)))
        await until(lambda: _failed(daemon, bearer, {"literal", "connects", "broken"}), 20)
        await until(lambda: _is_ready(daemon, bearer))  # its journal is opened beside the rest
        for path in ("/", "/metrics", "/livez", "/readyz", "/api/v1/targets", "/api/v1/metrics"):
            outputs[path] = await daemon.get(path, **bearer)
        outputs["series"] = await daemon.get("/api/v1/series?limit=1000", **bearer)
        outputs["openmetrics"] = await daemon.get(
            "/metrics", Accept="application/openmetrics-text;version=1.0.0", **bearer
        )
        outputs |= {f"refused {number}": text for number, text in enumerate(await _refused(daemon))}
        outputs |= dict(_processes(daemon.pid))
        outputs |= await _commands(daemon, environment, tmp_path)
    targets_seen = outputs["/api/v1/targets"]
    daemon.config.write_text(daemon.config.read_text() + "\npassword: c4n4ry-at-the-top\n")
    await daemon.reload()
    await daemon.end()
    outputs["log"] = daemon.log.read_text()
    for path in daemon.state_dir.rglob("*"):
        outputs[str(path)] = path.read_bytes().decode("latin-1") if path.is_file() else ""

    found = {name: _around(text) for name, text in outputs.items() if CANARY.search(text)}
    assert found == {}
    assert targets_seen.count("28P01") >= 5, "the errors that could leak were not made"
    up = {one["name"] for one in json.loads(targets_seen)["targets"] if one["up"]}
    assert up == {"right", "mean"}


@pytest.mark.parametrize(
    "line",
    [
        "password: {txet: c4n4ry}",
        "password: [c4n4ry]",
        "password: {text: {deep: c4n4ry}}",
        'password: "c4n4ry',
        "pasword: c4n4ry",
        "password: {file: c4n4ry, env: c4n4ry}",
        "password: !!binary c4n4ry",
        "password: *c4n4ry",
        "dsn: postgresql://u:c4n4ry/@h:x/db",
        "dsn: postgresql://u:c4n4ry@c4n4ry@h/db",
        "dsn: postgresql://u:c4n4ry#x@h/db",
        "dsn: postgresql://h/db?passwrod=c4n4ry",
        "dsn: host=h password=c4n4ry two c4n4ry=3",
        "dsn: host=h password='c4n4ry",
        "dsn: [postgresql://u:c4n4ry@h/db]",
        "dsn: 'host=h passfile=/c4n4ry service=c4n4ry'",
        "password: c4n4ry\n    password: c4n4ry",
        "password: c4n4ry",
        "tls: c4n4ry",
        "port: c4n4ry",
    ],
)
async def test_a_configuration_that_is_refused_quotes_no_secret(line: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"targets:\n  - name: a\n    engine: postgresql\n    {line}\n")
    report = check(path)
    said = "\n".join(str(problem) for problem in report.problems)

    assert said
    assert not _shows(said, line), said


def _shows(said: str, line: str) -> bool:
    # A value that stands where a port or a mode belongs is no secret to us; names of files are not either.
    return bool(CANARY.search(said)) and not line.startswith(("tls:", "port:"))


async def _all_asked(daemon: Daemon, headers: dict[str, str], number: int) -> bool:
    try:
        seen = await daemon.get("/api/v1/targets", **headers)
    except (OSError, AssertionError):
        return False
    return '"up": null' not in seen and seen.count('"address"') == number


async def _failed(daemon: Daemon, headers: dict[str, str], probes: set[str]) -> bool:
    seen = await daemon.get("/api/v1/targets", **headers)
    return all(f"{probe} is declared in" in seen for probe in probes)


async def _is_ready(daemon: Daemon, headers: dict[str, str]) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{daemon.url}/readyz", headers=headers) as seen,
    ):
        return seen.status == 200


async def _refused(daemon: Daemon) -> list[str]:
    """Return answers to requests that show a wrong token, or put one where it does not belong."""
    requests = [
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer c4n4ry-wrong\r\n\r\n",
        "GET /metrics?token=c4n4ry HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        f"GET /metrics?token=c4n4ry HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        "GET /c4n4ry HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic YzRuNHJ5OmM0bjRyeQ==\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: c4n4ry\r\n\r\n",
    ]
    answers = []
    for request in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
        async with asyncio.timeout(5):
            answers.append((await reader.read()).decode())
        writer.close()
    return answers


def _processes(pid: int) -> Iterator[tuple[str, str]]:
    """Give what `ps` shows of the daemon and its children, and the environment of the children."""
    daemon = psutil.Process(pid)
    for process in [daemon, *daemon.children(recursive=True)]:
        yield f"command line of {process.pid}", " ".join(process.cmdline())
        if process.pid != pid:
            yield f"environment of {process.pid}", str(process.environ())


async def _commands(daemon: Daemon, environment: dict[str, str], folder: Path) -> dict[str, str]:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    config = str(daemon.config)
    where = ("--url", daemon.url, "--token-file", str(token))
    commands: dict[str, tuple[str, ...]] = {
        "check": ("check", config),
        "check json": ("check", config, "--output", "json"),
        "check --connect": ("check", "--connect", config),
        "check --connect json": ("check", "--connect", config, "--output", "json"),
        "status": ("status", "--verbose", *where),
        "status json": ("status", *where, "--output", "json"),
        "top": ("top", "right", "--once", *where),
        "metrics": ("metrics",),
        "a second start": ("run", config),
    }
    said = {}
    for name, argv in commands.items():
        code, out, errors = await run_command(*argv, env=environment)
        assert out + errors, name
        assert "Traceback" not in errors, errors
        said[name] = f"{code} {out} {errors}"
    assert said["a second start"].startswith(("69", "73"))
    return said


def _around(text: str) -> list[str]:
    return [text[max(0, one.start() - 60) : one.end() + 30] for one in CANARY.finditer(text)][:3]
