"""When probes are due: paces that are no multiple of the interval, ticks that come early, first runs of a fleet."""

from __future__ import annotations

import itertools
import random

import pytest

from collectors.model import Cost, ProbeInfo, Scope
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from daemon.watch import Watch
from tests.fixtures.fleets import Toy, toy

TICK = 10.0


def _watch(name: str = "one", settle_seconds: float = 0.0) -> Watch:
    target = toy(name, TICK)
    numbers = SelfMetrics("0").target(name)
    return Watch(target, lambda: Toy(target), Snapshot({}), numbers, random.Random(1), settle_seconds)


def _probe(
    every_seconds: float, name: str = "value", scope: Scope = Scope.SERVER, cost: Cost = Cost.LIGHT
) -> ProbeInfo:
    return ProbeInfo(
        name=name, every_seconds=every_seconds, within_seconds=1, metrics=(), cost=cost, scope=scope
    )


def _runs(info: ProbeInfo, ticks: int, unsteady_seconds: float = 0.0) -> list[int]:
    """Return the ticks at which a probe runs."""
    watch, rng, runs = _watch(), random.Random(2), []
    for tick in range(ticks):
        now = 1e9 + tick * TICK + rng.uniform(-unsteady_seconds, unsteady_seconds)
        if watch._is_due(info, "", now):
            watch._due[info.name, ""] = watch._next(info, watch._due.get((info.name, ""), 0.0), now)
            runs.append(tick)
    return runs


@pytest.mark.parametrize("every_seconds", [0, 5, 10])
@pytest.mark.parametrize("unsteady_seconds", [0.0, 0.4])
def test_a_probe_at_the_interval_or_faster_runs_at_each_tick(
    every_seconds: float, unsteady_seconds: float
) -> None:
    assert _runs(_probe(every_seconds), 50, unsteady_seconds) == list(range(50))


def test_a_pace_between_two_ticks_is_kept_on_the_average() -> None:
    runs = _runs(_probe(15), 61)
    assert len(runs) == 41, "600 s at one run in 15 s, and the first"
    assert {later - before for before, later in itertools.pairwise(runs)} == {1, 2}


@pytest.mark.parametrize("unsteady_seconds", [0.0, 0.4])
def test_a_multiple_of_the_interval_is_kept_though_ticks_come_early_and_late(unsteady_seconds: float) -> None:
    assert _runs(_probe(30), 90, unsteady_seconds) == list(range(0, 90, 3))


def test_slow_probes_drift_apart_around_their_pace() -> None:
    runs = _runs(_probe(300, cost=Cost.MEDIUM), 3000)
    gaps = {later - before for before, later in itertools.pairwise(runs)}
    assert len(runs) == pytest.approx(100, abs=3)
    assert min(gaps) >= 26
    assert max(gaps) <= 34
    assert len(gaps) > 3


def test_light_probes_of_one_pace_stay_together() -> None:
    assert _runs(_probe(300), 300, unsteady_seconds=0.4) == list(range(0, 300, 30))
    watch = _watch(settle_seconds=50.0)
    assert len({watch._first(_probe(60, name)) for name in ("locks", "slots", "server")}) == 1
    assert len({watch._first(_probe(60, name, cost=Cost.MEDIUM)) for name in ("statements", "kcache")}) == 2


def test_the_slow_probes_of_a_large_fleet_do_not_begin_all_at_once() -> None:
    slow = _probe(300)
    firsts = []
    for number in range(200):
        watch = _watch(f"t{number}", settle_seconds=50.0)
        firsts.append(watch._first(slow) - watch._began)
        assert watch._first(_probe(0)) == 0.0, "what decides whether a target is well is asked at once"
    assert min(firsts) < 2
    assert 45 < max(firsts) <= 50
    watch = _watch(settle_seconds=50.0)
    databases = {watch._first(_probe(300, name, Scope.DATABASE)) for name in ("tables", "indexes", "bloat")}
    assert len(databases) == 1, "a visit to a database costs a session: its probes come together"


def test_the_slow_probes_of_a_single_target_begin_at_once() -> None:
    watch = _watch()
    assert watch._first(_probe(300)) == watch._began
