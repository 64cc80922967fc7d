"""Prometheus' text format, as real exporters write it and as broken ones do."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

from collectors.exporter.text import NotMetrics, Scrape, parse
from collectors.model import Kind


def read(text: str, *, takes: Callable[[str], bool] = lambda _: True, open_metrics: bool = False) -> Scrape:
    ours = frozenset({"target", "cluster"})
    return parse(text.encode(), open_metrics=open_metrics, takes=takes, rename=ours)


def samples(scrape: Scrape) -> dict:
    return {(one.name, one.labels): one.value for frame in scrape.frames for one in frame.samples()}


def kind(scrape: Scrape, name: str) -> Kind:
    (found,) = {metric.kind for frame in scrape.frames for metric in frame.metrics if metric.name == name}
    return found


def test_a_counter_without_total_keeps_its_name() -> None:
    scrape = read("# TYPE patroni_xlog_location counter\npatroni_xlog_location 5\n")
    assert samples(scrape) == {("patroni_xlog_location", ()): 5}
    assert kind(scrape, "patroni_xlog_location") is Kind.COUNTER


def test_everything_that_prometheus_client_writes_is_read_back() -> None:
    registry = CollectorRegistry()
    counter = Counter("requests", "How \\ many\nof them", ["path"], registry=registry)
    counter.labels('a"b\\c\nd,e={}').inc(3)
    Gauge("heat", "Heat", registry=registry).set(-1.5)
    Histogram("took_seconds", "Took", ["x"], registry=registry, buckets=(1, 2)).labels("y").observe(1.5)
    Summary("size_bytes", "Size", registry=registry).observe(7)
    scrape = read(generate_latest(registry).decode())
    found = samples(scrape)
    assert found["requests_total", (("path", 'a"b\\c\nd,e={}'),)] == 3
    assert found["heat", ()] == -1.5
    assert found["took_seconds_bucket", (("le", "1.0"), ("x", "y"))] == 0
    assert found["took_seconds_bucket", (("le", "+Inf"), ("x", "y"))] == 1
    assert found["took_seconds_sum", (("x", "y"),)] == 1.5
    assert found["size_bytes_count", ()] == 1
    assert kind(scrape, "requests_total") is Kind.COUNTER
    assert kind(scrape, "took_seconds_bucket") is Kind.COUNTER
    assert kind(scrape, "size_bytes_sum") is Kind.COUNTER
    assert kind(scrape, "heat") is Kind.GAUGE
    (text,) = {m.help for f in scrape.frames for m in f.metrics if m.name == "requests_total"}
    assert text == "How \\ many\nof them"


def test_open_metrics_is_read_too() -> None:
    registry = CollectorRegistry()
    Counter("requests", "Many", ["path"], registry=registry).labels("/").inc(3)
    scrape = read(generate_open_metrics(registry).decode(), open_metrics=True)
    assert samples(scrape) == {("requests_total", (("path", "/"),)): 3}
    assert kind(scrape, "requests_total") is Kind.COUNTER


def test_labels_that_are_ours_are_renamed_as_prometheus_does() -> None:
    scrape = read('a{target="x",zone="z"} 1\nb{exported_target="y",target="x"} 2\n')
    assert samples(scrape) == {
        ("a", (("exported_target", "x"), ("zone", "z"))): 1,
        ("b", (("exported_target", "y"), ("exported_exported_target", "x"))): 2,
    }


def test_series_of_one_name_with_other_labels_are_frames_of_their_own() -> None:
    scrape = read('a 1\na{x="1"} 2\na{y="1",x="2"} 3\na{x="3",y="4"} 4\n')
    assert sorted(frame.metrics[0].labels for frame in scrape.frames) == [(), ("x",), ("x", "y")]
    assert samples(scrape)["a", (("x", "2"), ("y", "1"))] == 3


def test_a_series_that_comes_twice_counts_once() -> None:
    scrape = read('a{x="1",y="2"} 1\na{y="2",x="1"} 2\n')
    assert samples(scrape) == {("a", (("x", "1"), ("y", "2"))): 1}
    assert scrape.left_out == 1


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("a 1", 1),
        ("a\t1.5e3  ", 1500.0),
        ("a +Inf", math.inf),
        ("a -Inf", -math.inf),
        ("a 3 1395066363000", 3),
        ("a{} 4", 4),
        ('a { x = "1" , } 5', 5),
        ('a{x="} 9"} 6', 6),
        ("a 123456789012345678901234567890", 1.2345678901234568e29),
        ("a 7\r", 7),
    ],
)
def test_numbers_and_blanks(line: str, value: float) -> None:
    assert list(samples(read(line + "\n")).values()) == [value]


def test_not_a_number_stays_one() -> None:
    (value,) = samples(read("a NaN\n")).values()
    assert math.isnan(value)


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>Welcome</body></html>\n",
        "hello world\n",
        '{"status": "ok"}\n',
        "a\n",
        'a{x="1} 2\n',
        "a{x=1} 2\n",
        'a{x="1",x="2"} 3\n',
        "a 1_000\n",
        "a 0x10\n",
        'a{x="1"y="2"} 3\n',
        "1a 2\n",
    ],
)
def test_garbage_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(NotMetrics, match="line 2"):
        read("good 1\n" + text)


def test_bytes_that_are_no_text_do_not_stop_the_rest() -> None:
    scrape = parse(b'a{x="\xff"} 1\nb 2\n', open_metrics=False, takes=lambda _: True, rename=frozenset())
    assert samples(scrape)["b", ()] == 2


def test_what_is_not_wanted_is_not_kept() -> None:
    scrape = read("go_x 1\nnode_y 2\n", takes=lambda name: name.startswith("node_"))
    assert list(samples(scrape)) == [("node_y", ())]
