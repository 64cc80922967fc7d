"""Unit tests of rules get the verdict that promtool gives, and are told of in its words."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from tests.fixtures.missing import missing
from tests.fixtures.rule_tests import CASES, RULES


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rules")
    for name, text in RULES.items():
        (made / name).write_text(text)
    (made / "bad.yaml").write_text("groups: [{name: a, rules: [{alert: A, expr: 'up('}]}]\n")
    return made


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_that_of_promtool(name: str, folder: Path) -> None:
    file = folder / "a.test.yaml"
    file.write_text(CASES[name])
    code, said = promtool(file)
    ours = CliRunner().invoke(app, ["rules", "test", str(file)])
    assert ours.exit_code == code, f"{ours.output}\n{said}"
    assert comparable(ours.output) == comparable(said)


def test_both_verdicts_are_among_the_cases(folder: Path) -> None:
    codes = []
    for text in CASES.values():
        (folder / "a.test.yaml").write_text(text)
        codes.append(CliRunner().invoke(app, ["rules", "test", str(folder / "a.test.yaml")]).exit_code)
    assert codes.count(0) >= 25
    assert codes.count(1) >= 25
    assert set(codes) == {0, 1}


def test_floats_that_differ_in_the_last_bit_are_equal_when_the_file_says_so(folder: Path) -> None:
    text = CASES["steps of fractions, rounded"]
    assert run(folder, text) == 1
    assert run(folder, "fuzzy_compare: true\n" + text) == 0
    assert run(folder, "fuzzy_compare: true\n" + text.replace("value: 1", "value: 1.0000001")) == 1
    assert run(folder, "fuzzy_compare: true\n" + CASES["NaN is never equal"]) == 0


@pytest.mark.parametrize("begin", ["1609459200", '"2021-01-01T00:00:00Z"', '"2021-01-01T01:00:00+01:00"'])
def test_a_test_may_begin_at_another_time_than_1970(folder: Path, begin: str) -> None:
    test = f"tests: [{{start_timestamp: {begin}, promql_expr_test: [{{expr: time(), eval_time: 1m, exp_samples: [%s]}}]}}]"
    assert run(folder, test % "{value: 1609459260}") == 0
    assert run(folder, test % "{value: 60}") == 1


def test_series_without_an_interval_have_that_of_the_evaluations(folder: Path) -> None:
    test = "evaluation_interval: 2m\ntests: [{input_series: [{series: up, values: 1 2 3}], promql_expr_test: [%s]}]"
    assert run(folder, test % "{expr: up, eval_time: 4m, exp_samples: [{labels: up, value: 3}]}") == 0


def test_native_histograms_are_refused_with_the_place_and_the_reason(folder: Path) -> None:
    file = folder / "a.test.yaml"
    file.write_text("tests:\n- input_series:\n  - series: up\n    values: '{{schema:1 sum:3}}x3'\n")
    ran = CliRunner().invoke(app, ["rules", "test", str(file)])
    assert ran.exit_code == 1
    assert f"{file}:4:13: " in ran.output
    assert "native histograms are not supported" in ran.output


def run(folder: Path, text: str) -> int:
    (folder / "a.test.yaml").write_text(text)
    return CliRunner().invoke(app, ["rules", "test", str(folder / "a.test.yaml")]).exit_code


def promtool(file: Path) -> tuple[int, str]:
    tool = shutil.which("promtool") or missing("promtool", "apt-get install prometheus")
    ran = subprocess.run([tool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def comparable(said: str) -> list[str]:
    """Return the lines without what the two word differently: mistakes in files and in expressions.

    The streams are joined, so lines are sorted. Mistakes in a file are told with places of our own.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    if not any(re.match(r"    (?!hint:)|  SUCCESS", line) for line in lines):
        return sorted(line for line in lines if line.startswith(("Unit", "  FAILED")))
    lines = [re.sub(r"(labels \S+|err): (?:labels .*|\d+:\d+: .*)", r"\1", line) for line in lines]
    lines = [re.sub(r"<error expanding template: .*?>\"", "<error>", line) for line in lines]
    return sorted(line for line in lines if not line.startswith("an item under"))
