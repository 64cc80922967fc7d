"""Reading /metrics."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from daemon.http.text import number, rows_of
from daemon.terminal.reading import parse

_values = st.floats(allow_nan=False) | st.integers(-(10**18), 10**18)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30), _values), max_size=20))
def test_what_the_daemon_writes_is_read_as_prometheus_reads_it(rows: list) -> None:
    keys = [(one, other) for one, other, _ in rows]
    lines = rows_of('m_total{a="%s",b="%s"} ', keys)
    text = "# HELP m_total x\n# TYPE m_total counter\n" + "".join(
        f"{line}{number(value)}\n" for line, (_, _, value) in zip(lines, rows, strict=True)
    )
    ours = parse(text, 0.0).series("m_total")
    theirs = {
        tuple(sample.labels.items()): float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert dict(ours) == theirs
    assert parse(text, 0.0).counters == {"m_total"}


def test_only_the_named_metrics_are_read() -> None:
    text = 'a 1\na_b 2\nab{x="1"} 3\n'
    assert parse(text, 0.0, {"a"}).families == {"a": {(): 1.0}}


def test_labels_that_say_whose_series_it_is_are_left_out() -> None:
    reading = parse('m{target="t",cluster="c",x="1"} 2\n', 0.0)
    assert reading.families == {"m": {(("x", "1"),): 2.0}}


def test_braces_quotes_and_line_ends_in_labels_are_read() -> None:
    reading = parse(r'm{q="select \"}\" from a\\b\nwhere {x=\"1\"}"} 1', 0.0)
    assert reading.families == {"m": {(("q", 'select "}" from a\\b\nwhere {x="1"}'),): 1.0}}


def test_times_special_numbers_and_strange_lines_do_no_harm() -> None:
    reading = parse("a +Inf\nb NaN\nc 1 1700000000\nthis is no metric line\n{} 1\nd x\n# EOF\n", 0.0)
    assert reading.series("a") == {(): math.inf}
    assert math.isnan(reading.series("b")[()])
    assert reading.series("c") == {(): 1.0}
    assert set(reading.families) == {"a", "b", "c"}
