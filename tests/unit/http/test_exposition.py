from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import daemon.block
from collectors.model import Kind, Target
from daemon.http.exposition import families_of, render
from tests.unit.snapshot.making import Clock, answers, frame, give, lines, metric, page, probe, snapshot_of


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks with a handful of rows."""
    monkeypatch.setattr(daemon.block, "ROWS", 8)


def parsed(text: str) -> set[tuple[str, frozenset[tuple[str, str]], str]]:
    """Return the samples of a page; numbers that are equal read the same."""
    return {
        (sample.name, frozenset(sample.labels.items()), repr(sample.value + 0.0))
        for family in parse_text(text)
        for sample in family.samples
    }


async def test_every_series_carries_target_cluster_and_the_targets_labels() -> None:
    target = Target(
        name='d"b', engine="postgresql", cluster="shop", labels=(("env", "prod"), ("team", "a\\b"))
    )
    snapshot = snapshot_of(target)
    give(snapshot, frame([metric("pg_size_bytes", "datname")], {("app",): [5]}), target='d"b')
    assert await lines(snapshot) == [
        'pg_size_bytes{target="d\\"b",cluster="shop",env="prod",team="a\\\\b",datname="app"} 5'
    ]


async def test_a_family_is_named_once_and_stands_together_across_targets_and_probes() -> None:
    snapshot = snapshot_of(*(Target(name=name, engine="postgresql") for name in ("a", "b", "c")))
    one, two = metric("pg_one", "x"), metric("pg_two", "x")
    for name in ("a", "b", "c"):
        answers(snapshot, name)
        give(snapshot, frame([one, two], {("1",): [1, 2]}), target=name)
        give(snapshot, frame([two], {("2",): [3]}), target=name, info=probe("q"))
    text = await page(snapshot)
    assert re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) == ["pg_one", "pg_two", "pg_up"]
    assert re.findall(r"^# HELP (\S+)", text, re.MULTILINE) == ["pg_one", "pg_two", "pg_up"]
    names = [line.partition("{")[0] for line in text.split("\n") if line and line[0] != "#"]
    assert names == ["pg_one"] * 3 + ["pg_two"] * 6 + ["pg_up"] * 3


async def test_types_follow_the_names_so_that_no_reader_complains() -> None:
    snapshot = snapshot_of()
    counter = Kind.COUNTER
    metrics = [
        metric("pg_commits_total", "d", kind=counter),
        metric("pg_stat_database_xact_commit", "d", kind=counter),
        metric("pg_stat_activity_count", "d"),
        metric("pg_up_since_seconds", "d"),
        metric("pg_odd_total", "d"),
    ]
    give(snapshot, frame(metrics, {("x",): [1, 2, 3, 4, 5]}))
    text = await page(snapshot)
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE)) == {
        "pg_commits_total": "counter",
        "pg_stat_database_xact_commit": "untyped",
        "pg_stat_activity_count": "untyped",
        "pg_up_since_seconds": "gauge",
        "pg_odd_total": "untyped",
    }
    openmetrics = await page(snapshot, openmetrics=True)
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)", openmetrics, re.MULTILINE)) == {
        "pg_commits": "counter",
        "pg_stat_database_xact_commit": "unknown",
        "pg_stat_activity_count": "unknown",
        "pg_up_since_seconds": "gauge",
        "pg_odd_total": "unknown",
    }
    assert openmetrics.endswith("\n# EOF\n")
    samples = {s.name: s.value for family in parse_openmetrics(openmetrics) for s in family.samples}
    assert samples == {
        "pg_commits_total": 1.0,
        "pg_stat_database_xact_commit": 2.0,
        "pg_stat_activity_count": 3.0,
        "pg_up_since_seconds": 4.0,
        "pg_odd_total": 5.0,
    }


async def test_a_counter_whose_stem_is_another_metric_is_left_untyped_in_openmetrics() -> None:
    snapshot = snapshot_of()
    metrics = [metric("pg_x_total", "d", kind=Kind.COUNTER), metric("pg_x", "d")]
    give(snapshot, frame(metrics, {("x",): [1, 2]}))
    text = await page(snapshot, openmetrics=True)
    assert {s.name: s.value for f in parse_openmetrics(text) for s in f.samples} == {
        "pg_x_total": 1,
        "pg_x": 2,
    }


async def test_targets_that_disagree_on_a_kind_make_the_family_untyped() -> None:
    snapshot = snapshot_of(Target(name="a", engine="postgresql"), Target(name="b", engine="postgresql"))
    give(snapshot, frame([metric("x_total", kind=Kind.COUNTER)], {(): [1]}), target="a")
    give(snapshot, frame([metric("x_total", kind=Kind.GAUGE)], {(): [1]}), target="b")
    assert "# TYPE x_total untyped" in await page(snapshot)


async def test_older_names_are_shown_only_when_asked_for() -> None:
    snapshot = snapshot_of()
    new = metric("pg_new", "d", aliases=("pg_old", "pg_taken"))
    give(snapshot, frame([new, metric("pg_taken", "d")], {('q"\n',): [1, 2], ("r",): [3, 4]}))
    assert "pg_old" not in await page(snapshot)
    text = await page(snapshot, aliases=True)
    values = {(s.name, s.labels["d"]): s.value for f in parse_text(text) for s in f.samples}
    assert values == {
        ("pg_new", 'q"\n'): 1,
        ("pg_new", "r"): 3,
        ("pg_old", 'q"\n'): 1,
        ("pg_old", "r"): 3,
        ("pg_taken", 'q"\n'): 2,
        ("pg_taken", "r"): 4,
    }


async def test_a_label_that_the_target_has_itself_is_moved_aside() -> None:
    target = Target(name="t", engine="postgresql", labels=(("env", "prod"),))
    snapshot = snapshot_of(target)
    give(snapshot, frame([metric("m", "target", "env", "x")], {("other", "test", "1"): [1]}), target="t")
    assert await lines(snapshot) == [
        'm{target="t",env="prod",exported_target="other",exported_env="test",x="1"} 1'
    ]


async def test_probes_can_be_chosen_and_up_stays() -> None:
    snapshot = snapshot_of()
    answers(snapshot)
    give(snapshot, frame([metric("a")], {(): [1]}), info=probe("first"))
    give(snapshot, frame([metric("b")], {(): [1]}), info=probe("second"))
    text = await page(snapshot, probes=frozenset({"second"}))
    assert sorted(name for name, _, _ in parsed(text)) == ["b", "pg_up"]


async def test_families_without_any_value_are_not_named() -> None:
    snapshot = snapshot_of()
    give(snapshot, frame([metric("a"), metric("b")], {(): [None, 1]}))
    assert "a" not in dict(re.findall(r"^# TYPE (\S+) (\S+)", await page(snapshot), re.MULTILINE))


async def test_a_page_shows_one_moment_even_if_records_come_in_while_it_is_made() -> None:
    snapshot = snapshot_of()
    metrics = [metric("a", "x"), metric("b", "x")]
    give(snapshot, frame(metrics, {(str(i),): [1, 1] for i in range(30)}))
    families = families_of(snapshot.states().values())
    give(snapshot, frame(metrics, {(str(i),): [2, 2] for i in range(30)}))
    answers(snapshot, up=False)
    text = b"".join([piece async for piece in render(families)]).decode()
    assert {value for _, _, value in parsed(text)} == {"1.0"}
    assert len(parsed(text)) == 60


async def test_a_target_that_nobody_scrapes_keeps_no_text() -> None:
    clock = Clock()
    snapshot = snapshot_of(clock=clock)
    give(snapshot, frame([metric("a", "x")], {(str(i),): [1] for i in range(40)}))
    before = await page(snapshot)
    state = snapshot.states()["db1"]
    block = state.held["p", ""].blocks[0]
    assert block._text
    clock.now += 301
    answers(snapshot)
    assert not block._text
    give(snapshot, frame([metric("a", "x")], {(str(i),): [1] for i in range(40)}))
    assert before in await page(snapshot)


KEYS = st.lists(
    st.sampled_from([(c, d) for c in "abc" for d in ("1", "2", '"\\', "ü")]), unique=True, max_size=12
)
VALUES = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([0.5, float("nan"), float("inf"), 1.0]))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, list[tuple[str, str]], list[list[object]], bool]]:
    """Sequences of (what to do, keys, columns, scrape afterwards)."""
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        keys = draw(KEYS)
        if steps and draw(st.booleans()):
            keys = list(steps[-1][1])
        columns = [draw(st.lists(VALUES, min_size=len(keys), max_size=len(keys))) for _ in range(2)]
        if steps and steps[-1][1] == keys and draw(st.booleans()):
            columns = [list(column) for column in steps[-1][2]]
            if keys and draw(st.booleans()):
                columns[0][draw(st.integers(0, len(keys) - 1))] = draw(VALUES)
        what = draw(st.sampled_from(["frame", "frame", "frame", "down", "failure"]))
        steps.append((what, keys, columns, draw(st.booleans())))
    return steps


@given(histories())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
async def test_rendering_step_by_step_equals_rendering_anew(history: list) -> None:
    metrics = [metric("a", "x", "y"), metric("b", "x", "y")]
    kept = snapshot_of()
    last: tuple[list, list] | None = None
    for what, keys, columns, scrape in history:
        answers(kept)
        if what == "down":
            answers(kept, up=False)
            last = None
        elif what == "frame":
            give(kept, frame(metrics, {key: [c[i] for c in columns] for i, key in enumerate(keys)}))
            last = (keys, columns)
        if scrape:
            await page(kept)
    fresh = snapshot_of()
    answers(fresh, up=kept.states()["db1"].up.up)  # type: ignore[union-attr]
    if last is not None:
        give(fresh, frame(metrics, {key: [c[i] for c in last[1]] for i, key in enumerate(last[0])}))
    assert parsed(await page(kept)) == parsed(await page(fresh))
    order = [line.rpartition(" ")[0] for line in await lines(kept)]
    assert order == [line.rpartition(" ")[0] for line in await lines(fresh)]
