from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any

import pytest

from actions.guards.sight import Sight
from actions.guards.surroundings import can_open
from actions.model import ActionClass, Prediction
from actions.window import Window
from tests.fixtures.sights import NOW, a_plan, a_policy, a_sight, by_person, said

# NOW is Monday, 12:00 UTC, 13:00 in Berlin.
NEVER = Window(begin_minute=0, end_minute=60, days=())
TONIGHT = Window(begin_minute=22 * 60, end_minute=2 * 60, zone="Europe/Berlin")
AN_HOUR = Window(begin_minute=11 * 60, end_minute=13 * 60)
ALWAYS = Window(begin_minute=0, end_minute=1440)


def within(
    *windows: Window,
    seconds: float = 300.0,
    kind: ActionClass = ActionClass.B,
    urgent: bool = False,
    **changes: Any,
) -> Sight:
    plan = a_plan(action_class=kind, prediction=Prediction(duration_seconds=seconds))
    return a_sight(plan, policy=a_policy(windows=windows, urgent=urgent), **changes)


@pytest.mark.parametrize(
    ("guard", "sight", "allowed", "reason"),
    [
        ("dependency", a_sight(), True, "nothing underneath is broken"),
        (
            "dependency",
            a_sight(upstream=["HostDown shop-db-1", "DiskFull"]),
            False,
            "something underneath is broken: HostDown shop-db-1, DiskFull; repair that first",
        ),
        ("maintenance", a_sight(), True, "no other work on shop"),
        (
            "maintenance",
            a_sight(maintenance=["base backup since 11:40", "upgrade"]),
            False,
            "on shop there is work in progress: base backup since 11:40, upgrade; it is waited for",
        ),
        ("window", a_sight(), True, "may be done at any time"),
        ("window", by_person(), True, "may be done at any time"),
        ("window", within(AN_HOUR), True, "open for another 60.0 min"),
        ("window", within(AN_HOUR, seconds=1800.0), True, "open for another 60.0 min"),
        (
            "window",
            within(AN_HOUR, seconds=1801.0),
            False,
            "the window closes in 60.0 min, and 60.0 min are needed; the next one opens at 2026-11-24 11:00 UTC (windows are in UTC); `run now` begins it outside",
        ),
        ("window", within(AN_HOUR, seconds=0.0), True, "open for another 60.0 min"),
        (
            "window",
            within(AN_HOUR, seconds=-1.0),
            False,
            "the plan does not say how long it takes; make a new one",
        ),
        (
            "window",
            within(AN_HOUR, seconds=math.nan),
            False,
            "the plan does not say how long it takes; make a new one",
        ),
        (
            "window",
            within(ALWAYS, seconds=math.inf),
            False,
            "the plan does not say how long it takes; make a new one",
        ),
        ("window", within(ALWAYS, seconds=1e6), True, "open at any time"),
        (
            "window",
            within(TONIGHT),
            False,
            "outside its windows; the next one opens at 2026-11-23 21:00 UTC (windows are in Europe/Berlin); `run now` begins it outside",
        ),
        ("window", within(NEVER), False, "its windows never open; correct `windows` of the policy"),
        ("window", within(NEVER, AN_HOUR), True, "open for another 60.0 min"),
        (
            "window",
            within(TONIGHT, AN_HOUR, seconds=4000.0),
            False,
            "the window closes in 60.0 min, and 2.2 h are needed; the next one opens at 2026-11-23 21:00 UTC (windows are in Europe/Berlin); `run now` begins it outside",
        ),
        ("window", within(TONIGHT, run_now_by="anna"), True, "anna asked to begin now"),
        (
            "window",
            within(TONIGHT, urgent=True, kind=ActionClass.A),
            True,
            "urgent: may be begun outside its windows",
        ),
        (
            "window",
            within(TONIGHT, urgent=True, kind=ActionClass.B),
            True,
            "urgent: may be begun outside its windows",
        ),
        (
            "window",
            within(TONIGHT, urgent=True, kind=ActionClass.C),
            False,
            "outside its windows; the next one opens at 2026-11-23 21:00 UTC (windows are in Europe/Berlin); `run now` begins it outside",
        ),
        (
            "window",
            within(TONIGHT, urgent=True, kind=ActionClass.D),
            False,
            "outside its windows; the next one opens at 2026-11-23 21:00 UTC (windows are in Europe/Berlin); `run now` begins it outside",
        ),
    ],
)
def test_what_else_goes_on(guard: str, sight: Sight, allowed: bool, reason: str) -> None:
    result = said(guard, sight)
    assert (result.guard, result.allowed, result.reason) == (guard, allowed, reason)


def test_what_they_looked_at_is_kept() -> None:
    assert said("dependency", a_sight()).inputs == {"upstream": []}
    assert said("dependency", a_sight(upstream=("x",))).inputs == {"upstream": ["x"]}
    assert said("maintenance", a_sight()).inputs == {"maintenance": []}
    assert said("maintenance", a_sight(maintenance=("x",))).inputs == {"maintenance": ["x"]}
    assert said("window", a_sight()).inputs == {"windows": 0}
    assert said("window", within(TONIGHT, run_now_by="anna")).inputs == {"run_now_by": "anna"}
    assert said("window", within(TONIGHT, urgent=True)).inputs == {"urgent": True}
    looked = {"windows": 1, "closes_in_seconds": 3600.0, "needed_seconds": 600.0}
    assert said("window", within(AN_HOUR)).inputs == looked
    tomorrow = dt.datetime(2026, 11, 24, 11, tzinfo=dt.UTC).timestamp()
    late = looked | {"needed_seconds": 3602.0, "opens_at": tomorrow}
    assert said("window", within(AN_HOUR, seconds=1801.0)).inputs == late
    assert said("window", within(AN_HOUR, seconds=-1.0)).inputs == looked | {"needed_seconds": -2.0}
    closed = {"windows": 1, "closes_in_seconds": 0.0, "needed_seconds": 600.0}
    assert said("window", within(TONIGHT)).inputs == closed | {"opens_at": NOW + 9 * 3600}
    assert said("window", within(NEVER)).inputs == closed | {"opens_at": None}


def test_windows_can_open_unless_none_of_them_does() -> None:
    assert can_open(a_sight())
    assert can_open(by_person())
    assert can_open(within(TONIGHT))
    assert can_open(within(NEVER, TONIGHT))
    assert not can_open(within(NEVER))


def test_what_takes_no_time_is_not_begun_in_a_closed_window_either() -> None:
    assert not said("window", within(TONIGHT, seconds=0.0)).allowed
    assert not said("window", within(Window(begin_minute=660, end_minute=720), seconds=0.0)).allowed


def test_the_next_opening_is_in_utc_wherever_the_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = said("window", within(TONIGHT)).reason
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert said("window", within(TONIGHT)).reason == expected
        assert "2026-11-23 21:00 UTC" in expected
    finally:
        monkeypatch.undo()
        time.tzset()
