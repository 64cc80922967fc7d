"""The built-in packs: Prometheus' own tool accepts them, and no alert is without its tests and its runbook."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.missing import missing

ROOT = Path(__file__).resolve().parents[3]
BUILTIN = ROOT / "rules" / "builtin"
TESTS = sorted(BUILTIN.glob("*.test.yaml"))
PACKS = sorted(set(BUILTIN.glob("*.yaml")) - set(TESTS))
SEVERITIES = {"critical", "warning", "info"}
ANNOTATIONS = {"summary", "description", "runbook_url"}
FENCE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)


@cache
def read(path: Path) -> dict[str, Any]:
    found = yaml.load(path.read_text(), yaml.CSafeLoader)
    assert isinstance(found, dict)
    return found


def rules_of(pack: Path) -> list[dict[str, Any]]:
    return [rule for group in read(pack)["groups"] for rule in group["rules"]]


def alerts() -> list[Any]:
    found = [(pack, rule) for pack in PACKS for rule in rules_of(pack) if "alert" in rule]
    return [
        pytest.param(pack, rule, id=f"{rule['alert']}-{rule['labels']['severity']}") for pack, rule in found
    ]


def expectations(pack: Path) -> list[dict[str, Any]]:
    """All alert tests of the files that name this pack."""
    files = [content for content in map(read, TESTS) if pack.name in content["rule_files"]]
    groups = [group for content in files for group in content["tests"]]
    return [one for group in groups for one in group.get("alert_rule_test", [])]


@cache
def sections(page: Path) -> dict[str, str]:
    """Titles as anchors, with what is written below each."""
    parts = re.split(r"^#{1,6} +(.+)$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    titles = (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in parts[1::2])
    return dict(zip(titles, parts[2::2], strict=True))


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool") or missing("promtool")
    # It spends a third of its time on collecting garbage. Seldom enough is 0.5 GB for the largest pack.
    env = {**os.environ, "GOGC": "800"}
    done = subprocess.run(
        [tool, *arguments], cwd=BUILTIN, check=False, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_packs() -> None:
    assert PACKS
    assert TESTS


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_promtool_accepts_the_pack(pack: Path) -> None:
    promtool("check", "rules", pack.name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tests", TESTS, ids=lambda tests: tests.name)
def test_the_packs_unit_tests_pass_in_promtool(tests: Path) -> None:
    promtool("test", "rules", tests.name)


@pytest.mark.parametrize(("pack", "rule"), alerts())
def test_an_alert_says_how_bad_it_is_what_it_is_about_and_where_to_read_on(
    pack: Path, rule: dict[str, Any]
) -> None:
    assert rule["labels"]["severity"] in SEVERITIES, pack.name
    assert set(rule["annotations"]) >= ANNOTATIONS
    for name in ("summary", "description"):
        text = rule["annotations"][name]
        assert text.strip() == text
        assert text
    assert "$labels." in rule["annotations"]["description"] or "$value" in rule["annotations"]["description"]


@pytest.mark.parametrize(("pack", "rule"), alerts())
def test_an_alert_has_a_section_in_a_runbook(pack: Path, rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower(), pack.name
    assert path.startswith("docs/runbooks/")
    assert (ROOT / path).is_file(), f"{path}: there is no such runbook"
    section = sections(ROOT / path).get(anchor)
    assert section is not None, f"{path} has no section {rule['alert']}"
    assert len(section.split()) >= 20, f"{path}: the section {rule['alert']} says next to nothing"


@pytest.mark.parametrize(("pack", "rule"), alerts())
def test_an_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_is_silent(
    pack: Path, rule: dict[str, Any]
) -> None:
    severity = rule["labels"]["severity"]
    mine = [one for one in expectations(pack) if one["alertname"] == rule["alert"]]
    fired = [
        [alert for alert in one.get("exp_alerts") or () if alert["exp_labels"]["severity"] == severity]
        for one in mine
    ]
    assert any(fired), f"no test of {pack.name} makes it fire"
    assert not all(fired), f"no test of {pack.name} keeps it silent"
    for alert in (alert for each in fired for alert in each):
        assert set(alert["exp_annotations"]) == set(rule["annotations"])


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_no_unit_test_is_about_an_alert_that_is_not_there(pack: Path) -> None:
    known = {rule["alert"] for one in PACKS for rule in rules_of(one) if "alert" in rule}
    assert {one["alertname"] for one in expectations(pack)} <= known


def test_no_two_rules_and_no_two_groups_have_one_name() -> None:
    rules = [rule for pack in PACKS for rule in rules_of(pack)]
    groups = [group["name"] for pack in PACKS for group in read(pack)["groups"]]
    for names in (
        [(rule["alert"], rule["labels"]["severity"]) for rule in rules if "alert" in rule],
        [rule["record"] for rule in rules if "record" in rule],
        groups,
    ):
        assert [name for name, number in Counter(names).items() if number > 1] == []


def test_every_file_of_tests_names_packs_that_are_there() -> None:
    for tests in TESTS:
        assert all((BUILTIN / name).is_file() for name in read(tests)["rule_files"]), tests.name
