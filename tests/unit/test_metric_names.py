"""Metrics are named as postgres_exporter names them where it has them, and by Prometheus' rules beyond."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import collectors.postgresql
from collectors.model import Kind, MetricDef
from collectors.postgresql import ENGINE
from collectors.postgresql.catalogue import declared, in_code
from collectors.postgresql.settings import SettingsRunner, in_base_unit

NAMES = Path(__file__).resolve().parents[1] / "data" / "postgres_exporter_names.tsv"
NOT_OURS = {
    "pg_process_idle_seconds": "a histogram per application; pg_stat_activity_count has the idle ones and"
    " pg_longest_idle_in_transaction_seconds those that hurt",
    "pg_exporter_last_scrape_duration_seconds": "of the exporter itself: dbarchitect_* tell of each probe",
    "pg_exporter_last_scrape_error": "of the exporter itself: dbarchitect_* tell of each probe",
}
"""Names of postgres_exporter that we do not give, and why."""
OLDER = re.compile(r"pg_stat_database_conflicts_confl_[a-z_]+")
"""Names of older versions of it, which the newest does not have any more."""
BASE = {"bytes": "bytes", "seconds": "seconds", "ratio": "ratio"}


def theirs() -> dict[str, set[str]]:
    rows = [line.split("\t") for line in NAMES.read_text().splitlines() if not line.startswith("#")]
    return {name: set(filter(None, labels.split(","))) for name, labels, _ in rows}


def coded_modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(collectors.postgresql.__path__)]
    modules = [importlib.import_module(f"collectors.postgresql.{name}") for name in names]
    return [module for module in modules if hasattr(module, "PROBES")]


def ours() -> list[MetricDef]:
    coded = [metric for module in coded_modules() for probe in module.PROBES for metric in probe.info.metrics]
    return [*(metric for probe in declared() for metric in probe.metrics), *coded, ENGINE.up_metric]


def own() -> list[MetricDef]:
    known = theirs()
    return [metric for metric in ours() if metric.name not in known and not OLDER.fullmatch(metric.name)]


@pytest.mark.parametrize(("name", "labels"), theirs().items())
def test_each_name_of_postgres_exporter_is_given_with_at_least_its_labels(
    name: str, labels: set[str]
) -> None:
    given = {each: set(metric.labels) for metric in ours() for each in (metric.name, *metric.aliases)}
    if name in NOT_OURS:
        assert name not in given, "take it off the list"
    else:
        assert name in given
        assert labels <= given[name]


@pytest.mark.parametrize("metric", own(), ids=lambda metric: metric.name)
def test_a_name_of_our_own_ends_in_its_base_unit(metric: MetricDef) -> None:
    stem = metric.name.removesuffix("_total")
    if metric.unit in BASE:
        assert stem.endswith(f"_{BASE[metric.unit]}")
    assert not re.search(r"_(ms|milliseconds|minutes|percent|kilobytes|kb|mb)(_|$)", metric.name)
    for word in BASE.values():
        assert metric.unit == word or not stem.endswith(f"_{word}"), f"its unit is {word}"


@pytest.mark.parametrize("metric", own(), ids=lambda metric: metric.name)
def test_a_name_of_our_own_tells_a_counter_from_a_gauge(metric: MetricDef) -> None:
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_info"))
    assert re.fullmatch(r"pg_[a-z0-9_]+", metric.name)


def test_a_metric_that_several_probes_give_is_the_same_everywhere() -> None:
    seen: dict[str, MetricDef] = {}
    for metric in ours():
        assert seen.setdefault(metric.name, metric) == metric


def test_no_older_name_is_also_the_name_of_another_metric() -> None:
    names = {metric.name for metric in ours()}
    for metric in {dataclasses.replace(metric) for metric in ours()}:
        assert names.isdisjoint(metric.aliases)
    aliases = [alias for metric in dict.fromkeys(ours()) for alias in metric.aliases]
    assert len(aliases) == len(set(aliases))


def test_every_metric_says_what_it_is_in_a_sentence() -> None:
    assert all(metric.help.endswith((".", "].")) for metric in ours())
    assert all(probe.help.endswith(".") for probe in declared())


def test_all_code_that_declares_probes_is_in_the_catalogue() -> None:
    declared_in_code = {probe.info.name for module in coded_modules() for probe in module.PROBES}
    assert declared_in_code == {probe.info.name for probe in in_code()}


def test_probes_have_names_of_their_own() -> None:
    names = [probe.name for probe in declared()] + [probe.info.name for probe in in_code()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("setting", "unit", "vartype", "expected"),
    [
        ("on", "", "bool", (1, "")),
        ("off", "", "bool", (0, "")),
        ("16384", "8kB", "integer", (134217728, "bytes")),
        ("64", "MB", "integer", (67108864, "bytes")),
        ("1024", "16MB", "integer", (17179869184, "bytes")),
        ("5", "min", "integer", (300, "seconds")),
        ("250", "ms", "integer", (0.25, "seconds")),
        ("-1", "ms", "integer", (-1, "seconds")),
        ("-1", "kB", "integer", (-1, "bytes")),
        ("0.1", "", "real", (0.1, "")),
        ("9223372036854775807", "", "integer", (9223372036854775807, "")),
        ("100MB", "MB", "integer", (104857600, "bytes")),
        ("5", "fathoms", "integer", None),
        ("often", "", "integer", None),
        ("", "", "integer", None),
    ],
)
def test_a_setting_becomes_a_number_in_its_base_unit(
    setting: str, unit: str, vartype: str, expected: tuple[float, str] | None
) -> None:
    assert in_base_unit(setting, unit, vartype) == expected


def test_settings_have_the_names_of_postgres_exporter() -> None:
    def row(name: str, setting: str, unit: str, *, own: bool = False) -> dict[str, object]:
        return {
            "name": name, "setting": setting, "unit": unit, "vartype": "integer",
            "pending_restart": name == "shared_buffers", "own": own,
        }  # fmt: skip

    rows = [
        row("shared_buffers", "16384", "8kB"),
        row("my-ext.depth", "3", ""),
        row("lock_timeout", "250", "ms", own=True),
    ]
    found = {
        (one.name, one.labels): one.value
        for frame in SettingsRunner().frames(rows).frames
        for one in frame.samples()
    }
    assert found == {
        ("pg_settings_shared_buffers_bytes", ()): 134217728,
        ("pg_settings_my_ext_depth", ()): 3,
        ("pg_settings_waiting_for_restart", ()): 1,
        ("pg_setting_pending_restart", (("name", "shared_buffers"),)): 1,
    }
