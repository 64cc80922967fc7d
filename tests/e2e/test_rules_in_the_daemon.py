"""Rules from a folder are judged by the daemon alone: shown, kept over restarts, never lost to a bad file."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.daemons import Daemon, NewDaemon, run_command
from tests.fixtures.waiting import until

GOOD = """
groups:
  - name: theirs
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: MemoryThere
        expr: node_memory_MemTotal_bytes{job="host"} > 1
        for: 2s
        labels: {severity: info, team: "{{ $labels.job }}-people"}
        annotations: {summary: "{{ $labels.target }} has {{ $value | humanize1024 }}B"}
      - alert: Never
        expr: up > 1
"""
HOST = {"name": "here", "engine": "host", "interval": "1s"}


class Ruled:
    """A daemon with a folder of rules."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder

    async def alerts(self, **labels: str) -> list[dict[str, Any]]:
        answer = json.loads(await self.daemon.get("/api/v1/alerts"))
        assert answer["status"] == "success"
        return [one for one in answer["data"]["alerts"] if labels.items() <= one["labels"].items()]

    async def firing(self, name: str) -> list[dict[str, Any]]:
        return [one for one in await self.alerts(alertname=name) if one["state"] == "firing"]

    async def rules(self, query: str = "") -> list[dict[str, Any]]:
        groups = json.loads(await self.daemon.get(f"/api/v1/rules{query}"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def body(folder: Path, **more: Any) -> dict[str, Any]:
    rules = {"builtin": False, "files": [f"{folder}/*.yaml"], "interval": "1s"}
    return {"rules": rules, **more}


@pytest.fixture
async def ruled(daemon_process: NewDaemon, tmp_path: Path) -> Ruled:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "good.yaml").write_text(GOOD)
    return Ruled(await daemon_process(HOST, **body(folder)), folder)


async def test_a_file_of_someone_elses_rules_is_judged(ruled: Ruled) -> None:
    await until(lambda: ruled.firing("MemoryThere"))
    [alert] = await ruled.firing("MemoryThere")
    assert alert["labels"].items() >= {"team": "host-people", "severity": "info", "target": "here"}.items()
    assert alert["annotations"]["summary"].startswith("here has ")
    assert alert["annotations"]["summary"].endswith("iB")
    assert await ruled.daemon.value("ALERTS", alertname="MemoryThere", alertstate="firing") == 1
    since = await ruled.daemon.value("ALERTS_FOR_STATE", alertname="MemoryThere")
    assert since is not None
    assert since > 1_700_000_000
    kinds = {rule["name"]: (rule["type"], rule["health"]) for rule in await ruled.rules()}
    assert kinds == {
        "job:up:sum": ("recording", "ok"),
        "MemoryThere": ("alerting", "ok"),
        "Never": ("alerting", "ok"),
    }
    assert [rule["name"] for rule in await ruled.rules("?type=record")] == ["job:up:sum"]


async def test_what_fires_still_fires_after_a_crash_with_the_time_it_began(ruled: Ruled) -> None:
    await until(lambda: ruled.firing("MemoryThere"))
    [before] = await ruled.firing("MemoryThere")
    await ruled.daemon.end(signal.SIGKILL)
    await ruled.daemon.start()
    await ruled.daemon.ready()
    await until(lambda: ruled.alerts(alertname="MemoryThere"))
    [after] = await ruled.alerts(alertname="MemoryThere")
    assert (after["state"], after["activeAt"]) == ("firing", before["activeAt"])


async def test_a_file_with_mistakes_keeps_it_from_starting_and_names_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "bad.yaml").write_text(
        "groups:\n"
        "  - name: a\n"
        "    rules:\n"
        "      - alert: One\n"
        "        expr: rate(up[5m]\n"
        "      - alert: Two\n"
        "        expr: up\n"
        "        for: 5 bananas\n"
        "        annotations: {summary: '{{ $value | nosuch }}'}\n"
        "  - name: a\n"
        "    rules: []\n"
    )
    daemon = Daemon(tmp_path, {"targets": [HOST], **body(folder)})
    code, _, said = await run_command("run", str(daemon.config))
    assert code == 78
    bad = folder / "bad.yaml"
    for place in (f"{bad}:5:", f"{bad}:8:", f"{bad}:9:", f"{bad}:10:"):
        assert place in said, place


