"""`dbarchitect status`, `top` and `metrics` against a daemon that watches a real server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.missing import missing
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "canary-4711-not-to-be-seen"
TOKEN = "token-4711-not-to-be-seen"
ALTERNATE_SCREEN = "\x1b[?1049"
pytestmark = pytest.mark.timeout(120)


def environment(**more: str) -> dict[str, str]:
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("DBARCHITECT", "COLUMNS"))
    }
    return {**keep, "COLUMNS": "200", "TERM": "xterm-256color", **more}


@dataclass
class Answer:
    code: int
    out: str
    err: str


async def dbarchitect(*arguments: str, within: float = 60, **env: str) -> Answer:
    """Run the command line as a user does, without a terminal."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemon", *arguments, cwd=ROOT, env=environment(**env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(child.communicate(), within)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    for text in (out, err):
        assert b"Traceback" not in text, text.decode()
        assert PASSWORD.encode() not in text
        assert TOKEN.encode() not in text
    return Answer(child.returncode or 0, out.decode(), err.decode())


@dataclass
class Daemon:
    """A daemon of the test's own."""

    url: str
    config: Path
    process: asyncio.subprocess.Process

    async def ready(self) -> bool:
        assert self.process.returncode is None, "the daemon has ended"
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.url}/api/v1/targets") as answer,
            ):
                targets = (await answer.json()).get("targets", [])
        except (aiohttp.ClientError, ValueError):
            return False
        return bool(targets) and all(one["up"] is not None for one in targets)


async def start(folder: Path, body: str, *, listen: str) -> asyncio.subprocess.Process:
    config = folder / "config.yaml"
    config.write_text(
        f"daemon: {{listen: '{listen}', state_dir: {folder / 'state'}}}\n"
        f"allow_inline_secrets: true\ndefaults: {{interval: 1s, deadline: 2s}}\n{body}"
    )
    (folder / "state").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", "run", str(config), cwd=ROOT, env=environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def target(name: str, port: int) -> str:
    return (
        f"  - {{name: {name}, engine: postgresql, cluster: shop, host: 127.0.0.1, port: {port}, user: watcher,"
        f" password: {PASSWORD}, tls: {{mode: disable}}}}\n"
    )


async def prepare(server: ScratchPostgres) -> None:
    await server.psql(
        f"DROP ROLE IF EXISTS watcher; CREATE ROLE watcher LOGIN PASSWORD '{PASSWORD}'; GRANT pg_monitor TO watcher"
    )


@contextlib.asynccontextmanager
async def watching(server: ScratchPostgres, folder: Path) -> AsyncIterator[Daemon]:
    listen = f"127.0.0.1:{free_port()}"
    body = "targets:\n" + target("shop-primary", server.port) + "  - {name: here, engine: host}\n"
    process = await start(folder, body, listen=listen)
    made = Daemon(f"http://{listen}", folder / "config.yaml", process)
    try:
        await until(made.ready, deadline=30)
        yield made
    finally:
        await stop(process)


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
    assert {"probe", "what", "reason"} == set(shop["not_collected"][0])


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
        answer = await until(lambda: _down(daemon), deadline=20)
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
    return answer if "DOWN" in answer.out else None


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


async def test_top_shows_the_work_of_a_server_with_rates(server: ScratchPostgres, daemon: Daemon) -> None:
    await server.psql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n")
    async with connected(server) as shop, connected(server) as blocker, connected(server) as waiter:
        await blocker.execute("SET application_name = 'migration'; BEGIN; LOCK TABLE orders")
        waiting = asyncio.ensure_future(waiter.execute("UPDATE orders SET n = n + 1"))
        working = asyncio.ensure_future(_work(shop))
        try:
            seen = await dbarchitect("top", "shop-primary", "--url", daemon.url, "--output", "json")
            table = await dbarchitect("top", "shop-primary", "--url", daemon.url, "--once")
        finally:
            working.cancel()
            await blocker.execute("ROLLBACK")
            await waiting
    assert (seen.code, table.code) == (0, 0)
    values = json.loads(seen.out)
    assert values["facts"]["tps"] > 2
    assert values["facts"]["waiting_for_locks"] == 1
    assert values["facts"]["connections"]["usable"] == 57
    assert values["blocking"][0]["application"] == "migration"
    assert values["blocking"][0]["blocked"] == 1
    assert any(row["waits_for"] == "Lock: relation" for row in values["sessions"])
    assert next(row for row in values["databases"] if row["database"] == "postgres")["commits"] > 2
    assert any((row["calls"] or 0) > 2 for row in values["statements"])
    title, facts, *rest = table.out.splitlines()
    assert re.match(r"shop-primary  PostgreSQL 15\.\d+.*  primary  up .*  data .* old", title)
    assert facts.startswith("tps ")
    assert "waiting for locks 1!" in facts
    for section in ("Blocking: 1 wait, 1 deep", "Statements", "Sessions", "Tables", "Databases"):
        assert any(section in line for line in rest), table.out


async def test_texts_of_statements_come_from_the_daemon_and_hold_no_secret(daemon: Daemon) -> None:
    url = f"{daemon.url}/api/v1/statements"
    async with aiohttp.ClientSession() as session:

        async def texts() -> dict[str, str]:
            async with session.get(url, params={"target": "shop-primary"}) as answer:
                assert answer.status == 200
                return (await answer.json())["texts"]

        known = await until(texts, deadline=30)
        async with session.get(url) as answer:
            assert answer.status == 400
        async with session.get(url, params={"target": "here"}) as answer:
            assert (await answer.json())["texts"] == {}
    assert all(re.fullmatch(r"-?\d+", queryid) for queryid in known)
    assert any("pg_catalog." in text for text in known.values()), known
    assert PASSWORD not in json.dumps(known)
    seen = await dbarchitect("top", "shop-primary", "--url", daemon.url, "--output", "json")
    shown = {row["queryid"]: row["text"] for row in json.loads(seen.out)["statements"]}
    assert any(known.get(queryid) == text for queryid, text in shown.items())


