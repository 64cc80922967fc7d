"""Keys of rules, alertmanagers and history: what is taken, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.config import Config

TARGETS = "targets: [{name: a, engine: postgresql}]\n"


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text + TARGETS)
    return configuration.load(path)


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        loaded(tmp_path, text)
    return str(caught.value)


def test_nothing_said_means_all_packs_and_our_own_history(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.rules.builtin is True
    assert config.rules.interval == 15.0
    assert config.alertmanagers == ()
    assert (config.history.raw, config.history.rollups, config.history.size_max) == (
        86400,
        2592000,
        2 * 10**9,
    )


def test_sizes_and_addresses_are_read(tmp_path: Path) -> None:
    text = (
        "history: {size_max: 1.5GB, remote_write: [{url: 'http://127.0.0.1:8428/api/v1/write/'}]}\n"
        "alertmanagers: [{url: 'https://am.example.com/prefix/', tls: {insecure: true}}]\n"
    )
    config = loaded(tmp_path, text)
    assert config.history.size_max == 1_500_000_000
    assert config.history.remote_write[0].url == "http://127.0.0.1:8428/api/v1/write"
    assert config.alertmanagers[0].url == "https://am.example.com/prefix"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("history: {size_max: 2 bananas}\n", "should be a size such as 500MB or 2GB"),
        ("history: {raw: 1s}\n", "should be from 1h to 3650d"),
        ("alertmanagers: [{url: 'ftp://x'}]\n", "should begin with http:// or https://"),
        ("alertmanagers: [{url: 'http://x'}, {url: 'http://x/'}]\n", "http://x is there twice"),
        ("rules: {external_url: watch.example.com}\n", "should begin with http:// or https://"),
        ("alertmanagers: [{url: 'http://me:secret@x'}]\n", "use `user` and `password`"),
        ("alertmanagers: [{url: 'http://x', user: me}]\n", "user and password belong together"),
        ("alertmanagers: [{url: 'http://x', tls: {insecure: true}}]\n", "begins with http://"),
        (
            "alertmanagers: [{url: 'http://x', bearer_token: hunter2hunter2}]\n",
            "a secret stands in this file",
        ),
        ("rules: {external_labels: {'a-b': x}}\n", "is no label name"),
        ("rules: {interval: 1ms}\n", "should be from 500ms to 1d"),
        ("rules: {fils: []}\n", "files"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert said in found
    assert "hunter2" not in found
    assert "me:secret" not in found


def test_a_mistake_in_the_rules_settings_does_not_hide_those_in_the_files(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("groups: [{name: a, rules: [{alert: A, expr: 'up +'}]}]\n")
    found = problems(
        tmp_path, f"rules: {{interval: soon, builtin: [nosuch], files: ['{tmp_path}/bad.yaml']}}\n"
    )
    assert "rules.interval: not a duration" in found
    assert "there is no pack 'nosuch'" in found
    assert "bad.yaml:1:" in found


def test_a_tenant_is_for_stores_of_samples_only(tmp_path: Path) -> None:
    config = loaded(tmp_path, "history: {query: {url: 'http://mimir', tenant: shop}}\n")
    assert config.history.query is not None
    assert config.history.query.tenant == "shop"
    assert "printable" in problems(tmp_path, 'history: {query: {url: "http://mimir", tenant: "a\\nb"}}\n')
    assert "tenant" in problems(tmp_path, "alertmanagers: [{url: 'http://x', tenant: shop}]\n")


def test_a_link_that_leads_nowhere_is_a_mistake_and_a_folder_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (folder / "more.yaml").mkdir()
    said = problems(tmp_path, f"rules: {{files: ['{folder}/*.yaml']}}\n")
    assert "gone.yaml:1:1: " in said
    assert "more.yaml" not in said
