"""`dbarchitect policy`: which policy wins and why, and what is wrong with files of policies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app

POLICIES = """
policies:
  - name: other-target
    match: {alertname: PostgresqlDeadTuples}
    targets: [bank]
    action: postgresql.vacuum
  - name: mine
    match: ['alertname="PostgresqlDeadTuples"', 'relname!="audit"']
    action: postgresql.vacuum
    mode: auto
    windows: [{begin: "00:00", end: "24:00"}]
  - name: outside
    match: {alertname: Theirs}
    from: alertmanager
    action: postgresql.vacuum
    mode: auto
    windows: [{days: sat, begin: "22:00", end: "23:00", zone: Europe/Berlin}]
"""
CONFIG = """
targets:
  - {name: shop, engine: postgresql, act: {mode: approve, user: dba}}
  - {name: bank, engine: postgresql}
acting: {policy_files: [p.yaml]}
"""
LABELS = (
    "alertname=PostgresqlDeadTuples",
    "target=shop",
    "schemaname=public",
    "relname=orders",
    "datname=shop",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICIES)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, words)])


def explained(config: Path, *labels: str, more: tuple[str, ...] = ()) -> Result:
    return run(
        "explain", "--config", config, *(word for label in labels for word in ("--label", label)), *more
    )


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def test_it_says_which_policy_wins_why_and_why_not_the_others(config: Path) -> None:
    result = explained(config, *LABELS)
    assert result.exit_code == 0
    place = config.parent / "p.yaml"
    lines = result.stdout.splitlines()
    assert lines[:5] == [
        f"passed over  other-target ({place}:3:5)",
        "             it is for the targets bank, not for 'shop'",
        f"reached      mine ({place}:7:5)",
        "  action     postgresql.vacuum (class B)",
        "  mode       approve: the policy says auto, act.mode of shop allows approve at the most",
    ]
    assert "  parameter  table = orders (label relname)" in lines
    assert lines[-1] == "  window     open for two weeks and more"


def test_it_says_the_same_for_programs(config: Path) -> None:
    said = data(explained(config, *LABELS, more=("--output", "json")))
    assert (said["policy"], said["action"], said["mode"]) == ("mine", "postgresql.vacuum", "approve")
    assert said["matches"] == ['alertname="PostgresqlDeadTuples"', 'relname!="audit"']
    assert said["parameters"]["table"] == "orders"
    assert said["origins"]["table"] == "label relname"
    assert said["window"] == {"open": True, "opens": None, "closes": None}
    assert [one["policy"] for one in said["tried"]] == ["other-target"]


def test_a_closed_window_says_when_it_opens_in_its_own_zone(config: Path) -> None:
    labels = ("alertname=Theirs", "target=shop", "relname=orders", "schemaname=public")
    said = data(explained(config, *labels, more=("--from", "alertmanager", "--output", "json")))
    assert said["policy"] == "outside"
    assert said["window"]["open"] is not (said["window"]["opens"] is not None)
    text = explained(config, *labels, more=("--from", "alertmanager")).stdout
    assert "CE" in text.splitlines()[-1]  # CET or CEST
    assert "Sat" in text.splitlines()[-1]


def test_an_open_window_says_until_when(config: Path) -> None:
    text = POLICIES.replace(
        '{begin: "00:00", end: "24:00"}', '{begin: "00:00", end: "12:00"}, {begin: "12:00", end: "23:59"}'
    )
    (config.parent / "p.yaml").write_text(text)
    # In the last minute of the day it is closed.
    assert re.search(r"open until .* 23:59 UTC|closed, opens .* 00:00 UTC", explained(config, *LABELS).stdout)


def test_an_alert_from_elsewhere_reaches_no_policy_that_does_not_say_so(config: Path) -> None:
    result = explained(config, *LABELS, more=("--from", "alertmanager"))
    assert result.exit_code == 1
    assert "it is for alerts from rules, this one is from alertmanager" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("no policy: none of ")


def test_parameters_that_do_not_hold_mean_no_plan(config: Path) -> None:
    labels = [label for label in LABELS if not label.startswith("relname")]
    text = explained(config, *labels, "relname=" + "x" * 64).stdout
    assert "should be a name of 1 to 63 bytes, not of 64: there would be no plan" in text


def test_a_target_that_is_not_there_is_told(config: Path) -> None:
    other = [label for label in LABELS if not label.startswith("target")]
    assert "warning: there is no target 'shopp'" in explained(config, *other, "target=shopp").stdout
    assert "warning: the alert has no label 'target'" in explained(config, *other).stdout


def test_where_acting_is_off_no_policy_is_reached(config: Path) -> None:
    config.write_text(CONFIG.replace("acting: {", "acting: {enabled: false, "))
    result = explained(config, *LABELS)
    assert result.exit_code == 1
    assert result.stdout == "no policy: acting is switched off (acting.enabled: false)\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--label", "alertname"), "--label alertname: should be NAME=VALUE"),
        (("--label", "=x"), "--label =x: should be NAME=VALUE"),
        (("--label", "a=1", "--label", "a=2"), "--label a: is there twice"),
        (("--label", "a=1", "--from", "any"), "--from any: should be one of rules, alertmanager"),
    ],
)
def test_words_that_are_no_question_end_with_2(config: Path, words: tuple[str, ...], says: str) -> None:
    result = run("explain", "--config", config, *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_configuration_with_mistakes_ends_with_2_and_all_of_them(config: Path) -> None:
    (config.parent / "p.yaml").write_text(POLICIES.replace("mode: auto", "mode: automatic"))
    result = explained(config, *LABELS)
    assert result.exit_code == 2
    assert result.stderr.count("should be one of observe, advise, approve, auto") == 2
    said = data(explained(config, *LABELS, more=("--output", "json")))
    assert said["ok"] is False
    assert len(said["problems"]) == 2


def test_files_are_checked_alone(config: Path) -> None:
    result = run("check", config.parent / "p.yaml")
    assert result.exit_code == 0
    assert result.stdout == "OK: 3 policies in 1 files\n"
    assert "warning: " not in result.stderr
    doubtful = config.parent / "doubtful.yaml"
    doubtful.write_text(
        POLICIES.replace('"00:00", end: "24:00"', '"00:00", end: "24:00", zone: Europe/Berlin')
    )
    assert "the clocks of Europe/Berlin change within it" in run("check", doubtful).stderr
    assert data(run("check", config.parent / "p.yaml", "--output", "json"))["policies"] == [
        "other-target",
        "mine",
        "outside",
    ]


def test_a_file_with_mistakes_ends_with_1_and_one_that_cannot_be_read_with_2(config: Path) -> None:
    bad = config.parent / "bad.yaml"
    bad.write_text(POLICIES.replace("postgresql.vacuum", "postgresql.vacum"))
    result = run("check", bad)
    assert result.exit_code == 1
    assert "there is no action 'postgresql.vacum'" in result.stderr
    assert "did you mean 'postgresql.vacuum'?" in result.stderr
    assert len(data(run("check", bad, "--output", "json"))["problems"]) == 3
    missing = run("check", config.parent / "nope.yaml")
    assert missing.exit_code == 2
    assert "nope.yaml" in missing.stderr


def test_commands_are_known_by_the_configuration_that_has_them(config: Path) -> None:
    (config.parent / "p.yaml").write_text(POLICIES.replace("postgresql.vacuum", "command.tidy", 1))
    config.write_text(
        CONFIG.replace("acting: {", "acting: {commands: {tidy: {argv: [/bin/true], help: h}}, ")
    )
    assert run("check", config.parent / "p.yaml").exit_code == 1
    assert run("check", config.parent / "p.yaml", "--config", config).exit_code == 0
