"""The names of a query's columns, read from its text; PostgreSQL itself is asked in the integration test."""

from __future__ import annotations

import pytest

from collectors.foreign_formats.select_list import Unnamed, output_columns


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select a, b from t", ["a", "b"]),
        ('SELECT A, "B c", t.D, s.t."e""f" FROM t', ["a", "B c", "d", 'e"f']),
        ("select 1 as x, 2 y, 'a,b' as \"Z\"", ["x", "y", "Z"]),
        ("select count(*), coalesce(a, b), pg_catalog.now()", ["count", "coalesce", "now"]),
        ("select a::int8, count(*)::float8 as n, x::numeric(10, 2) y", ["a", "n", "y"]),
        ("select (select max(a) from t) as m, case when a then 1 else 2 end as c from t", ["m", "c"]),
        ("select extract(epoch from now() - x) as from_start from t", ["from_start"]),
        ("with a as (select 1 as q, 2 as w), b as (select 3) select q, w from a", ["q", "w"]),
        ("select distinct on (a, b) a, c from t", ["a", "c"]),
        ("select all a from t", ["a"]),
        ("select a -- the, first\n, b /* from, here */ as x from t", ["a", "x"]),
        ("select $$from, here$$ as t, $x$,$x$ as u", ["t", "u"]),
        ("select a[1] as x, array[1, 2] as y from t", ["x", "y"]),
        ("select a from t union all select b from u", ["a"]),
        ("select a at time zone 'utc' as t, b is null as n", ["t", "n"]),
        ("select E'it\\'s, from' as a, 'it''s, from' as b", ["a", "b"]),
        ("select 1 as a;", ["a"]),
        (
            "select sum(x) filter (where y > 0) as s, rank() over (partition by a order by b) r from t",
            ["s", "r"],
        ),
    ],
)
def test_names_are_those_that_postgresql_gives(sql: str, columns: list[str]) -> None:
    assert output_columns(sql) == columns


@pytest.mark.parametrize(
    "sql",
    [
        "select *",
        "select t.*, 1 as a from t",
        "select 1",
        "select a + b from t",
        "select a is null from t",
        "select a and b from t",
        "select case when a then b end from t",
        "select 'text'",
        "select null",
        "select a at time zone 'utc' from t",
        "values (1)",
        "(select 1 as a) union (select 2)",
        "select a,, b",
        "select ",
    ],
)
def test_a_name_that_cannot_be_told_is_asked_for(sql: str) -> None:
    with pytest.raises(Unnamed):
        output_columns(sql)
