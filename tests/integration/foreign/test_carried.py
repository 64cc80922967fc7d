"""Queries of other tools' files, carried over and asked of a real server."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.foreign_formats import load_any
from collectors.foreign_formats.select_list import output_columns
from collectors.model import Observation, Target
from collectors.registry import engines
from tests.fixtures.clients import connected

Ask = Callable[[str], Awaitable[dict[str, Observation]]]


@pytest.fixture
async def ask(postgres15: ScratchPostgres, tmp_path: Path) -> AsyncIterator[Ask]:
    """Load a file's text, run each of its probes, return the answers by probe."""
    engine = engines()["postgresql"]
    made = []

    async def run(text: str) -> dict[str, Observation]:
        path = tmp_path / "metrics.yaml"
        path.write_text(textwrap.dedent(text))
        custom = load_any(path, engine="postgresql")
        options = {
            "host": postgres15.host,
            "port": postgres15.port,
            "user": postgres15.superuser,
            "password": {"text": postgres15.password},
            "tls": {"mode": "disable"},
        }
        wanted = (("*", False), *((probe.name, True) for probe in custom))
        target = Target(
            name="t", engine="postgresql", options=engine.options.model_validate(options), probes=wanted
        )
        observer = engine.observe(target, custom)
        made.append(observer)
        up = await observer.up()
        assert up.up, up.failure
        return {info.name: await observer.run(info.name, "postgres") for info in observer.plan()}

    yield run
    for observer in made:
        await observer.close()


def samples(observation: Observation) -> dict:
    assert observation.failure is None, observation.failure
    return {
        (sample.name, sample.labels): sample.value
        for frame in observation.frames
        for sample in frame.samples()
    }


async def test_every_usage_of_postgres_exporter_gives_its_number(ask: Ask) -> None:
    answers = await ask(
        """\
        q:
          query: |
            select 'a' as who, 5 as n, 2.5::numeric as m, true as yes, null::int as none,
              '1h2m3.5s' as took, '-1' as never, 'standby' as state, 'lost' as other, 'x' as junk -- all
          metrics:
            - who: {usage: LABEL, description: w}
            - n: {usage: COUNTER, description: d}
            - m: {usage: GAUGE, description: d}
            - yes: {usage: GAUGE, description: d}
            - none: {usage: GAUGE, description: d}
            - took: {usage: DURATION, description: d}
            - never: {usage: DURATION, description: d}
            - state: {usage: MAPPEDMETRIC, metric_mapping: {primary: 1, standby: 2}, description: d}
            - other: {usage: MAPPEDMETRIC, metric_mapping: {primary: 1, standby: 2}, description: d}
            - junk: {usage: DISCARD, description: d}
        """
    )
    label = (("who", "a"),)
    assert samples(answers["q"]) == {
        ("q_n", label): 5,
        ("q_m", label): 2.5,
        ("q_yes", label): 1,
        ("q_took_milliseconds", label): 3723500,
        ("q_state", label): 2,
    }


async def test_scale_default_and_rename_of_pg_exporter_give_its_number(ask: Ask) -> None:
    answers = await ask(
        """\
        q:
          name: pg_q
          query: select 'a' as "who is", 3 as pages, null::int as lost, 1500 as ms order by 1;
          tags: [cluster]
          metrics:
            - who is: {usage: LABEL, rename: who}
            - pages: {usage: GAUGE, rename: bytes, scale: 8192}
            - lost: {usage: GAUGE, scale: 2, default: 7}
            - ms: {usage: COUNTER, rename: seconds, scale: 1e-3}
        old:
          name: pg_q
          query: select no_such_column from no_such_table
          max_version: 100000
          metrics:
            - x: {usage: GAUGE}
        """
    )
    label = (("who", "a"),)
    assert set(answers) == {"q"}
    assert samples(answers["q"]) == {
        ("pg_q_bytes", label): 24576,
        ("pg_q_lost", label): 7,
        ("pg_q_seconds", label): 1.5,
    }


async def test_a_metric_of_pgwatch_names_its_database(ask: Ask) -> None:
    answers = await ask(
        """\
        metrics:
          m:
            sqls:
              11: |
                with x as (select 1 as a)
                select (extract(epoch from now()) * 1e9)::int8 as epoch_ns, 't' as tag_table, count(*) total from x;
              99: select 1 as total
            gauges: [total]
        """
    )
    assert samples(answers["m_11"]) == {("pgwatch_m_total", (("dbname", "postgres"), ("table", "t"))): 1}
    assert set(answers) == {"m_11"}


async def test_two_columns_of_one_name_are_a_failure_and_not_a_guess(ask: Ask) -> None:
    answers = await ask(
        """\
        plain:
          query: select 1 as n, 2 as n
          metrics: [{n: {usage: GAUGE, description: d}}]
        wrapped:
          query: select '1s' as n, '2s' as n
          metrics: [{n: {usage: DURATION, description: d}}]
        """
    )
    assert "two columns named n" in answers["plain"].failure.message
    assert "ambiguous" in answers["wrapped"].failure.message


async def test_a_column_that_does_not_come_is_named(ask: Ask) -> None:
    answers = await ask("q:\n  query: select 1 as a\n  metrics: [{b: {usage: GAUGE, description: d}}]\n")
    assert "no column b" in answers["q"].failure.message


@pytest.mark.parametrize(
    "sql",
    [
        'select A, "B c" from (select 1 as a, 2 as "B c") x',
        "select 1 as x, 2 y, 'a,b' as \"Z\", $$from, here$$ t",
        "select count(*), coalesce(1, 2), pg_catalog.now(), max(3)::float8",
        "select oid::int8, datname from pg_catalog.pg_database",
        "with a as (select 1 as q), b as (select 3 as z) select q, (select z from b) as w from a",
        "select distinct on (datname) datname, oid from pg_catalog.pg_database",
        "select extract(epoch from now()) e, now() at time zone 'utc' as t, null is null as n",
        "select array[1, 2] as y, (array[1, 2])[1] as z",
        "select 1 as a union all select 2 as b",
        "select sum(1) filter (where true) as s, rank() over (order by 1) r",
    ],
)
async def test_columns_read_from_a_text_are_those_that_postgresql_gives(
    postgres15: ScratchPostgres, sql: str
) -> None:
    async with connected(postgres15) as connection:
        prepared = await connection.prepare(sql)
        assert output_columns(sql) == [attribute.name for attribute in prepared.get_attributes()]
