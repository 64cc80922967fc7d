"""Other tools' files of SQL metrics: what becomes of each key, and what is refused in which line."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.choose import choose
from collectors.definition import ProbeDef
from collectors.foreign_formats import format_of, load_any
from collectors.model import Kind, Scope
from collectors.postgresql.facts import Facts
from collectors.strict_yaml import InvalidFile, parse

Load = Callable[[str], dict[str, ProbeDef]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str) -> dict[str, ProbeDef]:
        path = tmp_path / "metrics.yaml"
        path.write_text(textwrap.dedent(text))
        return {probe.name: probe for probe in load_any(path, engine="postgresql")}

    return read


@pytest.fixture
def refused(load: Load) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        with pytest.raises(InvalidFile) as caught:
            load(text)
        return [f"{one.line}: {one.message} {one.hint}" for one in caught.value.problems]

    return read


def facts(version: int, *, replica: bool = False) -> Facts:
    return Facts(
        version_num=version,
        version="",
        database="d",
        user="u",
        in_recovery=replica,
        system_identifier="",
        started_at=0,
    )


def chosen(probes: dict[str, ProbeDef], version: int, *, replica: bool = False) -> list[str]:
    server = facts(version, replica=replica)
    queries, _ = choose(list(probes.values()), server.has, role=server.role, schema_of=str)
    return [query.probe.name for query in queries]


def metrics(probe: ProbeDef) -> dict[str, Kind]:
    return {metric.name: metric.kind for metric in probe.metrics}


POSTGRES_EXPORTER = """\
    pg_thing:
      query: "select current_database() as datname, 1 as size, 2 as seen, 'x' as junk;"
      master: true
      cache_seconds: 30
      metrics:
        - datname:
            usage: "LABEL"
            description: "Database"
        - size:
            usage: "GAUGE"
            description: "How large"
        - seen:
            usage: "COUNTER"
            description: "How often"
        - junk:
            usage: "DISCARD"
            description: "Nothing"
    """


def test_a_file_for_postgres_exporter_keeps_its_metric_names(load: Load) -> None:
    probe = load(POSTGRES_EXPORTER)["pg_thing"]
    assert metrics(probe) == {"pg_thing_size": Kind.GAUGE, "pg_thing_seen": Kind.COUNTER}
    assert probe.metrics[0].labels == ("datname",)
    assert probe.metrics[0].help == "How large"
    assert probe.info.every_seconds == 30
    assert probe.info.scope is Scope.SERVER
    assert probe.custom
    assert "{columns}" not in probe.sql
    assert not probe.sql.endswith(";")
    queries, _ = choose([probe], lambda _: True, role="primary", schema_of=str)
    assert queries[0].by_name == ("datname", "size", "seen")


def test_the_probe_says_in_which_line_it_stands(load: Load) -> None:
    assert load("\n\n" + textwrap.dedent(POSTGRES_EXPORTER))["pg_thing"].source.endswith("metrics.yaml:3")


def test_durations_and_words_become_numbers_in_the_query(load: Load) -> None:
    probe = load(
        """\
        q:
          query: select took, state from t -- and that is all
          metrics:
            - took: {usage: DURATION, description: d}
            - state: {usage: MAPPEDMETRIC, description: s, metric_mapping: {up: 1, "it's down": 0}}
        """
    )["q"]
    assert set(metrics(probe)) == {"q_took_milliseconds", "q_state"}
    assert "{columns}" in probe.sql
    assert "all\n) as q" in probe.sql, "the comment would swallow the bracket"
    expressions = {column: sql for column, sql, _, _ in probe.values}
    assert "'it''s down'" in expressions["state"]
    assert "interval" in expressions["took"]


def test_master_false_asks_every_database_and_tells_them_apart(load: Load) -> None:
    text = """\
        q:
          query: select 1 as n
          master: false
          metrics:
            - n: {usage: GAUGE, description: d}
        """
    probe = load(text)["q"]
    assert probe.info.scope is Scope.DATABASE
    assert probe.labels == (("datname", "pg_catalog.current_database()"),)


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        (">=13.0.0", {120009: False, 130000: True, 180001: True}),
        (">=10.0.0 <12.0.0 || >=15", {90624: False, 100000: True, 119999: True, 120000: False, 150002: True}),
        ("< 9.6.3", {90602: True, 90603: False}),
        (">15.1.0 <=16.0.0", {150001: False, 150002: True, 160000: True, 160001: False}),
        ("!=14.2.0", {140001: True, 140002: False, 140003: True}),
        ("15.4", {150003: False, 150004: True, 150005: False}),
    ],
)
def test_ranges_of_versions_are_kept(load: Load, text: str, versions: dict[int, bool]) -> None:
    probes = load(
        f"""\
        q:
          query: select 1 as n
          runonserver: "{text}"
          metrics:
            - n: {{usage: GAUGE, description: d}}
        """
    )
    assert {version: bool(chosen(probes, version)) for version in versions} == versions


PG_EXPORTER = """\
    thing_10_13:
      name: pg_thing
      desc: A thing, old
      query: select name, bytes, delay from old
      ttl: 10
      timeout: 0.5
      min_version: 100000
      max_version: 130000
      tags: [cluster]
      metrics:
        - name: {usage: LABEL, rename: thing, description: name}
        - bytes: {usage: GAUGE, rename: size_bytes, scale: 8192, default: 0, description: size}
        - delay: {usage: COUNTER, rename: delay_seconds, scale: "1e-3", description: d}
    thing_13:
      name: pg_thing
      query: select bytes from new
      min_version: 130000
      tags: [cluster, primary, "extension:pg_thing", slow]
      metrics:
        - bytes: {usage: GAUGE, rename: size_bytes, description: size}
    """


def test_a_collector_of_pg_exporter_keeps_names_scales_and_defaults(load: Load) -> None:
    probe = load(PG_EXPORTER)["thing_10_13"]
    assert metrics(probe) == {"pg_thing_size_bytes": Kind.GAUGE, "pg_thing_delay_seconds": Kind.COUNTER}
    assert probe.labels == (("thing", 'q."name"'),)
    expressions = {column: sql for column, sql, _, _ in probe.values}
    assert expressions["bytes"] == 'coalesce(q."bytes"::float8 * 8192.0::float8, 0.0::float8)'
    assert expressions["delay"] == 'q."delay"::float8 * 0.001::float8'
    assert probe.info.every_seconds == 10
    assert probe.info.within_seconds == 0.5
    assert probe.info.scope is Scope.SERVER


def test_branches_of_one_metric_exclude_each_other_by_version_and_tags(load: Load) -> None:
    probes = load(PG_EXPORTER)
    assert chosen(probes, 120004) == ["thing_10_13"]
    assert chosen(probes, 130000) == []
    assert probes["thing_13"].needs == ("version:>=100000", "version:>=130000", "extension:pg_thing")
    assert probes["thing_13"].role == "primary"
    assert not probes["thing_13"].default, "it ran only where pg_exporter was started with the tag"


def test_branches_that_overlap_are_refused(refused: Callable) -> None:
    text = PG_EXPORTER.replace("max_version: 130000", "max_version: 140000")
    (line,) = refused(text)
    assert "'pg_thing_size_bytes' is already given by 'thing_10_13'" in line


def test_a_query_of_pg_exporter_without_cluster_runs_in_each_database(load: Load) -> None:
    probe = load(
        """\
        q:
          query: select 1 as n
          ttl: 5
          metrics:
            - n: {usage: GAUGE}
        """
    )["q"]
    assert probe.info.scope is Scope.DATABASE
    assert dict(probe.labels)["datname"]
    assert probe.metrics[0].help


PGWATCH = """\
    metrics:
      table_things:
        description: Things of tables
        sqls:
          11: |
            select /* pgwatch_generated */
              (extract(epoch from now()) * 1e9)::int8 as epoch_ns,
              quote_ident(relname) as tag_table,
              count(*)::int8 as n,
              sum(x) total
            from t;
          14: |
            with a as (select 1 as inner_one, 2 as inner_two)
            select (extract(epoch from now()) * 1e9)::int8 as epoch_ns, relname as tag_table, n from a
          17: ";"
        gauges: [n]
        node_status: standby
        statement_timeout_seconds: 300
        metric_storage_name: things
      instance:
        sqls: {12: "select 1 as value"}
        gauges: ['*']
        is_instance_level: true
    presets:
      mine: {description: x, metrics: {table_things: 60, instance: 120}}
    """


def test_a_metric_of_pgwatch_is_read_from_the_querys_columns(load: Load) -> None:
    probes = load(PGWATCH)
    assert set(probes) == {"table_things_11", "table_things_14", "instance"}
    old = probes["table_things_11"]
    assert metrics(old) == {"pgwatch_things_n": Kind.GAUGE, "pgwatch_things_total": Kind.COUNTER}
    assert old.metrics[0].labels == ("dbname", "table")
    assert dict(old.labels)["table"] == 'q."tag_table"'
    assert old.info.scope is Scope.DATABASE
    assert old.info.within_seconds == 300
    assert old.info.every_seconds == 60
    assert old.role == "replica"
    instance = probes["instance"]
    assert instance.info.scope is Scope.SERVER
    assert metrics(instance) == {"pgwatch_instance_value": Kind.GAUGE}
    assert instance.info.every_seconds == 120


def test_the_query_of_the_right_version_is_chosen_and_an_empty_one_ends_it(load: Load) -> None:
    probes = load(PGWATCH)
    assert [one for one in chosen(probes, 130000, replica=True) if one != "instance"] == ["table_things_11"]
    assert [one for one in chosen(probes, 160000, replica=True) if one != "instance"] == ["table_things_14"]
    assert chosen(probes, 170000, replica=True) == ["instance"]
    assert chosen(probes, 160000) == ["instance"]


def test_our_own_format_is_read_as_ever(load: Load) -> None:
    probe = load(
        """\
        mine:
          sql: select 1 as n
          values:
            n: {metric: my_n, kind: gauge, help: N.}
        """
    )["mine"]
    assert metrics(probe) == {"my_n": Kind.GAUGE}


def test_presets_that_disagree_are_refused(refused: Callable) -> None:
    text = PGWATCH.rstrip(" ") + "      other: {metrics: {instance: 60}}\n"
    (line,) = refused(text)
    assert "two intervals, 120 and 60" in line


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (POSTGRES_EXPORTER, "postgres_exporter"),
        (PG_EXPORTER, "pg_exporter"),
        (PGWATCH, "pgwatch"),
        ("q:\n  query: select\n  metrics:\n    - a: {usage: GAUGE, scale: 2}\n", "pg_exporter"),
        ("mine:\n  sql: select\n", "dbarchitect"),
        ("", "dbarchitect"),
    ],
)
def test_formats_are_told_apart_by_their_shape(text: str, known: str) -> None:
    assert format_of(parse(textwrap.dedent(text), "f")) == known


def test_needs_of_a_version_are_met_by_number_and_by_name() -> None:
    server = facts(150004)
    assert server.has("version:>=15")
    assert server.has("version:>=15.4")
    assert server.has("version:>=150004")
    assert server.has("version:<16")
    assert not server.has("version:>=15.5")
    assert not server.has("version:<15.4")
    assert not server.has("version:latest")
    assert facts(90603).has("version:>=9.6.3")
    assert not facts(90603).has("version:>=10")
