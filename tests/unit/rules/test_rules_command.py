"""The commands `rules check` and `rules test`: what they print, and with which code they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app

ROOT = Path(__file__).resolve().parents[3]
PACKS = sorted(
    set((ROOT / "rules/builtin").glob("*.yaml")) - set((ROOT / "rules/builtin").glob("*.test.yaml"))
)
GOOD = "groups: [{name: a, rules: [{alert: A, expr: pg_up == 0}, {record: b, expr: pg_up}]}]\n"
DOUBTFUL = "groups: [{name: a, rules: [{alert: A, expr: pg_upp == 0}]}]\n"
BAD = "groups: [{name: a, rules: [{alert: A, expr: pg_up ==}, {alert: B, expr: foo(up)}]}]\n"
TEST = "rule_files: [good.yaml]\ntests: [{input_series: [{series: pg_up, values: 0}], alert_rule_test: [{eval_time: 0m, alertname: A, exp_alerts: [%s]}]}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "good.yaml": GOOD,
        "doubtful.yaml": DOUBTFUL,
        "bad.yaml": BAD,
        "passes.yaml": TEST % "{}",
        "fails.yaml": TEST % "",
        "latin.yaml": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.yaml").write_bytes(b"groups: \xff")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rules(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["rules", *arguments])


@pytest.mark.usefixtures("folder")
def test_a_good_file_is_counted() -> None:
    ran = rules("check", "good.yaml")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (
        0,
        "OK good.yaml: 1 alert, 1 recording in 1 group\n",
        "",
    )


@pytest.mark.usefixtures("folder")
def test_all_mistakes_of_all_files_are_told() -> None:
    ran = rules("check", "bad.yaml", "good.yaml")
    assert ran.exit_code == 1
    assert ran.stdout == "OK good.yaml: 1 alert, 1 recording in 1 group\n"
    assert "bad.yaml:1:53: A: " in ran.stderr
    assert "bad.yaml:1:73: B: unknown function" in ran.stderr
    assert "bad.yaml: 2 mistakes\n" in ran.stderr


@pytest.mark.usefixtures("folder")
def test_doubts_are_warnings_unless_they_are_asked_to_be_mistakes() -> None:
    ran = rules("check", "doubtful.yaml")
    assert ran.exit_code == 0
    assert ran.stderr.startswith("warning: doubtful.yaml:1:45: A: there is no metric pg_upp\n")
    assert rules("check", "--strict", "doubtful.yaml").exit_code == 1
    assert rules("check", "--strict", "good.yaml").exit_code == 0


@pytest.mark.usefixtures("folder")
def test_json_says_the_same() -> None:
    ran = rules("check", "bad.yaml", "doubtful.yaml", "good.yaml", "--output", "json")
    said = json.loads(ran.stdout)
    assert (ran.exit_code, said["ok"]) == (1, False)
    assert [(one["line"], one["column"]) for one in said["problems"]] == [(1, 53), (1, 73)]
    assert [one["hint"] for one in said["warnings"]] == ["did you mean 'pg_up'?"]
    assert said["files"][-1] == {"file": "good.yaml", "groups": 1, "alerts": 1, "recordings": 1}


@pytest.mark.parametrize("command", ["check", "test"])
@pytest.mark.parametrize("name", ["nowhere.yaml", "latin.yaml", "."])
@pytest.mark.usefixtures("folder")
def test_a_file_that_cannot_be_read(command: str, name: str) -> None:
    ran = rules(command, "good.yaml", name)
    assert ran.exit_code == 2
    assert name in ran.stderr
    said = json.loads(rules(command, name, "--output", "json").stdout)
    assert said["ok"] is False
    assert said["problems"][0]["file"] == name


def test_no_file_is_bad_usage() -> None:
    assert rules("check").exit_code == 2
    assert rules("test").exit_code == 2
    assert rules("nothing").exit_code == 2


@pytest.mark.usefixtures("folder")
def test_metrics_and_labels_of_a_configuration_are_known() -> None:
    Path("config.yaml").write_text("targets: [{name: a, engine: postgresql, host: h, labels: {team: db}}]\n")
    Path("team.yaml").write_text("groups: [{name: a, rules: [{alert: A, expr: 'pg_up{team=\"db\"}'}]}]\n")
    assert "no series of pg_up has the label 'team'" in rules("check", "team.yaml").stderr
    assert rules("check", "--strict", "--config", "config.yaml", "team.yaml").exit_code == 0
    Path("config.yaml").write_text("targets: 5\n")
    ran = rules("check", "--config", "config.yaml", "team.yaml")
    assert ran.exit_code == 2
    assert "config.yaml has mistakes" in ran.stderr


@pytest.mark.usefixtures("folder")
def test_tests_that_pass_and_tests_that_fail() -> None:
    ran = rules("test", "passes.yaml")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "Unit Testing:  passes.yaml\n  SUCCESS\n\n", "")
    ran = rules("test", "fails.yaml", "passes.yaml")
    assert ran.exit_code == 1
    assert ran.stdout.count("  SUCCESS") == 1
    assert ran.stderr.startswith("  FAILED:\n    alertname: A, time: 0s, \n        exp:[], \n        got:[\n")


@pytest.mark.usefixtures("folder")
def test_verdicts_in_json() -> None:
    ran = rules("test", "fails.yaml", "passes.yaml", "--output", "json")
    said = json.loads(ran.stdout)
    assert (ran.exit_code, said["ok"]) == (1, False)
    assert [(one["file"], one["ok"], len(one["failures"])) for one in said["files"]] == [
        ("fails.yaml", False, 1),
        ("passes.yaml", True, 0),
    ]


@pytest.mark.usefixtures("folder")
def test_rules_that_are_not_there_are_told_of() -> None:
    Path("t.yaml").write_text("rule_files: [x*.yaml]\ntests: []\n")
    ran = rules("test", "t.yaml")
    assert (ran.exit_code, ran.stderr) == (0, "  WARNING: no file match pattern x*.yaml\n")


def test_the_command_ends_with_its_code_as_a_process(folder: Path) -> None:
    command = [sys.executable, "-m", "daemon", "rules", "test", str(folder / "fails.yaml")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "FAILED" in ran.stderr


@pytest.mark.parametrize("pack", PACKS, ids=lambda path: path.stem)
def test_there_is_nothing_to_be_said_of_a_built_in_pack(pack: Path) -> None:
    ran = rules("check", "--strict", str(pack))
    assert ran.exit_code == 0, ran.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "tests", sorted((ROOT / "rules/builtin").glob("*.test.yaml")), ids=lambda path: path.name
)
def test_the_unit_tests_of_the_packs_pass(tests: Path) -> None:
    ran = rules("test", str(tests))
    assert ran.exit_code == 0, ran.stderr
