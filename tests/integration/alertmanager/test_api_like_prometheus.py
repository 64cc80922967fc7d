"""/api/v1/alerts and /api/v1/rules say what a real Prometheus says of the same rules over the same series."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from actions.scratch.prometheus import ScratchPrometheus
from collectors.strict_yaml import dump
from tests.fixtures.alerting import Lamps, keys, lamps_shown
from tests.fixtures.daemons import Daemon, NewDaemon
from tests.fixtures.servers import NewPrometheus
from tests.fixtures.waiting import until

pytestmark = pytest.mark.timeout(120)
LATER = {
    "name": "later",
    "interval": "1s",
    "rules": [
        {
            "alert": "LampLong",
            "expr": "lamp == 1",
            "for": "1h",
            "keep_firing_for": "5m",
            "labels": {"severity": "info", "room": "{{ $labels.name }}"},
        },
        {"alert": "LampShare", "expr": "lamp * 123456.789 > 1"},
        {"record": "lamp:count", "expr": "count(lamp)", "labels": {"kind": "sum"}},
        {"record": "lamp:broken", "expr": "lamp * on () lamp"},
    ],
}
FIRST = {
    "name": "first",
    "interval": "1s",
    "rules": [
        {
            "alert": "LampOn",
            "expr": "lamp == 1",
            "labels": {"severity": "warning"},
            "annotations": {"summary": "{{ $labels.name }} is on: {{ $value }}"},
        },
        {"alert": "LampOff", "expr": "lamp > 1"},
    ],
}


@pytest.fixture
async def lamps() -> AsyncIterator[Lamps]:
    async with lamps_shown() as shown:
        shown.switch("red", "green")
        shown.known.add("blue")
        yield shown


@pytest.fixture
async def pair(
    lamps: Lamps, daemon_process: NewDaemon, prometheus: NewPrometheus, tmp_path: Path
) -> tuple[Daemon, ScratchPrometheus]:
    text = dump({"groups": [FIRST, LATER]})
    url = f"http://127.0.0.1:{lamps.port}/metrics"
    theirs = await prometheus(url, interval=0.5, rules=text)
    settings = keys(tmp_path)
    (tmp_path / "lamps.yaml").write_text(text)
    ours = await daemon_process(lamps.target(), **settings)
    await until(lambda: settled(ours, theirs), deadline=30)
    return ours, theirs


async def settled(ours: Daemon, theirs: ScratchPrometheus) -> bool:
    counts = [await our(ours, "/api/v1/alerts"), await theirs.get("/api/v1/alerts")]
    groups = [*(await our(ours, "/api/v1/rules"))["groups"], *(await theirs.get("/api/v1/rules"))["groups"]]
    health = [rule["health"] for group in groups for rule in group["rules"]]
    return [len(each["alerts"]) for each in counts] == [6, 6] and health.count("err") == 2


async def our(daemon: Daemon, path: str, *pairs: tuple[str, str]) -> Any:
    body = json.loads(await daemon.get(f"{path}?{urlencode(pairs)}"))
    assert body["status"] == "success"
    return body["data"]


def shape(value: Any) -> Any:
    """Return the keys and the types, with times told from other texts."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    if isinstance(value, str) and value[:2] == "20":
        assert dt.datetime.fromisoformat(value).tzinfo is not None
        return "time"
    return "number" if isinstance(value, int | float) else value


def without(alert: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says where the series came from."""
    labels = {
        name: text for name, text in alert["labels"].items() if name not in ("instance", "job", "target")
    }
    return {**shape(alert), "labels": labels}


async def test_alerts_have_the_same_fields_states_and_values(pair: tuple[Daemon, ScratchPrometheus]) -> None:
    ours, theirs = [
        (await our(pair[0], "/api/v1/alerts"))["alerts"],
        (await pair[1].get("/api/v1/alerts"))["alerts"],
    ]
    assert {tuple(alert.pop("sources")) for alert in ours} == {("rules",)}

    def order(alert: dict[str, Any]) -> str:
        return json.dumps(alert, sort_keys=True)

    assert sorted(map(without, ours), key=order) == sorted(map(without, theirs), key=order)
    assert {alert["value"] for alert in ours} == {"1e+00", "1.23456789e+05"}
    assert {alert["state"] for alert in ours} == {"firing", "pending"}


async def test_rules_have_the_same_fields_states_and_errors(pair: tuple[Daemon, ScratchPrometheus]) -> None:
    ours, theirs = [
        (await our(pair[0], "/api/v1/rules"))["groups"],
        (await pair[1].get("/api/v1/rules"))["groups"],
    ]
    assert [group["name"] for group in ours] == [group["name"] for group in theirs] == ["first", "later"]
    for mine, real in zip(ours, theirs, strict=True):
        assert shape({**mine, "rules": [], "file": ""}) == shape({**real, "rules": [], "file": ""})
        assert mine["interval"] == real["interval"] == 1
        for rule, other in zip(mine["rules"], real["rules"], strict=True):
            # Left out there by Prometheus 2 when empty, given by 3.
            other.setdefault("labels", {})
            errors = [each.pop("lastError", "") for each in (rule, other)]
            assert bool(errors[0]) == bool(errors[1]), errors
            assert errors[0].partition(":")[0] == errors[1].partition(":")[0]
            alerts = [sorted(map(str, map(without, each.pop("alerts", [])))) for each in (rule, other)]
            assert alerts[0] == alerts[1]
            assert shape(rule) == shape(other)


async def test_rules_are_chosen_as_prometheus_does(pair: tuple[Daemon, ScratchPrometheus]) -> None:
    ours, theirs = pair

    async def both(*pairs: tuple[str, str]) -> list[list[str]]:
        query = [
            await our(ours, "/api/v1/rules", *pairs),
            await theirs.get(f"/api/v1/rules?{urlencode(pairs)}"),
        ]
        return [
            [f"{group['name']}/{rule['name']}" for group in each["groups"] for rule in group["rules"]]
            for each in query
        ]

    for pairs in ((), (("type", "alert"),), (("type", "record"),)):
        mine, real = await both(*pairs)
        assert mine == real
    ((file,),) = [{group["file"] for group in (await our(ours, "/api/v1/rules"))["groups"]}]
    for pairs, wanted in (
        ([("rule_name[]", "LampOn")], ["first/LampOn"]),
        ([("rule_name[]", "LampOn"), ("rule_name[]", "lamp:count")], ["first/LampOn", "later/lamp:count"]),
        ([("rule_group[]", "first")], ["first/LampOn", "first/LampOff"]),
        ([("rule_group[]", "first"), ("type", "record")], []),
        ([("file[]", file), ("rule_name[]", "LampOff")], ["first/LampOff"]),
        ([("file[]", "/elsewhere")], []),
    ):
        groups = (await our(ours, "/api/v1/rules", *pairs))["groups"]
        mine = [f"{group['name']}/{rule['name']}" for group in groups for rule in group["rules"]]
        assert mine == wanted, pairs
    bare = (await our(ours, "/api/v1/rules", ("exclude_alerts", "true")))["groups"]
    assert [rule["alerts"] for group in bare for rule in group["rules"] if rule["type"] == "alerting"] == [
        []
    ] * 4
    async with aiohttp.ClientSession() as session:
        for query in ("type=recording", "rule_nam=x", "type=alert&type=record"):
            async with session.get(f"{ours.url}/api/v1/rules?{query}") as answer:
                assert answer.status == 400
                assert (await answer.json())["hint"]