async def test_a_reload_with_a_bad_file_keeps_the_rules_in_force_and_says_so(ruled: Ruled) -> None:
    await until(lambda: ruled.firing("MemoryThere"))
    (ruled.folder / "bad.yaml").write_text("groups: [{name: b, rules: [{alert: X, expr: 'up +'}]}]\n")
    event = await ruled.daemon.reload()
    assert event["event"] == "config.refused"
    assert any("bad.yaml:1:" in problem for problem in event["problems"])
    assert {rule["name"] for rule in await ruled.rules()} == {"job:up:sum", "MemoryThere", "Never"}
    assert await ruled.firing("MemoryThere")


async def test_a_reload_takes_new_rules_and_goes_on_with_the_alerts_of_old_ones(ruled: Ruled) -> None:
    await until(lambda: ruled.firing("MemoryThere"))
    [before] = await ruled.firing("MemoryThere")
    (ruled.folder / "more.yaml").write_text(
        "groups: [{name: more, rules: [{alert: New, expr: 'job:up:sum == 1'}]}]\n"
    )
    event = await ruled.daemon.reload()
    assert event["event"] == "config.reloaded"
    await until(lambda: ruled.firing("New"))
    [after] = await ruled.firing("MemoryThere")
    assert after["activeAt"] == before["activeAt"]


async def test_a_template_that_fails_says_so_in_the_annotation_and_stops_nothing(
    daemon_process: NewDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "t.yaml").write_text(
        "groups:\n  - name: t\n    rules:\n"
        "      - alert: Broken\n        expr: up == 1\n"
        "        annotations: {summary: '{{ index (query \"nothing_here\") 3 }}'}\n"
        "      - alert: After\n        expr: up == 1\n"
    )
    ruled = Ruled(await daemon_process(HOST, **body(folder)), folder)
    await until(lambda: ruled.firing("After"))
    [alert] = await ruled.firing("Broken")
    assert alert["annotations"]["summary"].startswith("<error expanding template: ")


async def test_recorded_history_can_be_replayed_while_the_daemon_runs(ruled: Ruled, tmp_path: Path) -> None:
    await until(lambda: ruled.firing("MemoryThere"))
    await ruled.daemon.end()
    rules = tmp_path / "what_if.yaml"
    rules.write_text(
        "groups: [{name: w, interval: 1s, rules: [{alert: WhatIf, expr: node_memory_MemTotal_bytes > 1},"
        " {alert: Missing, expr: no_such_metric > 1}]}]\n"
    )
    await ruled.daemon.start()
    await ruled.daemon.ready()
    code, out, said = await run_command(
        "rules",
        "backtest",
        str(rules),
        "--config",
        str(ruled.daemon.config),
        "--since",
        "5m",
        "--output",
        "json",
    )
    assert code == 0, said
    found = json.loads(out)
    assert [one["alert"] for one in found["alerts"]] == ["WhatIf"]
    assert found["not_recorded"] == ["no_such_metric"]
    assert found["failures"] == []


async def test_a_daemon_without_a_rule_file_warns_by_its_packs(
    daemon_process: NewDaemon, tmp_path: Path
) -> None:
    gone = {
        "name": "gone",
        "engine": "postgresql",
        "host": "127.0.0.1",
        "port": 1,
        "user": "x",
        "password": "x",
    }
    daemon = await daemon_process(gone)
    ruled = Ruled(daemon, tmp_path)
    await until(lambda: ruled.alerts(alertname="PostgresqlDown", target="gone"), 60)
    [alert] = await ruled.alerts(alertname="PostgresqlDown", target="gone")
    assert alert["labels"]["severity"] == "critical"
