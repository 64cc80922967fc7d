"""`dbarchitect check` without asking a server: what it says, where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from daemon.check import check as check_file
from daemon.commands.check import check

app = typer.Typer()
app.command()(check)


def run(text: str, tmp_path: Path, *options: str) -> Result:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return CliRunner().invoke(app, [str(path), *options])


def test_a_good_file_is_ok_with_what_the_daemon_would_do(tmp_path: Path) -> None:
    result = run(
        "targets:\n"
        "  - {name: a, engine: postgresql, host: db1, collect: {locks: false}}\n"
        "  - {name: b, engine: postgresql, host: db2, collect: {locks: false}}\n"
        "  - {name: c, engine: host}\n",
        tmp_path,
    )
    assert result.exit_code == 0
    assert result.stdout.startswith(f"OK {tmp_path}/config.yaml: 3 targets (1 host, 2 postgresql)\n")
    assert "  postgresql: a, b\n" in result.stdout
    on, off = (line for line in result.stdout.splitlines()[2:4])
    assert "database," in on
    assert "locks" in off
    assert "locks" not in on.split()
    assert result.stderr == ""


def test_mistakes_go_to_standard_error_and_the_exit_says_configuration(tmp_path: Path) -> None:
    result = run("targets:\n  - {name: a, engine: postgres}\ndeamon: {}\n", tmp_path)
    assert result.exit_code == 78
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{tmp_path}/config.yaml:2:")
    assert lines[1] == "    hint: did you mean 'postgresql'?"
    assert lines[2].startswith(f"{tmp_path}/config.yaml:3:1: deamon: unknown key")
    assert lines[-1] == f"{tmp_path}/config.yaml: 2 mistakes"


def test_a_secret_that_cannot_be_had_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    result = run(
        "targets:\n"
        "  - name: a\n    engine: postgresql\n    password: {file: secret}\n"
        "  - name: b\n    engine: postgresql\n    host: db2\n    password: {env: SURELY_NOT_SET}\n",
        tmp_path,
    )
    assert result.exit_code == 78
    assert (
        f"{tmp_path}/config.yaml:4:5: targets[0].password: the secret file {secret} has mode 0644"
        in result.stderr
    )
    assert (
        f"{tmp_path}/config.yaml:8:5: targets[1].password: the environment variable SURELY_NOT_SET"
        in result.stderr
    )
    assert "hunter2" not in result.output


def test_a_credential_that_only_the_service_has_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = "targets:\n  - name: a\n    engine: postgresql\n    password: {credential: shop}\n"
    result = run(text, tmp_path)
    assert result.exit_code == 0
    assert result.stdout.startswith("OK ")
    assert (
        f"warning: {tmp_path}/config.yaml:4:5: targets[0].password: there is no credential shop"
        in result.stderr
    )
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert run(text, tmp_path).exit_code == 78


def test_json_says_the_same(tmp_path: Path) -> None:
    good = run("targets: [{name: a, engine: postgresql}]\n", tmp_path, "--output", "json")
    data = json.loads(good.stdout)
    assert (good.exit_code, data["ok"], data["problems"]) == (0, True, [])
    assert data["targets"][0]["address"] == "127.0.0.1:5432/postgres"
    bad = run("targets: []\n", tmp_path, "--output", "json")
    data = json.loads(bad.stdout)
    assert (bad.exit_code, data["ok"]) == (78, False)
    assert data["problems"][0]["line"] == 1
    assert "nothing to watch" in data["problems"][0]["message"]


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "no.yaml")])
    assert result.exit_code == 78
    assert "no.yaml: cannot be read: No such file or directory" in result.stderr


def test_own_probes_are_counted_and_on(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "orders:\n  sql: select 1 as n\n  values: {n: {metric: shop_orders, kind: gauge, help: Orders.}}\n"
    )
    (tmp_path / "config.yaml").write_text(
        "metrics_files: [own.yaml]\ntargets: [{name: a, engine: postgresql}]\n"
    )
    report = check_file(tmp_path / "config.yaml")
    assert report.ok
    assert "orders" in report.targets[0].on
