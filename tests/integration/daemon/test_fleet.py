"""Many targets at once: none delays another, none runs twice at once, stuck ones are replaced."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Cost, Failure, Observation, ProbeInfo, Scope, Target, Up
from collectors.registry import engines
from daemon import lane
from daemon.known import TargetState
from tests.fixtures.fleets import PROBE, Toy, running, toy, toy_engine
from tests.fixtures.observing import target
from tests.fixtures.proxy import NewProxy
from tests.fixtures.waiting import until


class Stubborn(Toy):
    """Ignores cancellation, as a task in a thread or behind a shield does."""

    async def run(self, probe: str, database: str = "") -> Observation:
        self.runs.append((probe, database, time.monotonic()))
        until_then = time.monotonic() + 8
        while time.monotonic() < until_then:
            try:
                await asyncio.sleep(until_then - time.monotonic())
            except asyncio.CancelledError:
                continue
        return await super().run(probe, database)


async def test_a_probe_that_ignores_cancellation_is_written_off_and_blocks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "GRACE_SECONDS", 0.2)
    made: list[Toy] = []

    def make(target: Target) -> Toy:
        first_of_bad = target.name == "bad" and not any(one.target.name == "bad" for one in made)
        made.append(Stubborn(target) if first_of_bad else Toy(target))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        await under_way.fleet.become([toy("bad"), toy("good")], {})
        await until(lambda: any(isinstance(one, Stubborn) and one.runs for one in made))
        with capture_logs() as logs:
            await until(lambda: under_way.fleet.rescue() or len(made) == 3, deadline=5)
            numbers = under_way.selfmetrics.target("bad")
            assert numbers.stuck
            await until(lambda: made[2].runs)
            await until(lambda: not numbers.stuck)
        stubborn = next(one for one in made if isinstance(one, Stubborn))
        good = next(one for one in made if one.target.name == "good")

        assert stubborn.closed
        assert len(stubborn.runs) == 1
        assert len(good.runs) > 3
        gaps = [b[2] - a[2] for a, b in zip(good.runs, good.runs[1:], strict=False)]
        assert max(gaps) < 1.0
    stuck = [entry for entry in logs if entry["event"] == "lane.stuck"]
    assert [(entry["target"], entry["probe"]) for entry in stuck] == [("bad", "value")]


async def test_a_tick_that_finds_the_lane_busy_is_counted_and_gone() -> None:
    at_once, most = 0, 0

    class Slow(Toy):
        async def run(self, probe: str, database: str = "") -> Observation:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.35)
            at_once -= 1
            return await super().run(probe, database)

    made: list[Slow] = []

    def make(target: Target) -> Slow:
        made.append(Slow(target))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        await under_way.fleet.become([toy("slow")], {})
        await until(lambda: made and len(made[0].runs) >= 3)
        skipped = under_way.snapshot.states()["slow"].probe("value").skipped

    assert most == 1
    assert skipped.get("busy", 0) >= 2


async def test_the_database_lane_does_not_hold_up_the_server_lane() -> None:
    slow = ProbeInfo(name="slow", every_seconds=0.0, within_seconds=5, scope=Scope.DATABASE)

    class TwoLanes(Toy):
        async def run(self, probe: str, database: str = "") -> Observation:
            if probe == "slow":
                await asyncio.sleep(0.5)
            return await super().run(probe, database)

    made: list[TwoLanes] = []

    def make(target: Target) -> TwoLanes:
        made.append(TwoLanes(target, infos=(PROBE, slow), databases_=("a", "b")))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        await under_way.fleet.become([toy("t")], {})
        await until(lambda: made and sum(run[0] == "slow" for run in made[0].runs) >= 2)
        fast = [run for run in made[0].runs if run[0] == "value"]
        visited = {run[1] for run in made[0].runs if run[0] == "slow"}

    assert len(fast) >= 5
    assert visited == {"a", "b"}


async def test_probes_of_one_database_are_asked_in_one_visit() -> None:
    slow = [
        ProbeInfo(name=f"slow{number}", every_seconds=0.6, within_seconds=1, scope=Scope.DATABASE)
        for number in range(3)
    ]
    made: list[Toy] = []

    def make(target: Target) -> Toy:
        made.append(Toy(target, infos=(PROBE, *slow), databases_=("a", "b")))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        await under_way.fleet.become([toy("t", 0.05)], {})
        await until(lambda: made and sum(run[0] == "slow0" for run in made[0].runs) >= 8)
    visits = [run[1] for run in made[0].runs if run[1]]
    changes = sum(one != other for one, other in itertools.pairwise(visits))

    assert len(visits) >= 22
    assert changes + 1 <= len(visits) / 3 + 1


async def test_a_broken_probe_is_a_failure_with_a_cause_and_the_others_go_on() -> None:
    broken = ProbeInfo(name="broken", every_seconds=0.0, within_seconds=1)

    class Broken(Toy):
        async def run(self, probe: str, database: str = "") -> Observation:
            if probe == "broken":
                raise ZeroDivisionError("a mistake of ours")
            return await super().run(probe, database)

    made: list[Broken] = []

    def make(target: Target) -> Broken:
        made.append(Broken(target, infos=(broken, PROBE)))
        return made[-1]

    with capture_logs() as logs:
        async with running(toy_engine(make)) as under_way:
            await under_way.fleet.become([toy("t")], {})
            await until(lambda: made and len(made[0].runs) >= 3)
            failures = dict(under_way.snapshot.states()["t"].probe("broken").failures)

    assert failures[""].cause == "internal"
    assert [entry for entry in logs if entry["event"] == "probe.broken"]


async def test_a_failure_is_logged_when_it_begins_and_when_it_ends_not_each_time() -> None:
    trouble = True

    class Flaky(Toy):
        async def up(self) -> Up:
            if trouble:
                return Up(up=False, at=time.time(), failure=Failure("unreachable", "t:1: refused"))
            return await super().up()

    made: list[Flaky] = []

    def make(target: Target) -> Flaky:
        made.append(Flaky(target))
        return made[-1]

    with capture_logs() as logs:
        async with running(toy_engine(make)) as under_way:
            await under_way.fleet.become([toy("t", 0.05)], {})
            await asyncio.sleep(0.5)
            trouble = False
            await until(lambda: made[0].runs)

    events = [entry["event"] for entry in logs if entry["event"].startswith("target.")]
    assert events == ["target.down", "target.up"]


async def test_a_server_that_suffers_gets_no_heavy_probes() -> None:
    heavy = ProbeInfo(name="heavy", every_seconds=0.0, within_seconds=1, cost=Cost.HEAVY)

    class Suffering(Toy):
        async def up(self) -> Up:
            up = await super().up()
            up.distress = "connections"
            return up

    made: list[Suffering] = []

    def make(target: Target) -> Suffering:
        made.append(Suffering(target, infos=(PROBE, heavy)))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        await under_way.fleet.become([toy("t")], {})
        await until(lambda: made and len(made[0].runs) >= 4)
        skipped = under_way.snapshot.states()["t"].probe("heavy").skipped

    assert {run[0] for run in made[0].runs} == {"value"}
    assert skipped["distress"] >= 2


async def test_becoming_other_targets_leaves_the_unchanged_ones_alone() -> None:
    made: list[Toy] = []

    def make(target: Target) -> Toy:
        made.append(Toy(target))
        return made[-1]

    async with running(toy_engine(make)) as under_way:
        fleet = under_way.fleet
        await fleet.become([toy("stays"), toy("goes"), toy("changes")], {})
        await until(lambda: all(one.runs for one in made) and len(made) == 3)
        await fleet.become([toy("stays"), toy("changes", 0.2), toy("comes")], {})
        await until(lambda: len(made) == 5 and all(one.runs for one in made))
        by_name = {one.target.name: one for one in made}

        assert sum(one.target.name == "stays" for one in made) == 1
        assert by_name["stays"].asked_anew == 1
        assert not by_name["stays"].closed
        assert by_name["goes"].closed
        assert set(under_way.snapshot.states()) == {"stays", "changes", "comes"}


async def test_forty_seven_good_targets_do_not_notice_three_bad_ones(
    postgres15: ScratchPostgres, proxy: NewProxy
) -> None:
    async def delays(bad: list[Target]) -> tuple[list[float], float]:
        good = [target(postgres15, name=f"good{number}", sessions_max=1) for number in range(47)]
        paced = [_paced(one) for one in [*good, *bad]]
        async with running(*engines().values()) as under_way:
            began = time.monotonic()
            await under_way.fleet.become(paced, {})
            await until(lambda: _seen(under_way.snapshot.states(), good) == 47, deadline=20)
            start = time.monotonic() - began
            ages: list[float] = []
            for _ in range(20):
                await asyncio.sleep(0.25)
                now = time.time()
                states = under_way.snapshot.states()
                ages += [now - (states[one.name].last_seen or 0.0) for one in good]
            return ages, start

    wire = await proxy(postgres15)
    wire.stall()
    nowhere = free_port()
    bad = [
        target(postgres15, name="dead", port=nowhere),
        target(wire, name="hole"),
        target(postgres15, name="refused", user="postgres", password={"text": "wrong"}),
    ]
    healthy, _ = await delays([])
    mixed, start = await delays(bad)

    assert start < 10
    assert _p95(mixed) < _p95(healthy) * 1.5 + 0.5


def _paced(one: Target) -> Target:
    return Target(
        name=one.name, engine=one.engine, options=one.options, interval_seconds=2.0, probes=(("*", False),)
    )


def _seen(states: Mapping[str, TargetState], good: list[Target]) -> int:
    return sum(states[one.name].last_seen is not None for one in good)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
