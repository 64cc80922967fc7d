from __future__ import annotations

from collectors.model import Cost, Failure, Frame, Rejection, Target
from daemon.snapshot import Snapshot
from tests.unit.snapshot.making import Clock, answers, frame, give, lines, metric, page, probe, snapshot_of

A = metric("a", "x")
TIMED_OUT = Failure("timed_out", "the deadline of 2 s passed")


async def test_nothing_is_said_of_a_target_that_was_not_asked_yet() -> None:
    assert await page(snapshot_of()) == ""


async def test_a_target_that_is_down_shows_zero_and_nothing_else_at_once() -> None:
    snapshot = snapshot_of()
    answers(snapshot)
    give(snapshot, frame([A], {("1",): [1]}))
    answers(snapshot, up=False, at=9.0)
    assert await lines(snapshot) == ['pg_up{target="db1"} 0']
    state = snapshot.states()["db1"]
    assert (state.since, state.last_seen) == (9.0, 5.0)
    give(snapshot, frame([A], {("1",): [1]}))
    assert await lines(snapshot) == ['pg_up{target="db1"} 0'], "an answer that came too late was shown"


async def test_a_failed_run_keeps_what_was_seen_until_it_is_too_old() -> None:
    clock = Clock()
    snapshot = snapshot_of(clock=clock)
    slow = probe("p", every=60, within=5)
    give(snapshot, frame([A], {("1",): [1]}), info=slow)
    clock.now += 100
    give(snapshot, info=slow, failure=TIMED_OUT)
    assert snapshot.states()["db1"].probes["p"].failures == {"": TIMED_OUT}
    assert len(await lines(snapshot)) == 1
    clock.now += 79
    assert len(await lines(snapshot)) == 1
    clock.now += 1
    assert await lines(snapshot) == []


async def test_a_slow_answer_gets_twice_its_deadline_before_it_is_too_old() -> None:
    clock = Clock()
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", interval_seconds=1), clock=clock)
    give(snapshot, frame([A], {("1",): [1]}), info=probe("p", within=30))
    clock.now += 60
    assert len(await lines(snapshot)) == 1
    clock.now += 1
    assert await lines(snapshot) == []


async def test_a_good_run_ends_the_failure_of_its_database_only() -> None:
    snapshot = snapshot_of()
    for database in ("one", "two"):
        give(snapshot, database=database, failure=TIMED_OUT)
    give(snapshot, frame([A], {("1",): [1]}), database="one")
    state = snapshot.states()["db1"].probes["p"]
    assert state.failures == {"two": TIMED_OUT}
    assert state.runs == {"timed_out": 2, "ok": 1}
    snapshot.keep_databases("db1", ["one"])
    assert state.failures == {}


async def test_dropped_databases_and_probes_are_forgotten() -> None:
    snapshot = snapshot_of()
    b = metric("b", "datname")
    for database in ("one", "two"):
        give(snapshot, frame([b], {(database,): [1]}), database=database)
    give(snapshot, frame([A], {("1",): [1]}), info=probe("q"))
    snapshot.keep_databases("db1", ["two"])
    assert await lines(snapshot) == ['a{target="db1",x="1"} 1', 'b{target="db1",datname="two"} 1']
    snapshot.skip("db1", "up", "busy")
    snapshot.keep_probes("db1", ["q"])
    assert await lines(snapshot) == ['a{target="db1",x="1"} 1']
    assert sorted(snapshot.states()["db1"].probes) == ["q", "up"]


async def test_a_new_answer_replaces_the_old_one_whole() -> None:
    snapshot = snapshot_of()
    give(snapshot, frame([A], {("1",): [1]}), frame([metric("b")], {(): [1]}))
    give(snapshot, frame([A], {("2",): [2]}))
    assert await lines(snapshot) == ['a{target="db1",x="2"} 2']
    give(snapshot)
    assert await lines(snapshot) == []


async def test_a_removed_target_is_gone_and_a_late_answer_for_it_is_ignored() -> None:
    snapshot = snapshot_of()
    snapshot.remove_target("db1")
    give(snapshot, frame([A], {("1",): [1]}))
    answers(snapshot)
    snapshot.skip("db1", "p", "busy")
    snapshot.reject("db1", [Rejection("p", "", "why")])
    snapshot.keep_probes("db1", [])
    snapshot.keep_databases("db1", [])
    assert await page(snapshot) == ""


async def test_a_frame_of_the_wrong_shape_is_a_failure_and_spoils_no_page() -> None:
    snapshot = snapshot_of()
    give(snapshot, frame([A], {("1",): [1]}))
    for wrong in (
        Frame((A,), [("1",)], [[1, 2]]),
        Frame((A,), [("1",)], []),
        Frame((A,), [("1", "2")], [[1]]),
        Frame((A, metric("b")), [("1",)], [[1], [1]]),
    ):
        give(snapshot, wrong)
        assert snapshot.states()["db1"].probes["p"].failures[""].cause == "malformed"
        assert await lines(snapshot) == ['a{target="db1",x="1"} 1']