async def _work(session: asyncpg.Connection) -> None:
    while True:
        await session.execute("SELECT 1 AS ping")
        await asyncio.sleep(0.01)


async def test_top_of_another_engine_shows_what_moves(daemon: Daemon) -> None:
    seen = await dbarchitect("top", "here", "--url", daemon.url, "--once")
    assert seen.code == 0, seen.err
    assert "What moves" in seen.out
    assert re.search(r"node_context_switches_total .*/s", seen.out)


async def test_top_of_an_unknown_target_suggests_one(daemon: Daemon) -> None:
    near = await dbarchitect("top", "shop-primry", "--url", daemon.url)
    far = await dbarchitect("top", "xyz", "--url", daemon.url)
    assert (near.code, far.code) == (2, 2)
    assert (
        near.err
        == f"dbarchitect: {daemon.url} watches no target 'shop-primry': did you mean 'shop-primary'?\n"
    )
    assert "there are shop-primary, here" in far.err


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, columns: int, rows: int, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        env = environment()
        del env["COLUMNS"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon", *arguments], cwd=ROOT, env=env, stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it needs a terminal of its own
        )  # fmt: skip
        os.set_blocking(self._master, False)
        self.seen = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def shows(self, text: str) -> bool:
        """Tell whether the program has printed this since it was last asked to forget."""
        try:
            while piece := os.read(self._master, 65536):
                self.seen += piece.decode("utf-8", "replace")
        except OSError:
            pass
        return text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def left(self) -> bool:
        """Tell whether the program has ended and given the screen back."""
        ended = self.process.poll() is not None
        self.shows("")
        return ended and ALTERNATE_SCREEN + "l" in self.seen

    def forget(self) -> None:
        self.shows("")
        self.seen = ""

    def settings(self) -> list:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


async def test_top_lives_on_a_terminal_takes_keys_and_sizes_and_leaves_it_as_it_was(daemon: Daemon) -> None:
    terminal = Terminal(100, 40, "top", "shop-primary", "--url", daemon.url, "--every", "0.5")
    try:
        await until(lambda: terminal.shows("q quit"), deadline=20)
        assert ALTERNATE_SCREEN + "h" in terminal.seen
        await until(lambda: terminal.shows("TIME\u25be"), deadline=20)
        terminal.forget()
        terminal.press("s")
        await until(lambda: terminal.shows("CALLS/s\u25be"), deadline=10)
        terminal.forget()
        terminal.resize(60, 20)
        await until(lambda: terminal.shows("\u2500\u2500 Statements"), deadline=10)
        terminal.press("q")
        await until(terminal.left, deadline=10)
        assert terminal.process.returncode == 0
        assert terminal.settings() == terminal.before
    finally:
        terminal.close()


async def test_top_says_so_when_the_daemon_goes_away_and_ends_by_ctrl_c(
    server: ScratchPostgres, tmp_path: Path
) -> None:
    async with watching(server, tmp_path) as daemon:
        await _top_without_its_daemon(daemon)


async def _top_without_its_daemon(daemon: Daemon) -> None:
    terminal = Terminal(120, 40, "top", "shop-primary", "--url", daemon.url, "--every", "0.5")
    try:
        await until(lambda: terminal.shows("q quit"), deadline=20)
        await stop(daemon.process)
        await until(lambda: terminal.shows("no answer from the daemon for"), deadline=20)
        terminal.press("\x03")
        await until(terminal.left, deadline=10)
        assert terminal.process.returncode == 0
        assert terminal.settings() == terminal.before
        assert "Traceback" not in terminal.seen
    finally:
        terminal.close()


async def test_metrics_are_listed_found_and_missed() -> None:
    found = await dbarchitect("metrics", "xact_commit")
    assert found.code == 0
    assert re.search(
        r"pg_stat_database_xact_commit +counter +\S* *datid,datname +database +light +interval +yes",
        found.out,
    )
    as_json = json.loads((await dbarchitect("metrics", "xact_commit", "--output", "json")).out)
    assert as_json[0]["metric"] == "pg_stat_database_xact_commit"
    missed = await dbarchitect("metrics", "pg_stat_databse_xact_commt")
    assert (missed.code, missed.out) == (1, "")
    assert "did you mean 'pg_stat_database_xact_commit'?" in missed.err
    engine = await dbarchitect("metrics", "--engine", "postgres")
    assert engine.code == 2
    assert "there is no engine 'postgres': did you mean 'postgresql'?" in engine.err


async def test_metrics_of_ones_own_are_listed_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "queue:\n  sql: select n from q\n  values:\n    n: {metric: app_queue_length, kind: gauge, help: Waiting.}\n"
    )
    config = tmp_path / "config.yaml"
    config.write_text("metrics_files: [own.yaml]\ntargets: [{name: here, engine: host}]\n")
    seen = await dbarchitect("metrics", "app_queue_length", "--config", str(config), "--output", "json")
    assert seen.code == 0, seen.err
    assert json.loads(seen.out)[0]["custom"] is True
