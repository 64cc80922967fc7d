"""A daemon that sends its samples to a VictoriaMetrics, and asks it about the past after a restart."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actions.scratch.place import Place
from actions.scratch.victoria import ScratchVictoria
from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until

RULES = """
groups:
  - name: g
    rules:
      - alert: SeenLong
        expr: count_over_time(node_memory_MemTotal_bytes[10m]) > 5
"""
HOST = {"name": "here", "engine": "host", "interval": "1s"}


@pytest.fixture
async def victoria(place: Place) -> AsyncIterator[ScratchVictoria]:
    if shutil.which("victoria-metrics") is None:
        missing("victoria-metrics")
    async with ScratchVictoria(place=place, name="faraway") as server:
        yield server


def body(victoria: ScratchVictoria, folder: Path) -> dict[str, object]:
    (folder / "rules.yaml").write_text(RULES)
    return {
        "rules": {"builtin": False, "files": [str(folder / "rules.yaml")], "interval": "1s"},
        "history": {
            "query": {"url": victoria.url},
            "remote_write": [{"url": f"{victoria.url}/api/v1/write", "queue_max": 10_000}],
        },
    }


async def fires(daemon: Daemon) -> bool:
    answer = json.loads(await daemon.get("/api/v1/alerts"))
    return any(one["state"] == "firing" for one in answer["data"]["alerts"])


async def test_ranges_go_on_after_a_restart_without_a_history_of_our_own(
    daemon_process: NewDaemon, victoria: ScratchVictoria, tmp_path: Path
) -> None:
    daemon = await daemon_process(HOST, **body(victoria, tmp_path))
    await until(lambda: fires(daemon), 30)
    await daemon.end()
    await victoria.flush()
    shutil.rmtree(daemon.state_dir)
    await daemon.start()
    await daemon.ready()
    # Six samples of its own would take six seconds; two looks have to do.
    await until(lambda: fires(daemon), 4)
    assert not (daemon.state_dir / "history").exists()


async def test_with_the_receiver_gone_the_queue_is_bounded_and_the_loss_counted(
    daemon_process: NewDaemon, victoria: ScratchVictoria, tmp_path: Path
) -> None:
    daemon = await daemon_process(
        *({**HOST, "name": f"here{number}", "interval": "500ms"} for number in range(20)),
        **{**body(victoria, tmp_path), "rules": {"builtin": ["host"], "files": [], "interval": "1s"}},
    )
    await until(lambda: daemon.value("dbarchitect_remote_write_samples_total"), 30)
    assert not await daemon.values("dbarchitect_remote_write_samples_lost_total")
    await victoria.kill()
    await until(lambda: daemon.value("dbarchitect_remote_write_failing"), 30)
    await until(lambda: daemon.value("dbarchitect_remote_write_samples_lost_total", reason="queue_full"), 60)
    waiting = await daemon.value("dbarchitect_remote_write_samples_waiting")
    assert waiting is not None
    assert waiting <= 10_000
    assert await daemon.value("dbarchitect_remote_write_failing") == 1
    await victoria.start()
    await until(lambda: _sends(daemon), 90)


async def _sends(daemon: Daemon) -> bool:
    return await daemon.value("dbarchitect_remote_write_failing") == 0