async def test_the_cap_keeps_cheap_probes_and_counts_what_it_leaves_out() -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=10))
    wide = [metric("w1", "x"), metric("w2", "x"), metric("w3", "x")]
    rows = {(str(i),): [i, i, i] for i in range(5)}
    give(snapshot, frame(wide, rows), info=probe("heavy", cost=Cost.HEAVY))
    assert len(await lines(snapshot)) == 9, "whole rows only"
    state = snapshot.states()["db1"]
    assert state.left_out() == {"heavy": 6}
    give(snapshot, frame([A], {(str(i),): [i] for i in range(7)}), info=probe("zlight"))
    found = await lines(snapshot)
    assert len([line for line in found if line.startswith("a{")]) == 7
    assert len(found) == 10
    assert state.left_out() == {"heavy": 12}
    answers(snapshot)
    assert len(await lines(snapshot)) == 11, "up does not count"


async def test_what_the_cap_let_in_stays_when_the_order_changes() -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=3))
    give(snapshot, frame([A], {(key,): [1] for key in "abcde"}))
    first = await lines(snapshot)
    give(snapshot, frame([A], {(key,): [1] for key in "edcba"}))
    assert sorted(await lines(snapshot)) == sorted(first)
    give(snapshot, frame([A], {(key,): [1] for key in "edcb"}))
    assert [line[-5] for line in await lines(snapshot)] == ["e", "c", "b"]


async def test_rows_that_come_twice_in_one_frame_are_shown_once() -> None:
    snapshot = snapshot_of()
    give(snapshot, Frame((A,), [("1",), ("2",), ("1",)], [[1, 2, 3]]))
    assert await lines(snapshot) == ['a{target="db1",x="1"} 1', 'a{target="db1",x="2"} 2']
    assert snapshot.states()["db1"].left_out() == {"p": 1}


async def test_one_series_from_two_databases_is_shown_once_until_one_is_gone() -> None:
    snapshot = snapshot_of()
    give(snapshot, frame([A], {("1",): [1]}), database="one")
    give(snapshot, frame([A], {("1",): [2], ("2",): [2]}), database="two")
    assert await lines(snapshot) == ['a{target="db1",x="1"} 1', 'a{target="db1",x="2"} 2']
    snapshot.keep_databases("db1", ["two"])
    give(snapshot, frame([A], {("1",): [3], ("2",): [3]}), database="two")
    assert await lines(snapshot) == ['a{target="db1",x="1"} 3', 'a{target="db1",x="2"} 3']


async def test_a_probe_cannot_say_again_whether_the_target_is_up() -> None:
    snapshot = snapshot_of()
    answers(snapshot)
    give(snapshot, frame([metric("pg_up")], {(): [0]}))
    assert await lines(snapshot) == ['pg_up{target="db1"} 1']


async def test_an_empty_label_is_the_same_as_none() -> None:
    snapshot = snapshot_of()
    give(snapshot, frame([metric("m", "x", "y")], {("1", ""): [1]}), info=probe("p"))
    give(snapshot, frame([metric("m", "x")], {("1",): [2], ("2",): [2]}), info=probe("q"))
    assert await lines(snapshot) == ['m{target="db1",x="1",y=""} 1', 'm{target="db1",x="2"} 2']


async def test_all_targets_together_have_a_cap_too() -> None:
    targets = [Target(name=name, engine="postgresql", series_max=5) for name in ("db1", "db2")]
    snapshot = Snapshot({}, Clock(), series_max_total=8)
    for target in targets:
        snapshot.add_target(target)
        give(snapshot, frame([A], {(key,): [1] for key in "abcdef"}), target=target.name)
    states = snapshot.states()
    assert (states["db1"].series, states["db2"].series) == (5, 3)
    assert (states["db1"].left_out(), states["db2"].left_out()) == ({"p": 1}, {"p": 3})
    snapshot.remove_target("db1")
    give(snapshot, frame([A], {(key,): [1] for key in "abcdef"}), target="db2")
    assert states["db2"].series == 5


async def test_one_name_twice_in_a_frame_is_shown_once_in_every_run() -> None:
    snapshot = snapshot_of()
    for value in (1, 2, 2):
        give(snapshot, Frame((A, A), [("1",), ("2",)], [[value, None], [3, 4]]))
        assert await lines(snapshot) == [f'a{{target="db1",x="1"}} {value}', 'a{target="db1",x="2"} 4']
