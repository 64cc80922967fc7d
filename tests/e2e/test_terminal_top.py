"""`dbarchitect top` and `metrics`: beside a real daemon and server, on a real terminal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.terminals import (
    ALTERNATE_SCREEN,
    PASSWORD,
    Daemon,
    Terminal,
    dbarchitect,
    prepare,
    stop,
    watching,
)
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(450)


@pytest.fixture(scope="module")
async def server(postgres15: ScratchPostgres) -> ScratchPostgres:
    await prepare(postgres15)
    # Other tests use this server too: with thousands of their statements, ours would get series minutes later.
    await postgres15.psql("SELECT pg_stat_statements_reset()")
    return postgres15


@pytest.fixture(scope="module")
async def daemon(server: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """A daemon that all tests share which leave it as it is."""
    async with watching(server, tmp_path_factory.mktemp("daemon")) as made:
        yield made


async def test_top_shows_the_work_of_a_server_with_rates(server: ScratchPostgres, daemon: Daemon) -> None:
    await server.psql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n")
    async with connected(server) as shop, connected(server) as blocker, connected(server) as waiter:
        await blocker.execute("SET application_name = 'migration'; BEGIN; LOCK TABLE orders")
        waiting = asyncio.ensure_future(waiter.execute("UPDATE orders SET n = n + 1"))
        working = asyncio.ensure_future(_work(shop))
        try:
            # Side by side: each waits for the second answer of probes that are asked seldom.
            seen, table = await asyncio.gather(
                dbarchitect("top", "shop-primary", "--url", daemon.url, "--output", "json"),
                dbarchitect("top", "shop-primary", "--url", daemon.url, "--once"),
            )
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

        async def shown_with_their_texts() -> bool:
            # Texts are fetched once a minute: what leads right now may still be without its own.
            seen = await dbarchitect("top", "shop-primary", "--url", daemon.url, "--output", "json")
            shown = {row["queryid"]: row["text"] for row in json.loads(seen.out)["statements"]}
            now = await texts()
            return any(text and now.get(queryid) == text for queryid, text in shown.items())

        await until(shown_with_their_texts, deadline=200, every=2)


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


async def test_top_lives_on_a_terminal_takes_keys_and_sizes_and_leaves_it_as_it_was(daemon: Daemon) -> None:
    terminal = Terminal(100, 40, "top", "shop-primary", "--url", daemon.url, "--every", "0.5")
    try:
        await until(lambda: terminal.shows("q quit"), deadline=20)
        assert ALTERNATE_SCREEN + "h" in terminal.seen
        # Rates need a second answer of a probe that has a pace of its own, and waits while the server suffers.
        await until(lambda: terminal.shows("TIME\u25be"), deadline=200)
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
