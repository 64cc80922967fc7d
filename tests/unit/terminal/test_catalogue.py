"""The catalogue of all metrics, and the page that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.definition import build
from collectors.model import Kind
from collectors.registry import engines
from collectors.strict_yaml import parse
from daemon.catalogue import OWN, catalogue, matching, source_of
from daemon.docs_metrics import markdown
from daemon.own_metrics import own_metrics
from daemon.terminal import postgres_names

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def entries() -> list:
    return catalogue(engines().values(), own_metrics())


def test_the_page_is_what_the_program_declares(entries: list) -> None:
    made = markdown(entries, {name: engine.title for name, engine in engines().items()})
    assert PAGE.read_text(encoding="utf-8") == made, "docs/metrics.md is stale: run `make docs`"


def test_every_engine_and_the_daemon_itself_are_in_it(entries: list) -> None:
    assert {entry.engine for entry in entries} == {*engines(), OWN}
    for engine in engines().values():
        assert engine.up_metric.name in {
            entry.metric.name for entry in entries if entry.engine == engine.name
        }


def test_metrics_of_probes_in_code_are_in_it_with_their_file(entries: list) -> None:
    entry = next(entry for entry in entries if entry.metric.name == "pg_stat_statements_calls_total")
    assert source_of(entry) == "collectors/postgresql/statements.py"
    assert entry.probe == "statements"
    assert "extension:pg_stat_statements" in " ".join(entry.needs)


def test_declared_metrics_name_the_line_of_their_probe(entries: list) -> None:
    entry = next(entry for entry in entries if entry.metric.name == "pg_stat_database_xact_commit")
    file, _, line = source_of(entry).rpartition(":")
    lines = (PAGE.parents[1] / file).read_text(encoding="utf-8").splitlines()
    assert lines[int(line) - 1].startswith("database:")


def test_one_metric_has_one_kind_one_unit_and_one_set_of_labels(entries: list) -> None:
    told: dict[str, set] = {}
    for entry in entries:
        metric = entry.metric
        told.setdefault(metric.name, set()).add((metric.kind, metric.unit, metric.labels))
    assert {name: kinds for name, kinds in told.items() if len(kinds) > 1} == {}


def test_every_metric_on_the_screen_is_one_that_is_collected(entries: list) -> None:
    kinds = {entry.metric.name: entry.metric.kind for entry in entries}
    assert postgres_names.NAMES - kinds.keys() == set()
    grows_without_counting = {postgres_names.WAL_POSITION}
    counters = {name for name in postgres_names.COUNTERS if kinds[name] is Kind.COUNTER}
    assert postgres_names.COUNTERS - counters == grows_without_counting


@pytest.mark.parametrize(
    ("pattern", "engine", "found"),
    [
        ("pg_stat_database_xact_commit", "", {"pg_stat_database_xact_commit"}),
        ("XACT_COMMIT", "postgresql", {"pg_stat_database_xact_commit"}),
        ("pg_stat_database_xact_*", "", {"pg_stat_database_xact_commit", "pg_stat_database_xact_rollback"}),
        ("pg_stat_replication_pg_xlog_location_diff", "", {"pg_stat_replication_pg_wal_lsn_diff"}),
        ("pg_stat_database_xact_commit", "pgbouncer", set()),
    ],
)
def test_metrics_are_found_by_part_of_a_name_by_pattern_and_by_alias(
    entries: list, pattern: str, engine: str, found: set[str]
) -> None:
    assert {entry.metric.name for entry in matching(entries, pattern, engine)} == found


def test_probes_of_ones_own_are_in_it() -> None:
    text = (
        "queue:\n  sql: select n from q\n  values:\n    n: {metric: app_queue, kind: gauge, help: Waiting.}\n"
    )
    custom = build(parse(text, "own.yaml"), engine="postgresql", custom=True)
    entry = catalogue((), (), custom)[0]
    assert (entry.metric.name, entry.custom, source_of(entry)) == ("app_queue", True, "own.yaml:1")


def test_the_page_cannot_be_broken_by_a_help_text(entries: list) -> None:
    page = markdown(entries, {})
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == 6, line
