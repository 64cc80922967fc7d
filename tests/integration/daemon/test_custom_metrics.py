"""Metrics of one's own in a running daemon: what is wrong with one stops no other, and is named with its line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from tests.fixtures.daemons import Daemon, NewDaemon, postgres_target
from tests.fixtures.waiting import until

OWN = """\
good:
  sql: select {columns}
  values: {n: {metric: own_good, kind: gauge, help: h, sql: "1"}}
wrong:
  sql: select {columns} from nosuch.table_of_ours
  values: {n: {metric: own_wrong, kind: gauge, help: h, sql: "1"}}
nonsense:
  sql: select {columns} frm
  values: {n: {metric: own_nonsense, kind: gauge, help: h, sql: "1 +"}}
absent:
  sql: select 1 as m
  values: {n: {metric: own_absent, kind: gauge, help: h}}
twice:
  sql: select 1 as n, 2 as n
  values: {n: {metric: own_twice, kind: gauge, help: h}}
words:
  sql: select 'many' as n
  values: {n: {metric: own_words, kind: gauge, help: h}}
writes:
  sql: with x as (delete from pg_catalog.pg_description returning 1) select count(*) as n from x
  values: {n: {metric: own_writes, kind: gauge, help: h}}
creates:
  sql: select nextval('public.counter') as n
  values: {n: {metric: own_creates, kind: gauge, help: h}}
sleeps:
  within: 300ms
  sql: select 1 as n from pg_catalog.pg_sleep(60)
  values: {n: {metric: own_sleeps, kind: gauge, help: h}}
explodes:
  within: 5s
  sql: select g::text as label, g as n from pg_catalog.generate_series(1, 100000) g order by random()
  labels: {label: }
  values: {n: {metric: own_explodes, kind: gauge, help: h}}
extremes:
  sql: >-
    select * from (values ('infinity'::float8, '-infinity'::float8, 'nan'::float8, null::float8, 1e18::numeric,
    9223372036854775807, 'infinity'::timestamptz, '1 day'::interval, true)) t (pi, ni, na, nu, ee, bi, ts, iv, bo)
  values:
    pi: {metric: own_plus, kind: gauge, help: h}
    ni: {metric: own_minus, kind: gauge, help: h}
    na: {metric: own_nan, kind: gauge, help: h}
    nu: {metric: own_null, kind: gauge, help: h}
    ee: {metric: own_large, kind: gauge, help: h}
    bi: {metric: own_bigint, kind: gauge, help: h}
    bo: {metric: own_bool, kind: gauge, help: h}
moment:
  sql: select 'infinity'::timestamptz as ts
  values: {ts: {metric: own_moment, kind: gauge, help: h}}
