"""The wall clock is set while the daemon runs: data become neither stale nor fresh by that."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.daemons import Daemon, NewDaemon, postgres_target
from tests.fixtures.missing import missing
from tests.fixtures.observing import observing
from tests.fixtures.waiting import until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def faked(offset_file: Path) -> dict[str, str]:
    """Return an environment in which the wall clock is what the file says; the monotonic one is real."""
    if not LIBRARIES:
        missing("faketime", "apt-get install faketime")
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.parametrize("step", [-3600, 86400 * 365 * 20])
async def test_a_step_of_the_clock_changes_nothing_but_what_the_clock_shows(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path, step: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    daemon = await daemon_process(postgres_target(postgres15), env=faked(clock))
    await until(lambda: daemon.values("pg_stat_database_xact_commit"))
    clock.write_text(f"{step:+d}\n")
    began = time.monotonic()
    runs = await _runs(daemon)
    seen = [await _look(daemon) for _ in range(5) if not await asyncio.sleep(0.25)]
    await until(lambda: _ran(daemon, runs + 3))
    took = time.monotonic() - began
    more = await _runs(daemon) - runs

    assert daemon.events("clock.stepped"), "the clock was not faked"
    assert all(0 <= age < 10 for age, _, _ in seen), seen
    assert all(series > 100 for _, series, _ in seen), seen
    assert all(ready for _, _, ready in seen), seen
    assert more <= 2 * took + 2, "one run for each interval, none for those that the clock jumped over"


async def test_a_server_whose_clock_is_off_is_said_to_be(new_postgres_faked: ScratchPostgres) -> None:
    async with observing(new_postgres_faked) as observer:
        assert (await observer.up()).up
        findings = {one.feature: one for one in await observer.inspect()}

    assert findings["clock"].state == "missing"
    assert "-7200." in findings["clock"].detail or "-7199." in findings["clock"].detail
    assert "NTP" in findings["clock"].remedy


@pytest.fixture
async def new_postgres_faked(
    new_postgres: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ScratchPostgres:
    server = await new_postgres(15)  # type: ignore[operator]
    real = time.time
    monkeypatch.setattr("collectors.postgresql.learn.time.time", lambda: real() + 7200)
    return server


async def _look(daemon: Daemon) -> tuple[float, int, bool]:
    age = await daemon.value("dbarchitect_freshness_seconds", target="db")
    target = await daemon.target("db")
    assert age is not None
    return age, target["series"], "ok" in await daemon.get("/readyz")


async def _ran(daemon: Daemon, times: float) -> bool:
    return await _runs(daemon) >= times


async def _runs(daemon: Daemon) -> float:
    found = await daemon.values("dbarchitect_probe_runs_total", probe="connections", outcome="ok")
    return sum(found)
