"""What cannot be carried over from other tools' files is refused, with its line and the reason."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.definition import ProbeDef
from collectors.foreign_formats import load_any
from collectors.strict_yaml import InvalidFile

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


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "q:\n  query: select 1 as a\n  metrics:\n    - a: {usage: HISTOGRAM}\n",
            4,
            "HISTOGRAM cannot be carried over",
        ),
        ("q:\n  query: select 1 as a\n  metrics:\n    - a: {usage: GUAGE}\n", 4, "did you mean 'GAUGE'"),
        (
            "q:\n  query: select 1 as a\n  metrics:\n    - a: {usage: GAUGE}\n    - a: {usage: LABEL}\n",
            5,
            "twice",
        ),
        (
            "q:\n  query: select 1 as a\n  cache_second: 3\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "did you mean 'cache_seconds'",
        ),
        ("q:\n  query: select 1 as a\n  metrics: []\n", 3, "expected a list of columns"),
        (
            "q:\n  query: select 1 as a\n  runonserver: latest\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "'latest' is not",
        ),
        ("q:\n  query: ''\n  metrics:\n    - a: {usage: GAUGE}\n", 2, "query: expected a text"),
        ("q:\n  query: select 1\n  metrics:\n    - a: {usage: LABEL}\n", 1, "values"),
        (
            "q:\n  query: select 1 as target\n  metrics:\n    - target: {usage: LABEL}\n    - a: {usage: GAUGE}\n",
            4,
            "label",
        ),
        ("q:\n  query: show x\n  metrics:\n    - a: {usage: DURATION}\n", 1, "only a SELECT"),
        ("q:\n  query: select '{columns}' as a\n  metrics:\n    - a: {usage: GAUGE}\n", 2, "braces"),
        (
            "q:\n  query: select 1 as a\n  fatal: true\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "fatal cannot",
        ),
        ("q:\n  query: select 1 as a\n  timeout: -1\n  metrics:\n    - a: {usage: GAUGE}\n", 3, "deadline"),
        (
            "q:\n  query: select 1 as a\n  tags: [cluster, 'dbname:x']\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "'dbname:x'",
        ),
        (
            "q:\n  query: select 1 as a\n  tags: [pgbouncer]\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "engine pgbouncer",
        ),
        (
            "q:\n  query: select 1 as a\n  predicate_queries: [{name: x}]\n  metrics: [{a: {usage: GAUGE}}]\n",
            3,
            "predicate_queries cannot",
        ),
        (
            "q:\n  query: select 1 as a\n  ttl: often\n  metrics:\n    - a: {usage: GAUGE}\n",
            3,
            "ttl: expected a number",
        ),
        (
            "q:\n  query: x\n  min_version: 15\n  max_version: 14\n  metrics:\n    - a: {usage: GAUGE}\n",
            4,
            "no server",
        ),
        ("metrics:\n  m:\n    sqls:\n      14: select * from t\n", 4, "write them out"),
        ("metrics:\n  m:\n    sqls:\n      14: select 1 as a, 2 as a\n", 4, "two columns are named 'a'"),
        ("metrics:\n  m:\n    sqls:\n      14: select 1 + 1\n", 4, "give it one with `as`"),
        ("metrics:\n  m:\n    sqls:\n      fourteen: select 1 as a\n", 4, "not a version"),
        (
            "metrics:\n  m:\n    sqls: {14: select 1 as a}\n    init_sql: create extension x\n",
            4,
            "init_sql cannot",
        ),
        (
            "metrics:\n  m:\n    sqls: {14: select 1 as a}\n    node_status: leader\n",
            4,
            "neither primary nor standby",
        ),
        ("metrics:\n  m:\n    sqls: {14: select 1 as epoch_ns}\n", 3, "no column that is a value"),
        ("metrics:\n  m:\n    sqls: {14: select 1 as a}\n    gauge: [a]\n", 4, "did you mean 'gauges'"),
        ("a:\n  sql: select 1\nb:\n  query: select 1\n", 1, "two formats"),
    ],
)
def test_what_cannot_be_carried_over_is_named_with_its_line(
    refused: Callable, text: str, line: int, words: str
) -> None:
    problems = refused(text)
    assert any(one.startswith(f"{line}: ") and words in one for one in problems), problems


def test_all_mistakes_are_told_at_once(refused: Callable) -> None:
    problems = refused(
        """\
        a:
          query: select 1 as n
          metrics:
            - n: {usage: HISTOGRAM}
            - m: {usage: GAUGE}
        b:
          query: select 1 as n
          nonsense: 1
          metrics:
            - n: {usage: GAUGE}
        """
    )
    assert [one.partition(":")[0] for one in problems] == ["4", "8"]
