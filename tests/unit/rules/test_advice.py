"""Advice: rules that are correct and cannot do what they are meant to do are named, and good ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.model import Kind, MetricDef
from rules.check import advise, known_of
from rules.load import load

ROOT = Path(__file__).resolve().parents[3]
METRICS = [
    MetricDef(name="pg_up", kind=Kind.GAUGE, help=""),
    MetricDef(
        name="pg_commits_total", kind=Kind.COUNTER, help="", labels=("datname",), aliases=("pg_old_commits",)
    ),
    MetricDef(name="pg_locks_count", kind=Kind.GAUGE, help="", labels=("datname", "mode")),
    MetricDef(name="pg_slots_active", kind=Kind.GAUGE, help="", labels=("slot_name",)),
    MetricDef(name="pg_slots_bytes", kind=Kind.GAUGE, help="", labels=("slot_name", "database")),
    MetricDef(name="latency_seconds_bucket", kind=Kind.COUNTER, help="", labels=("le",)),
]
OWN = [MetricDef(name="dbarchitect_reloads_total", kind=Kind.COUNTER, help="", labels=("outcome",))]


def said(expr: str, more: str = "", labels: tuple[str, ...] | None = ()) -> list[str]:
    text = f"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: {expr}\n{more}"
    found = advise(load({"a.yaml": text}), known_of(METRICS, OWN, labels), {"a.yaml": text})
    return [str(one) for one in found]


@pytest.mark.parametrize(
    ("expr", "column", "words"),
    [
        ("pg_upp == 0", 11, "there is no metric pg_upp\n    hint: did you mean 'pg_up'?"),
        ("pg_commits > 0", 11, "there is no metric pg_commits\n    hint: did you mean 'pg_commits_total'?"),
        ("rate(pg_comits_total[5m]) > 0", 16, "did you mean 'pg_commits_total'?"),
        (
            'pg_up == 0 or pg_commits_total{datnam="x"} > 0',
            42,
            "no series of pg_commits_total has the label 'datnam'",
        ),
        ("sum by (datnam) (pg_commits_total)", 19, "no series of pg_commits_total has the label 'datnam'"),
        ("rate(pg_up[5m])", 16, "rate() of pg_up, which is a gauge"),
        ("increase(pg_locks_count[5m])", 20, "increase() of pg_locks_count, which is a gauge"),
        ("delta(pg_commits_total[5m])", 17, "delta() of pg_commits_total, which is a counter"),
        ("deriv(pg_old_commits[5m])", 17, "use rate(), which takes resets into account"),
        ("pg_commits_total / pg_up", 28, "the sides of `/` never match: the label 'datname'"),
        ("pg_slots_active == 0 and pg_slots_bytes > 5", 32, "the label 'database' is on one side only"),
        ("pg_slots_active * on (database) pg_slots_bytes", 27, "the label 'database' is on one side only"),
        ("sum by (target) (pg_up) / sum by (datname) (pg_commits_total)", 35, "never match"),
        ("pg_up unless on (target) sum(pg_slots_active)", 17, "the label 'target' is on one side only"),
        ("pg_up[5m]", 11, "gives a range vector"),
        ("'\"text\"'", 12, "gives a string"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_place(expr: str, column: int, words: str) -> None:
    found = said(expr)
    assert len(found) == 1, found
    assert found[0].startswith(f"a.yaml:5:{column}: A: "), found
    assert words in found[0]


@pytest.mark.parametrize(
    "expr",
    [
        "pg_up == 0",
        'up{job="x",instance="y",target="z",cluster="c"} == 0',
        "mysql_up == 0",
        "node_load1 > 5",
        'ALERTS{alertname="A", anything="x"}',
        "pg_commits_total / ignoring (datname) group_left () pg_up",
        "pg_commits_total / on (target) group_left () pg_up",
        "sum by (target) (pg_commits_total) / pg_up",
        "pg_slots_active == 0 and ignoring (database) pg_slots_bytes > 5",
        "sum by (target, slot_name) (pg_slots_bytes) * pg_slots_active",
        "pg_up or pg_commits_total",
        'label_replace(pg_up, "datname", "x", "", "") * pg_commits_total',
        "rate(pg_commits_total[5m]) > 0.1",
        "delta(pg_locks_count[5m])",
        "histogram_quantile(0.9, rate(latency_seconds_bucket[5m])) * pg_up",
        "absent(pg_up) * pg_commits_total",
        "pg_commits_total * on (datname) unknown_metric",
        "scalar(pg_up) * pg_commits_total",
        "count_values('datname', pg_up) * on (datname) group_left () sum by (datname) (pg_commits_total)",
        "topk(3, pg_commits_total) / ignoring (datname) group_left () pg_up",
        'pg_up{team="db"}',
        'dbarchitect_reloads_total{outcome="failed"} * ignoring (outcome) process_start',
    ],
)
def test_what_can_be_meant_is_left_alone(expr: str) -> None:
    assert (
        said(f'"{expr}"' if '"' not in expr else f"'{expr}'" if "'" not in expr else expr, labels=("team",))
        == []
    )


def test_labels_of_targets_that_are_not_known_may_be_what_is_meant() -> None:
    (found,) = said('pg_up{team="db"}', labels=None)
    assert "--config tells which labels your own targets have" in found


def test_a_place_in_a_block_is_that_in_the_file() -> None:
    (found,) = said("|\n      pg_up == 0\n        and on (target)\n        pg_upp > 1")
    assert found.startswith("a.yaml:8:9: ")


def test_templates_that_name_a_label_the_expression_does_not_give() -> None:
    more = '    annotations:\n      a: "{{ $labels.target }}"\n      b: "{{ if $labels.datnam }}{{ $labels.mode }}{{ end }}"\n'
    found = said("sum by (target, datname) (pg_locks_count)", more)
    assert [one.split(": ")[0] for one in found] == ["a.yaml:8:17", "a.yaml:8:37"]
    assert "the expression gives no label 'datnam'" in found[0]
    assert "did you mean 'datname'?" in found[0]


def test_a_rule_that_stands_twice() -> None:
    (found,) = said("pg_up == 0", "  - {alert: A, expr: pg_up == 0}\n  - {alert: A, expr: pg_up == 1}\n")
    assert found.startswith("a.yaml:6:13: A: the same rule is in line 4 already")


def test_recorded_series_are_known_also_from_other_files() -> None:
    sources = {
        "a.yaml": "groups: [{name: a, rules: [{record: pg_ups, expr: pg_up}]}]",
        "b.yaml": "groups: [{name: b, rules: [{alert: A, expr: sum by (any) (pg_ups) > 5}]}]",
    }
    assert advise(load(sources), known_of(METRICS, OWN, ()), sources) == []
