"""The whole daemon with the shipped rules, their waiting times cut to a second: the fault, then /api/v1/alerts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.alerting import alerts_of
from tests.fixtures.courts import BUILTIN
from tests.fixtures.daemons import Daemon, NewDaemon, postgres_target
from tests.fixtures.proofs import caused, fired
from tests.fixtures.waiting import until


def in_haste(folder: Path) -> str:
    """Write a copy of the pack in which nothing waits longer than a second."""
    text = (BUILTIN / "postgresql.yaml").read_text()
    text = re.sub(r"^( +for:) \S+$", r"\1 1s", text, flags=re.MULTILINE)
    file = folder / "postgresql.yaml"
    file.write_text(re.sub(r"^( +interval:) 30s$", r"\1 1s", text, flags=re.MULTILINE))
    return str(file)


async def firing(daemon: Daemon, alert: str) -> bool:
    found = await alerts_of(daemon, alertname=alert, target="db")
    if any(each["state"] == "firing" for each in found):
        fired(alert)
        return True
    return False


@caused("PostgresqlDown", "PostgresqlRestarted")
async def test_a_killed_server_is_told_by_the_daemon_and_that_it_was_restarted(
    spare: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    rules = {"builtin": False, "files": [in_haste(tmp_path)], "interval": "1s"}
    daemon = await daemon_process(postgres_target(spare), rules=rules)
    await until(lambda: daemon.value("pg_postmaster_start_time_seconds", target="db"))
    await asyncio.sleep(3)  # the judge has looked at it too
    await spare.kill()
    await until(lambda: firing(daemon, "PostgresqlDown"), deadline=30)
    await spare.start()
    await until(lambda: firing(daemon, "PostgresqlRestarted"), deadline=60)
    assert not await firing(daemon, "PostgresqlDown")
