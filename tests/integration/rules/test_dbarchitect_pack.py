"""The pack dbarchitect, judging what a real daemon says of itself when it cannot see what it should."""

from __future__ import annotations

import time
from pathlib import Path

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.daemons import NewDaemon, postgres_target
from tests.fixtures.databases import NewLogin
from tests.fixtures.judging import Judged
from tests.fixtures.proofs import caused
from tests.fixtures.waiting import until

OWN = """
sleeps:
  within: 300ms
  sql: select 1 as n from pg_catalog.pg_sleep(60)
  values: {n: {metric: own_sleeps, kind: gauge, help: h}}
seldom:
  every: 15m
  within: 300ms
  sql: select 1 as n from pg_catalog.pg_sleep(60)
  values: {n: {metric: own_seldom, kind: gauge, help: h}}
"""


@caused(
    "DbarchitectProbeFailing",
    "DbarchitectSlowProbeFailing",
    "DbarchitectTargetDown",
    "DbarchitectReloadRefused",
    "DbarchitectPrivilegeMissing",
)
async def test_what_a_daemon_cannot_see_is_told_and_by_which_cause(
    postgres15: ScratchPostgres, bare_role: NewLogin, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    role = await bare_role(postgres15)
    bare = postgres_target(postgres15, "bare", user=role.user, password={"text": role.password})
    nobody = {"name": "node", "engine": "exporter", "url": f"http://127.0.0.1:{free_port()}/metrics"}
    daemon = await daemon_process(postgres_target(postgres15), bare, nobody, metrics_files=[str(own)])
    for probe in ("sleeps", "seldom"):
        await until(lambda probe=probe: daemon.value("dbarchitect_probe_failing", target="db", probe=probe))
    await until(lambda: daemon.values("dbarchitect_feature_available", target="bare"))
    good = daemon.config.read_text()
    daemon.config.write_text(good + "\ntagrets: []\n")
    await daemon.reload()

    judged = Judged("dbarchitect", time.time())
    judged.see_page(await daemon.get("/metrics"), "dbarchitect_")
    judged.hold(62)
    found = judged.firing()
    failing = {"target": "db", "cause": "timed_out", "severity": "warning"}
    assert {**failing, "probe": "sleeps"} in found["DbarchitectProbeFailing"]
    assert {**failing, "probe": "seldom"} in found["DbarchitectSlowProbeFailing"]
    assert found["DbarchitectTargetDown"] == [{"target": "node", "engine": "exporter", "severity": "warning"}]
    assert found["DbarchitectReloadRefused"] == [{"severity": "warning"}]
    lacking = found["DbarchitectPrivilegeMissing"]
    assert {each["target"] for each in lacking} == {"bare"}
    assert any("GRANT pg_monitor" in each["reason"] for each in lacking)

    daemon.config.write_text(good)
    await daemon.reload()
    judged.see_page(await daemon.get("/metrics"), "dbarchitect_")
    judged.hold(1)
    assert "DbarchitectReloadRefused" not in judged.firing()
