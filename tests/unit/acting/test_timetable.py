"""Schedules name each moment once."""

from __future__ import annotations

import datetime as dt
from collections import deque
from typing import Any

from actions.model import Incident, Mode
from actions.policy import Policy, Schedule
from collectors.model import Target
from daemon.acting.facts import Facts
from daemon.acting.timetable import Timetable
from daemon.snapshot import Snapshot
from rules.model import Place


class HandClock:
    def __init__(self, at: dt.datetime) -> None:
        self.at = at.timestamp()

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def table(clock: HandClock, cron: str, zone: str = "UTC", **more: Any) -> Timetable:
    snapshot = Snapshot({})
    for name, engine in (("pg1", "postgresql"), ("pg2", "postgresql"), ("h", "host")):
        snapshot.add_target(Target(name=name, engine=engine))
    policy = Policy(
        name="nightly",
        action="postgresql.vacuum",
        mode=Mode.AUTO,
        place=Place("p.yaml", 1, 1),
        schedule=Schedule(cron=cron, zone=zone),
        **more,
    )
    return Timetable(clock, Facts(snapshot), lambda: [policy], lambda _: "postgresql")


def moments(timetable: Timetable, clock: HandClock, hours: float, step: float = 60.0) -> list[float]:
    found: deque[Incident] = deque()
    for _ in range(int(hours * 3600 / step)):
        timetable.look(found)
        clock.at += step
    return [each.starts_at for each in found]


def test_each_target_of_the_engine_gets_one_incident_for_each_moment() -> None:
    clock = HandClock(dt.datetime(2026, 1, 1, 0, 30, tzinfo=dt.UTC))
    into: deque[Incident] = deque()
    timetable = table(clock, "0 2 * * *")
    timetable.look(into)
    assert not into
    clock.at += 5400
    timetable.look(into)
    timetable.look(into)
    assert [each.labels["target"] for each in into] == ["pg1", "pg2"]
    assert {each.source for each in into} == {"schedule"}


def test_a_fixed_time_comes_once_in_the_night_in_which_clocks_go_back() -> None:
    """F19."""
    clock = HandClock(dt.datetime(2026, 10, 24, 20, 0, tzinfo=dt.UTC))
    found = moments(table(clock, "30 2 * * *", "Europe/Berlin", targets=("pg1",)), clock, 14)
    assert len(found) == 1


def test_a_clock_that_is_set_back_names_no_moment_again() -> None:
    """F19."""
    clock = HandClock(dt.datetime(2026, 1, 1, 1, 59, tzinfo=dt.UTC))
    timetable = table(clock, "0 2 * * *", targets=("pg1",))
    assert len(moments(timetable, clock, 0.1)) == 1
    clock.at -= 3600
    assert moments(timetable, clock, 2) == []


def test_moments_that_a_jump_has_passed_over_are_skipped_but_for_the_last_minutes() -> None:
    """F19."""
    clock = HandClock(dt.datetime(2026, 1, 1, 1, 0, tzinfo=dt.UTC))
    timetable = table(clock, "*/30 * * * *", targets=("pg1",))
    moments(timetable, clock, 0.1)
    clock.at = dt.datetime(2026, 1, 3, 12, 2, tzinfo=dt.UTC).timestamp()
    found: deque[Incident] = deque()
    timetable.look(found)
    assert [each.starts_at for each in found] == [dt.datetime(2026, 1, 3, 12, 0, tzinfo=dt.UTC).timestamp()]


def test_a_moment_that_a_restart_has_missed_by_little_still_counts() -> None:
    clock = HandClock(dt.datetime(2026, 1, 1, 2, 0, 40, tzinfo=dt.UTC))
    found: deque[Incident] = deque()
    table(clock, "0 2 * * *", targets=("pg1",)).look(found)
    assert len(found) == 1
