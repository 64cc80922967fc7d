"""`dbarchitect alerts` against a daemon's HTTP side with alerts of every kind."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actions.scratch.alertmanager import ScratchAlertmanager
from actions.scratch.ports import free_port
from daemon.judge.bench import Verdict
from daemon.judge.judge import Judged
from daemon.received.desk import Desk
from rules.group import GroupResult, RuleResult
from rules.labels import labels_of
from rules.load import load
from rules.model import Alert, AlertState
from tests.fixtures.terminals import TOKEN, dbarchitect
from tests.integration.http.serving import Served, serving
from tests.unit.received.telling import alert as told
from tests.unit.received.telling import notice
from tests.unit.snapshot.making import snapshot_of

RULES = "groups: [{name: g, rules: [{alert: Any, expr: vector(1)}]}]"
NOW = time.time()


@dataclass
class Token:
    name: str
    scopes: tuple[str, ...]
    sha256: str


def alert(name: str, severity: str, target: str, state: AlertState, age: float, **more: str) -> Alert:
    labels = {"alertname": name, "severity": severity, "target": target, **more}
    return Alert(
        labels=labels_of({key: text for key, text in labels.items() if text}),
        annotations={"summary": f"{name} at {target}", "description": "Long.\nIn \x1b[31mtwo\x1b[0m lines."},
        state=state,
        value=0.5,
        active_at_ms=round((NOW - age) * 1000),
        last_seen_ms=round(NOW * 1000),
        fired_at_ms=round((NOW - age) * 1000) if state is not AlertState.PENDING else None,
        resolved_at_ms=round(NOW * 1000) if state is AlertState.INACTIVE else None,
    )


def judged(*alerts: Alert) -> Judged:
    (group,) = load({"rules.yaml": RULES})
    result = RuleResult(rule=group.rules[0], seconds=0.0, alerts=alerts)
    whole = GroupResult(group=group, at_ms=round(NOW * 1000), seconds=0.0, rules=(result,))
    return Judged(NOW, {group.key: Verdict(whole, 15.0, NOW)})


ALERTS = judged(
    alert("Odd", "", "db2", AlertState.FIRING, 60),
    alert("Slow", "warning", "db1", AlertState.FIRING, 3600, datname="shop"),
    alert("Soon", "critical", "db1", AlertState.PENDING, 30),
    alert("Down", "critical", "db2", AlertState.FIRING, 90),
    alert("Over", "critical", "db1", AlertState.INACTIVE, 900),
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    desk = Desk(tmp_path)
    await desk.open()
    evil = {"alertname": "\x1b[2JEvil", "severity": "\x1b[31mcritical", "instance": "db9"}
    labels = {"alertname": "Down", "severity": "critical", "target": "db2", "site": "north"}
    over = {"alertname": "Over", "severity": "critical", "target": "db1", "site": "north"}
    messages = [told("e", labels=evil), told("d", labels=labels), told("o", labels=over)]
    await desk.take(notice(*messages), "")
    async with serving(
        snapshot_of(), judged=lambda: ALERTS, desk=desk, external_labels=lambda: {"site": "north"}
    ) as made:
        yield made
    await desk.close()


async def test_alerts_are_listed_the_worst_first_each_once(served: Served) -> None:
    answer = await dbarchitect("alerts", "--url", served.url)
    assert (answer.code, answer.err) == (0, "")
    head, _, *lines = answer.out.splitlines()
    assert head.split() == ["SEVERITY", "ALERT", "TARGET", "STATE", "SINCE", "SUMMARY"]
    assert [line.split()[1] for line in lines] == ["Down", "Slow", "\ufffd[2JEvil", "Odd", "Soon"]
    assert lines[0].split()[:4] == ["critical", "Down", "db2", "firing"]
    assert "Down at db2" in lines[0]
    assert "1h" in lines[1]
    assert "\x1b" not in answer.out


async def test_those_that_fire_or_of_some_targets_only(served: Served) -> None:
    answer = await dbarchitect("alerts", "--url", served.url, "--firing")
    assert "Soon" not in answer.out
    assert "Down" in answer.out
    answer = await dbarchitect("alerts", "--url", served.url, "--target", "db1", "--target", "db9")
    assert [word in answer.out for word in ("Slow", "Soon", "Evil", "Down", "Odd")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    answer = await dbarchitect("alerts", "--url", served.url, "--target", "nobody")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no target 'nobody'" in answer.err


async def test_verbose_has_descriptions_and_labels_without_control_characters(served: Served) -> None:
    answer = await dbarchitect("alerts", "--url", served.url, "--verbose", "--target", "db1")
    assert "description: Long.\n    In \ufffd[31mtwo\ufffd[0m lines.\n" in answer.out
    assert "labels: datname=shop" in answer.out
    assert "\x1b" not in answer.out


async def test_json_is_for_programs(served: Served) -> None:
    answer = await dbarchitect("alerts", "--url", served.url, "--output", "json")
    found = json.loads(answer.out)["alerts"]
    assert [
        (one["name"], one["state"], one["sources"]) for one in found if one["target"] in ("db1", "db2")
    ] == [
        ("Down", "firing", ["rules", "alertmanager"]),
        ("Slow", "firing", ["rules"]),
        ("Odd", "firing", ["rules"]),
        ("Soon", "pending", ["rules"]),
    ]
    (slow,) = [one for one in found if one["name"] == "Slow"]
    assert slow["labels"]["datname"] == "shop"
    assert slow["value"] == "5e-01"
    assert abs(slow["active_at"] - (NOW - 3600)) < 1


async def test_a_narrow_terminal_keeps_what_matters(served: Served) -> None:
    answer = await dbarchitect("alerts", "--url", served.url, COLUMNS="45")
    assert max(map(len, answer.out.splitlines())) <= 45
    assert "Down" in answer.out


async def test_what_is_no_daemon_of_ours_is_told() -> None:
    async with ScratchAlertmanager() as alertmanager:
        answer = await dbarchitect("alerts", "--url", alertmanager.url)
    assert (answer.code, answer.out) == (2, "")
    assert "is not dbarchitect" in answer.err
    assert "Traceback" not in answer.err


async def test_no_daemon_and_no_right_end_with_2(tmp_path: Path) -> None:
    answer = await dbarchitect("alerts", "--url", f"http://127.0.0.1:{free_port()}")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err
    tokens = [Token("reader", ("read",), hashlib.sha256(TOKEN.encode()).hexdigest())]
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    async with serving(snapshot_of(), judged=lambda: ALERTS, tokens=tokens) as closed:
        refused = await dbarchitect("alerts", "--url", closed.url)
        assert refused.code == 2
        assert "--token-file" in refused.err
        taken = await dbarchitect("alerts", "--url", closed.url, "--token-file", str(file))
        assert taken.code == 0
        assert "Down" in taken.out
