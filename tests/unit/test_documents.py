"""What the documents say exists: links, commands, metrics, probes, and configurations that load."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from actions.policies.load import load as load_policies
from collectors.foreign_formats import load_any
from collectors.model import MetricDef
from collectors.registry import engines
from daemon import config
from daemon.catalogue import catalogue
from daemon.cli import app
from daemon.config import policy_files
from daemon.own_metrics import own_metrics
from rules.load import load
from rules.testing import read, run
from tests.fixtures.missing import missing

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
METRIC = re.compile(r"(?:pg|dbarchitect|pgbouncer|exporter)_[a-z0-9_]+")
NOT_METRICS = {
    "pg_monitor", "pg_read_all_stats", "pg_stat_statements", "pg_stat_kcache", "pg_wait_sampling", "pg_qualstats",
    "pg_stat_monitor", "pg_exporter", "pg_upgrade", "pg_basebackup", "pg_buffercache", "pg_partman", "pg_stat_io",
    "pg_stat_activity", "pg_blocking_pids", "pgbouncer_exporter", "pg_reload_conf", "pg_settings", "pg_catalog",
}  # fmt: skip
"""Roles, extensions, views and programs that documents name too."""
NOT_OURS = re.compile(r"pg_process_idle_seconds|pg_exporter_last_scrape_\w+|pg_prepared_statements_held")
"""Metrics that documents name to say that they are not there, and one that a recipe adds."""
FOLDER = "/etc/dbarchitect/"


def fences(page: Path, *kinds: str) -> list[str]:
    return [body for _, kind, body in FENCE.findall(page.read_text()) if kind in kinds]


def blocks() -> list[Any]:
    found = [
        (f"{page.relative_to(ROOT)}-{number}", body)
        for page in PAGES
        for number, body in enumerate(fences(page, "yaml"), start=1)
    ]
    return [pytest.param(body, id=name) for name, body in found]


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def metrics() -> dict[str, MetricDef]:
    entries = catalogue(engines().values(), own_metrics())
    return {name: one.metric for one in entries for name in (one.metric.name, *one.metric.aliases)}


def code_in(page: Path) -> Iterator[str]:
    text = page.read_text()
    yield from CODE.findall(FENCE.sub("", text))
    yield from (word for body in fences(page, "") for word in re.split(r"[\s'\"(){}]+", body))


def commands_in(page: Path) -> Iterator[list[str]]:
    for text in (*CODE.findall(FENCE.sub("", page.read_text())), *fences(page, "sh", "", "console")):
        for found in re.finditer(r"(?:^|\s|bin/)dbarchitect((?: +[^\s`|;&#]+)+)", text):
            yield found[1].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_title_that_are_there(page: Path) -> None:
    known = tracked()
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{link}: there is no such file"
        assert goal.is_dir() or goal in known, f"{link}: not a file of the project"
        if anchor:
            assert anchor in anchors(goal), f"{link}: there is no such title"


def tracked() -> set[Path]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return {(ROOT / name).resolve() for name in listed.split("\0") if name}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    top: Any = typer.main.get_command(app)
    for words in commands_in(page):
        command = top
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if words and re.fullmatch(r"[a-z][a-z-]*", words[0]) and getattr(command, "commands", None):
            assert command is not top, f"dbarchitect {words[0]}: there is no such command"
        options = {name for one in command.params for name in (*one.opts, "--help", "--version")}
        for word in words:
            if word.startswith("-"):
                assert word.partition("=")[0] in options, f"dbarchitect {command.name} {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = (*CODE.findall(FENCE.sub("", page.read_text())), *fences(page, "sh", ""))
    named = {name for text in texts for name in re.findall(r"(?:^|\n)make ([a-z-]+)", text)}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_metric_that_is_named_is_in_the_catalogue(page: Path) -> None:
    known = metrics()
    probes = {entry.probe for entry in catalogue(engines().values())}
    for code in code_in(page):
        name = code.partition("{")[0]
        if not METRIC.fullmatch(name) or name in NOT_METRICS or NOT_OURS.fullmatch(name) or name in probes:
            continue
        if name.endswith("_") or name.startswith(("pg_wal_", "pg_stat_get", "pg_settings_")):
            continue
        assert name in known, f"{name}: there is no such metric"


@pytest.mark.parametrize("body", blocks())
def test_every_piece_of_configuration_loads(body: str, tmp_path: Path) -> None:
    path = tmp_path / "written.yaml"
    for name in re.findall(re.escape(FOLDER) + r"([\w./*-]+)", body):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if "*" not in name:
            file.touch()
    path.write_text(body.replace(FOLDER, f"{tmp_path}/"))
    parsed = yaml.safe_load(path.read_text())
    if "scrape_configs" in parsed:
        check_by_promtool(path)
        return
    if "receivers" in parsed:
        check_by_amtool(path)
        return
    if any(isinstance(one, dict) and "values" in one for one in parsed.values()):
        assert load_any(path, engine="postgresql")
        return
    if "groups" in parsed:
        assert load({"rules.yaml": body})
        return
    if "tests" in parsed:
        assert run(read("rules.test.yaml", body), load({"rules.yaml": rules_before(body)})) == []
        return
    if "policies" in parsed:
        assert load_policies({"policies.yaml": body}, policy_files.catalogue({}), time.time())
        return
    if "targets" not in parsed:
        path.write_text(path.read_text() + "\ntargets: [{name: any, engine: host}]\n")
    config.load(path)


def rules_before(tests: str) -> str:
    """Return the rules that a page shows before the tests of them."""
    page = next(page for page in PAGES if tests in fences(page, "yaml"))
    shown = fences(page, "yaml")
    return next(body for body in reversed(shown[: shown.index(tests)]) if body.startswith("groups:"))


def check_by_promtool(path: Path) -> None:
    promtool = shutil.which("promtool") or missing("promtool")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def check_by_amtool(path: Path) -> None:
    amtool = shutil.which("amtool") or missing("amtool")
    done = subprocess.run([amtool, "check-config", path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(FENCE.sub("", page.read_text())))
        todo += [(page.parent / link).resolve() for link in links if link and "://" not in link]
    assert set(PAGES) - seen == set()


def test_the_configuration_page_names_every_engine() -> None:
    for name in engines():
        assert (ROOT / "docs" / "engines" / f"{name}.md").is_file()
        assert f"engines/{name}.md" in (ROOT / "docs" / "configuration.md").read_text()
        assert f"docs/engines/{name}.md" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(engines()))
def test_the_page_of_an_engine_names_its_probes_and_its_options(name: str) -> None:
    page = (ROOT / "docs" / "engines" / f"{name}.md").read_text()
    engine = engines()[name]
    entries = catalogue([engine])
    missing = {entry.probe for entry in entries if entry.probe and f"`{entry.probe}`" not in page}
    assert missing - {"scrape"} == set()
    assert {option for option in engine.options.model_fields if option not in page} == set()


def test_the_workflows_tell_what_each_metric_about_the_daemon_is_for() -> None:
    page = (ROOT / "docs" / "WORKFLOWS.md").read_text()
    named = set(CODE.findall(FENCE.sub("", page)))
    assert {metric.name for metric in own_metrics() if metric.name.startswith("dbarchitect_")} <= named


def test_the_readme_does_not_promise_more_metrics_than_there_are() -> None:
    readme = (ROOT / "README.md").read_text()
    promised = re.findall(r"^\| `(\w+)` \|.*\| more than (\d+)", readme, re.MULTILINE)
    assert len(promised) == 3
    for name, number in promised:
        assert len({entry.metric.name for entry in catalogue([engines()[name]])}) > int(number)
