from __future__ import annotations

import asyncio
import shutil
import subprocess

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from collectors.registry import engines
from daemon.catalogue import of_engine
from tests.fixtures.missing import missing
from tests.integration.http.serving import serving
from tests.unit.snapshot.making import answers, frame, give, probe, snapshot_of

NAMES_OF_PEERS = ("node_memory_", "pg_buffercache_summary_")
"""Names that node_exporter and postgres_exporter have given, against promtool's taste."""


@pytest.mark.parametrize("engine", sorted(engines()))
async def test_promtool_and_openmetrics_take_every_metric_of_the_catalogue(engine: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "apt-get install prometheus")
    snapshot = snapshot_of()
    answers(snapshot)
    metrics = {entry.metric.name: entry.metric for entry in of_engine(engines()[engine])}
    for name, metric in metrics.items():
        if name != "pg_up":
            give(snapshot, frame([metric], {tuple("x" for _ in metric.labels): [1]}), info=probe(name))
    async with serving(snapshot, aliases=True) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/metrics") as response:
            body = await response.text()
        headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
        async with session.get(f"{served.url}/metrics", headers=headers) as response:
            shown = {
                sample.name
                for family in parse_openmetrics(await response.text())
                for sample in family.samples
            }
    assert set(metrics) <= shown
    checked = await asyncio.to_thread(
        subprocess.run,
        [promtool, "check", "metrics"],
        input=body,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    said = (checked.stdout + checked.stderr).splitlines()
    assert [line for line in said if not line.startswith(NAMES_OF_PEERS)] == []