last:
  sql: select {columns}
  labels: {hostile: "E'a\\"b\\\\\\\\c\\nd'::text"}
  values: {n: {metric: own_last, kind: gauge, help: h, sql: "1"}}
"""


@pytest.fixture
async def watching(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> AsyncIterator[tuple[Daemon, Path]]:
    await postgres15.psql("create sequence if not exists public.counter")
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    daemon = await daemon_process(
        postgres_target(postgres15, collect={"*": False, **dict.fromkeys(_names(), True)}),
        metrics_files=[str(own)],
    )
    yield daemon, own
    await postgres15.psql("drop sequence public.counter")


async def test_each_mistake_is_its_probes_own_and_named_with_its_line(
    watching: tuple[Daemon, Path],
) -> None:
    daemon, own = watching
    await until(lambda: daemon.values("own_last"))
    await until(lambda: daemon.values("own_explodes"))
    probes = {probe["name"]: probe for probe in (await daemon.target("db"))["probes"]}
    failing = {name: probe["failures"][0] for name, probe in probes.items() if probe["failures"]}
    lines = {
        name: number for number, line in enumerate(OWN.splitlines(), 1) if (name := line[:-1]) in _names()
    }

    assert set(failing) == {"wrong", "nonsense", "absent", "words", "writes", "creates", "sleeps", "twice"}
    for name, failure in failing.items():
        assert f"{own}:{lines[name]}" in failure["message"], failure
    assert failing["wrong"]["cause"] == "unsupported"
    assert "has two columns named n" in failing["twice"]["message"]
    assert "has no column n" in failing["absent"]["message"]
    assert "read-only transaction" in failing["writes"]["message"]
    assert "read-only transaction" in failing["creates"]["message"]
    assert failing["sleeps"]["cause"] == "timed_out"
    assert await daemon.value("own_good") == 1
    assert (await daemon.target("db"))["up"]
    assert not daemon.events("probe.broken"), daemon.events("probe.broken")


async def test_extremes_arrive_as_they_are_and_null_is_absent(watching: tuple[Daemon, Path]) -> None:
    daemon, _ = watching
    await until(lambda: daemon.values("own_last"))
    shown = {
        line.split("{")[0]: line.rsplit(" ", 1)[1]
        for line in (await daemon.get("/metrics")).splitlines()
        if line.startswith("own_")
    }

    assert shown["own_plus"] == "+Inf"
    assert shown["own_minus"] == "-Inf"
    assert shown["own_nan"] == "NaN"
    assert shown["own_moment"] == "+Inf"
    assert "own_null" not in shown
    assert float(shown["own_large"]) == 1e18
    assert float(shown["own_bigint"]) == 2.0**63
    assert shown["own_bool"] == "1"
    series = await daemon.get("/api/v1/series?match=own_plus")
    assert '"+Inf"' in series


async def test_a_hundred_thousand_labels_are_capped_counted_and_the_same_each_time(
    watching: tuple[Daemon, Path],
) -> None:
    daemon, _ = watching
    await until(lambda: daemon.values("own_explodes"))
    first = await _labels(daemon)
    runs = (await daemon.probe("db", "explodes"))["runs"]
    await until(lambda: _ran_again(daemon, runs))
    second = await _labels(daemon)

    assert len(first) == 500
    assert first == second
    assert await daemon.value("dbarchitect_series_dropped", probe="explodes") == 99_500


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "mine:\n  sql: select {columns}\n  values: {n: {metric: pg_up, kind: gauge, help: h, sql: '1'}}\n",
            ("own.yaml:1", "'pg_up' exists already"),
        ),
        (
            "mine:\n  sql: select {columns}\n  values:\n    n: {metric: pg_stat_database_deadlocks, kind: counter, help: h, sql: '1'}\n",
            ("own.yaml:1", "exists already", "database.yaml:"),
        ),
        (
            "mine:\n  sql: drop table x\n  values: {n: {metric: own_n, kind: gauge, help: h}}\n",
            ("own.yaml:1", "does not read"),
        ),
        (
            "mine:\n  sql: select 1 as n; drop table x\n  values: {n: {metric: own_n, kind: gauge, help: h}}\n",
            ("own.yaml:1", "several statements"),
        ),
        (
            "mine:\n  sql: select 1 as n\n  values:\n    n: {metric: own_n, kind: gauge, help: h}\n    n: {metric: own_m, kind: gauge, help: h}\n",
            ("own.yaml:5", "n"),
        ),
        (
            "mine:\n  sql: select 1 as n\n  values: {n: {metric: dbarchitect_n, kind: gauge, help: h}}\n",
            ("own.yaml:1", "the daemon's own prefix"),
        ),
        ("mine: {sqll: select 1}\n", ("own.yaml:1", "sqll", "'sql'")),
        (
            "database:\n  sql: select 1 as n\n  values: {n: {metric: own_n, kind: gauge, help: h}}\n",
            ("own.yaml:1", "there is already a probe 'database'"),
        ),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, text: str, sentences: tuple[str, ...]
) -> None:
    own, config = tmp_path / "own.yaml", tmp_path / "config.yaml"
    own.write_text(text)
    config.write_text(f"metrics_files: [{own}]\ntargets: [{{name: a, engine: postgresql}}]\n")
    with pytest.raises(InvalidFile) as refused:
        configuration.load(config)
    said = "\n".join(str(problem) for problem in refused.value.problems)

    for sentence in sentences:
        assert sentence in said


async def test_files_of_other_tools_are_read_as_they_are(
    postgres15: ScratchPostgres, daemon_process: NewDaemon, tmp_path: Path
) -> None:
    (tmp_path / "queries.yaml").write_text(
        "pg_theirs:\n"
        "  query: SELECT 'a' AS kind, 7 AS number\n"
        "  metrics:\n"
        "    - kind: {usage: LABEL, description: What it is}\n"
        "    - number: {usage: GAUGE, description: How many}\n"
    )
    daemon = await daemon_process(postgres_target(postgres15), metrics_files=[str(tmp_path / "*.yaml")])
    await until(lambda: daemon.values("pg_theirs_number"))

    assert await daemon.value("pg_theirs_number", kind="a", target="db") == 7


async def _labels(daemon: Daemon) -> set[str]:
    lines = (await daemon.get("/metrics")).splitlines()
    return {line.split(" ")[0] for line in lines if line.startswith("own_explodes")}


async def _ran_again(daemon: Daemon, runs: dict[str, int]) -> bool:
    return (await daemon.probe("db", "explodes"))["runs"]["ok"] >= runs["ok"] + 2


def _names() -> list[str]:
    return [line[:-1] for line in OWN.splitlines() if line.endswith(":") and not line.startswith(" ")]
