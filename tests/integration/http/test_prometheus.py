from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from collectors.model import Kind, Target
from daemon.snapshot import Snapshot
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until
from tests.integration.http.serving import free_port, serving
from tests.unit.snapshot.making import answers, frame, give, metric, probe, snapshot_of


def filled() -> Snapshot:
    snapshot = snapshot_of(
        Target(name="db1", engine="postgresql", cluster="shop", labels=(("env", "prod"),), series_max=10**6),
        Target(name="db2", engine="postgresql", series_max=10**6),
    )
    counters = [
        metric("pg_stat_database_xact_commit", "datname", kind=Kind.COUNTER, text='Commits, of "any" kind.'),
        metric("pg_stat_database_session_time_seconds_total", "datname", kind=Kind.COUNTER),
        metric("pg_stat_activity_count", "datname"),
        metric("pg_database_size_bytes", "datname"),
    ]
    for name in ("db1", "db2"):
        answers(snapshot, name)
        rows = {
            ("app",): [2**53 - 1, 1.5, float("inf"), None],
            ('we"ird\\\nnäme',): [0, 0.0, float("nan"), float("-inf")],
        }
        give(snapshot, frame(counters, rows), target=name, info=probe("database"))
    many = [metric(f"pg_table_m{i}", "relname") for i in range(20)]
    give(snapshot, frame(many, {(f"t{i}",): [i + 0.5] * 20 for i in range(1000)}), info=probe("tables"))
    snapshot.skip("db1", "tables", "budget")
    answers(snapshot, "db2", up=False)
    return snapshot


@asynccontextmanager
async def prometheus(folder: Path, scrape: str) -> AsyncIterator[str]:
    """Run a Prometheus with this scrape configuration; give its URL."""
    binary = shutil.which("prometheus")
    if binary is None:
        missing("prometheus", "apt-get install prometheus")
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n{scrape}")
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 20)
        finally:
            process.kill()
            process.wait()


async def ask(url: str, path: str, **query: str) -> dict:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{url}{path}", params=query) as response:
                body: dict = await response.json()
                return body
        except (aiohttp.ClientError, ValueError):
            return {}


async def query(url: str, promql: str) -> dict[tuple[tuple[str, str], ...], float]:
    answer = await ask(url, "/api/v1/query", query=promql)
    return {
        tuple(sorted(each["metric"].items())): float(each["value"][1])
        for each in answer.get("data", {}).get("result", [])
    }


async def test_prometheus_scrapes_everything_by_openmetrics_and_gzip(tmp_path: Path) -> None:
    async with serving(filled()) as served:
        scrape = f"- {{job_name: ours, static_configs: [{{targets: ['127.0.0.1:{served.port}']}}]}}\n"
        async with prometheus(tmp_path, scrape) as url:
            await until(lambda: query(url, "up{job='ours'} == 1"), deadline=30)
            healthy = await ask(url, "/api/v1/targets")
            assert [each["lastError"] for each in healthy["data"]["activeTargets"]] == [""]
            (commits,) = (
                await query(url, "pg_stat_database_xact_commit{datname='app',target='db1'}")
            ).items()
            assert commits[1] == 2**53 - 1
            assert dict(commits[0])["env"] == "prod"
            odd = await query(
                url, r"""pg_stat_database_xact_commit{target="db1",datname="we\"ird\\\nnäme"}"""
            )
            assert list(odd.values()) == [0.0]
            assert await query(url, "count(pg_table_m7)") == {(): 1000.0}
            assert (
                await query(url, "scrape_samples_scraped - scrape_samples_post_metric_relabeling != 0") == {}
            )
            ups = {dict(labels)["target"]: value for labels, value in (await query(url, "pg_up")).items()}
            assert ups == {"db1": 1.0, "db2": 0.0}
            assert await query(url, "pg_stat_database_xact_commit{target='db2'}") == {}
            kinds = await ask(url, "/api/v1/targets/metadata", metric="dbarchitect_probe_runs_total")
            assert {each["type"] for each in kinds["data"]} <= {"counter"}


async def test_prometheus_scrapes_the_text_format_target_by_target_with_a_token_from_a_file(
    tmp_path: Path,
) -> None:
    from tests.integration.http.test_gate import token

    (tmp_path / "token").write_text("reader-secret")
    async with serving(filled(), tokens=[token("reader-secret", "read")]) as served:
        scrape = (
            f"- job_name: one\n  params: {{target: [db1], collect: [database]}}\n"
            f"  authorization: {{credentials_file: {tmp_path}/token}}\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{served.port}']}}]\n"
            f"- job_name: none\n  static_configs: [{{targets: ['127.0.0.1:{served.port}']}}]\n"
        )
        async with prometheus(tmp_path, scrape) as url:
            await until(lambda: query(url, "up{job='one'} == 1"), deadline=30)
            await until(lambda: query(url, "up{job='none'} == 0"), deadline=30)
            assert list((await query(url, "count({job='one',__name__=~'pg_.*'})")).values()) == [8.0]


@pytest.mark.parametrize("query_string", ["", "?target=db1", "?collect=database"])
async def test_promtool_has_nothing_to_say(query_string: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "apt-get install prometheus")
    async with serving(filled()) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/metrics{query_string}") as response:
            body = await response.read()
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
