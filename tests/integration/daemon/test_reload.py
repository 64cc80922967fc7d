"""SIGHUP: what changed takes effect, what did not goes on undisturbed, a bad file changes nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.daemons import Daemon, NewDaemon, our_sessions, postgres_target
from tests.fixtures.databases import NewLogin
from tests.fixtures.waiting import until

OWN = """
own_answer:
  sql: select {columns}
  values: {n: {metric: own_answer, kind: gauge, help: h, sql: "%d"}}
"""


async def test_targets_come_and_go_and_the_others_keep_their_session(
    postgres15: ScratchPostgres, monitor_role: NewLogin, daemon_process: NewDaemon
) -> None:
    stays, goes, comes = [await monitor_role(postgres15) for _ in range(3)]
    first, second, third = [
        postgres_target(postgres15, name, user=login.user, password={"text": login.password}, sessions_max=1)
        for name, login in (("stays", stays), ("goes", goes), ("comes", comes))
    ]
    daemon = await daemon_process(first, second, servers=(postgres15,))
    before = await _backends(postgres15, stays.user)
    daemon.write({"targets": [third, first]})
    told = await daemon.reload()
    await until(lambda: _up(daemon, "comes"))
    after = await _backends(postgres15, stays.user)
    shown = await daemon.get("/metrics")

    assert told["event"] == "config.reloaded"
    assert told["targets"] == 2
    assert before == after
    assert len(before) == 1
    assert await our_sessions(postgres15, goes.user) == 0
    assert 'target="goes"' not in shown
    assert await daemon.value("dbarchitect_reloads_total", outcome="ok") == 1


async def test_a_bad_file_changes_nothing_and_is_named_with_its_lines(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    daemon = await daemon_process(postgres_target(postgres15))
    good = daemon.config.read_text()
    daemon.config.write_text(good + "\ntagrets: []\nhttp: {tokens: 5}\n")
    told = await daemon.reload()
    lines = len(good.splitlines())
    refused_at = time.time()
    await until(lambda: _seen_since(daemon, refused_at))

    assert told["event"] == "config.refused"
    assert f"{daemon.config}:{lines + 2}:" in str(told["problems"])
    assert f"{daemon.config}:{lines + 3}:" in str(told["problems"])
    assert "targets" in str(told["problems"])
    assert await daemon.value("dbarchitect_reloads_total", outcome="refused") == 1
    assert (await daemon.target("db"))["up"]
    daemon.config.write_text(good)
    assert (await daemon.reload())["event"] == "config.reloaded"


async def test_files_that_cannot_be_configurations_are_refused_one_after_the_other(
    postgres15: ScratchPostgres, daemon_process: NewDaemon
) -> None:
    daemon = await daemon_process(postgres_target(postgres15))
    good = daemon.config.read_text()
    bad = ("", "\0", "- a\n- b\n", "targets: &a [*a]\n", "\t{", "é" * 100, "!!python/object:os.system x")
    for text in bad:
        daemon.config.write_text(text)
        assert (await daemon.reload())["event"] == "config.refused", text
    daemon.config.unlink()
    assert (await daemon.reload())["event"] == "config.refused"
    daemon.config.mkdir()
    assert (await daemon.reload())["event"] == "config.refused"
    daemon.config.rmdir()
    os.mkfifo(daemon.config)
    assert (await daemon.reload())["event"] == "config.refused"
    daemon.config.unlink()
    daemon.config.write_text(good)

    assert (await daemon.reload())["event"] == "config.reloaded"
    assert await daemon.value("dbarchitect_reloads_total", outcome="refused") == len(bad) + 3
    assert "Traceback" not in daemon.log.read_text()


async def test_changed_metrics_of_ones_own_take_effect(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN % 41)
    daemon = await daemon_process(postgres_target(postgres15), metrics_files=[str(own)])
    await until(lambda: daemon.values("own_answer"))
    before = await daemon.value("own_answer")
    own.write_text(OWN % 42)
    await daemon.reload()
    await until(lambda: _is(daemon, "own_answer", 42))
    own.write_text("own_answer: {sql: 5")
    told = await daemon.reload()

    assert before == 41
    assert told["event"] == "config.refused"
    assert f"{own}:" in str(told["problems"])
    assert await daemon.value("own_answer") == 42


async def test_what_needs_a_restart_is_said(postgres15: ScratchPostgres, daemon_process: NewDaemon) -> None:
    daemon = await daemon_process(postgres_target(postgres15))
    daemon.write({"targets": [postgres_target(postgres15)], "daemon": {"uvloop": False}})
    await daemon.reload()

    assert [event["key"] for event in daemon.events("config.needs_restart")] == ["daemon.uvloop"]


async def _backends(server: ScratchPostgres, user: str) -> set[int]:
    async with connected(server) as watcher:
        rows = await watcher.fetch("select pid from pg_stat_activity where usename = $1", user)
        return {row["pid"] for row in rows}


async def _up(daemon: Daemon, name: str) -> bool:
    return bool((await daemon.target(name))["up"])


async def _is(daemon: Daemon, metric: str, value: float) -> bool:
    return await daemon.values(metric) == [value]


async def _seen_since(daemon: Daemon, moment: float) -> bool:
    return (await daemon.target("db"))["last_seen"] > moment + 0.5
