"""What the snapshot shows reaches the window as a Prometheus that scrapes would see it."""

from __future__ import annotations

import math

import pytest

from collectors.model import Frame, Target
from daemon.judge.feed import REPEAT_MS, Reader
from daemon.judge.writer import Writer
from daemon.snapshot import Snapshot
from rules.promql import Expression, Vector
from rules.window import Window
from tests.unit.snapshot.making import answers, give, metric, probe, snapshot_of

N = metric("pg_n", "relname")
T0 = 1_800_000_000_000


class Fed:
    """A snapshot and a window with the feed between them."""

    def __init__(self, *targets: Target) -> None:
        self.snapshot = snapshot_of(*(targets or (Target(name="db1", engine="postgresql"),)))
        self.window = Window()
        self.reader = Reader(self.snapshot, self.snapshot.engines)
        self.writer = Writer(self.window, {"job": "dbarchitect"})
        self.now = T0

    def look(self, after_ms: int = 10_000) -> None:
        self.now += after_ms
        self.writer.write(self.reader.look(self.now))

    def at(self, text: str) -> dict[str, float]:
        value = Expression(text).at(self.window, self.now)
        assert isinstance(value, Vector)
        return {labels.get("relname"): found for labels, found in value.items()}

    def samples(self, text: str) -> list[tuple[int, float]]:
        matrix = Expression(text).at(self.window, self.now)
        assert not isinstance(matrix, float | str | Vector)
        return [
            (int(t) - T0, float(v))
            for _, times, values in matrix.items()
            for t, v in zip(times, values, strict=True)
        ]


def rows(*pairs: tuple[str, float | None]) -> Frame:
    return Frame((N,), [(name,) for name, _ in pairs], [[value for _, value in pairs]])


@pytest.fixture
def fed() -> Fed:
    return Fed()


def test_series_carry_the_targets_labels_and_job_and_instance(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 5)
    fed.look()
    value = Expression("pg_n").at(fed.window, fed.now)
    assert isinstance(value, Vector)
    [(labels, number)] = value.items()
    assert number == 1
    assert (
        labels.as_dict().items()
        >= {"__name__": "pg_n", "target": "db1", "relname": "a", "job": "postgresql"}.items()
    )
    assert labels.get("instance")


def test_the_sample_has_the_time_of_the_answer(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 4)
    fed.look()
    assert fed.samples("pg_n[1m]") == [(4000, 1.0)]


def test_an_answer_from_the_future_has_the_time_of_the_look(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 999)
    fed.look()
    assert fed.samples("pg_n[1m]") == [(10_000, 1.0)]


def test_the_same_answer_is_written_once_and_repeated_after_a_minute(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 10, info=probe("p", every=600.0))
    for _ in range(13):
        fed.look()
    times = [at for at, _ in fed.samples("pg_n[5m]")]
    assert times == [10_000, 10_000 + REPEAT_MS, 10_000 + 2 * REPEAT_MS]


def test_a_series_that_is_gone_from_the_answer_has_ended(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1), ("b", 2)), at=T0 / 1000 + 5)
    fed.look()
    give(fed.snapshot, rows(("a", 3)), at=T0 / 1000 + 15)
    fed.look()
    assert fed.at("pg_n") == {"a": 3}


def test_an_unknown_value_is_absent_and_never_zero(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", None), ("b", 2)), at=T0 / 1000 + 5)
    fed.look()
    assert fed.at("pg_n") == {"b": 2}
    give(fed.snapshot, rows(("a", 7), ("b", None)), at=T0 / 1000 + 15)
    fed.look()
    assert fed.at("pg_n") == {"a": 7}


def test_nan_is_a_value(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", math.nan)), at=T0 / 1000 + 5)
    fed.look()
    assert math.isnan(fed.at("pg_n")["a"])


def test_a_target_that_is_down_has_up_0_and_no_other_series(fed: Fed) -> None:
    answers(fed.snapshot, at=T0 / 1000 + 1)
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 5)
    fed.look()
    assert fed.at("pg_n") == {"a": 1}
    answers(fed.snapshot, up=False, at=T0 / 1000 + 11)
    fed.look()
    assert fed.at("pg_n") == {}
    assert list(fed.at('up{target="db1"}').values()) == [0.0]


def test_a_target_that_left_the_configuration_leaves_the_window(fed: Fed) -> None:
    answers(fed.snapshot, at=T0 / 1000 + 1)
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 5)
    fed.look()
    fed.snapshot.remove_target("db1")
    fed.look()
    assert fed.at("pg_n") == {}
    assert fed.at("up") == {}


def test_older_names_are_written_when_a_rule_asks_for_them() -> None:
    fed = Fed()
    aliased = metric("pg_n", "relname", aliases=("pg_older_n",))
    give(fed.snapshot, Frame((aliased,), [("a",)], [[4]]), at=T0 / 1000 + 5)
    fed.look()
    assert fed.at("pg_older_n") == {"a": 4}


def test_what_no_rule_asks_for_is_not_kept() -> None:
    fed = Fed()
    fed.window.keep_by({"pg_m": 1000}.get)
    give(fed.snapshot, rows(("a", 1)), at=T0 / 1000 + 5)
    fed.look()
    assert list(fed.window.series()) == []


def test_labels_that_come_and_go_make_no_new_series_for_those_that_stay(fed: Fed) -> None:
    give(fed.snapshot, rows(("a", 1), ("b", 2)), at=T0 / 1000 + 5)
    fed.look()
    before = {id(labels) for labels in fed.window.series()}
    for second, pairs in ((15, (("b", 3), ("a", 4))), (25, (("a", 5), ("b", 6)))):
        give(fed.snapshot, rows(*pairs), at=T0 / 1000 + second)
        fed.look()
    assert fed.at("pg_n") == {"a": 5, "b": 6}
    assert {id(labels) for labels in fed.window.series()} == before


def test_the_snapshot_may_be_empty() -> None:
    snapshot = Snapshot({})
    assert Reader(snapshot, {}).look(T0).shown == []


def test_what_the_daemon_no_longer_says_of_itself_has_ended(fed: Fed) -> None:
    failing = metric("dbarchitect_rule_failing", "rule")
    for own in ([(failing, ("r",), 1)], [(metric("dbarchitect_build_info"), (), 1)]):
        fed.now += 10_000
        notes = fed.reader.look(fed.now)
        notes.own = own
        fed.writer.write(notes)
    value = Expression("dbarchitect_rule_failing").at(fed.window, fed.now)
    assert isinstance(value, Vector)
    assert len(value) == 0
