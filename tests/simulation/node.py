"""One daemon of a simulation: the real executor, recovery, guards, lease, kill switch and runner."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actions.errors import StoreUnavailable
from actions.executor import Executor
from actions.guards.judge import judge
from actions.guards.sight import TargetSight
from actions.model import GuardResult, Incident, RecordKind
from actions.policy import Policy
from actions.ports import Leadership, Move
from actions.run.course import Patience
from daemon.acting.guardian import FactGuardian
from daemon.acting.leader import LeaseKeeper, LeaseTimes
from daemon.acting.loops import again_and_again
from daemon.acting.runner import Runner
from daemon.acting.steady import Tilt
from daemon.acting.switch import KillSwitch
from daemon.store.store import SqlStore
from tests.fixtures.virtual_time import LoopClock
from tests.simulation.process import Killed, Process
from tests.simulation.target import Hands, Target
from tests.simulation.watch import Watch

LOOK_SECONDS = 2.0
TILT_LOOK_SECONDS = 2.0
_WRITES = frozenset({"grant", "release", "propose", "move", "write", "approve", "stop", "resume"})


@dataclass(slots=True, kw_only=True)
class Rules:
    """What safety rests on; every one holds unless it is taken away, to see that it is needed."""

    epochs: bool = True
    fence: bool = True
    intents: bool = True
    kinds: bool = True
    deadline: bool = True
    stop: bool = True
    lease_wait: bool = True


@dataclass(slots=True, kw_only=True)
class StoreFaults:
    """What is wrong with the store now, for everybody or one; chances are 0 to 1."""

    away: bool = False
    full: bool = False
    slow: float = 0.0
    """Seconds that every call takes at the most."""
    crash: float = 0.0
    freeze: float = 0.0
    answer_lost: float = 0.0


class SimClock(LoopClock):
    """A daemon's clocks."""

    def awake(self) -> float:
        """Return monotonic seconds."""
        return self.monotonic()


class SimStore:
    """One daemon's way to the store: slow, away, or the end of the daemon."""

    def __init__(self, inner: SqlStore, node: Node) -> None:
        self._inner = inner
        self._node = node
        self._read: dict[Any, tuple[int, Any]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **more: Any) -> Any:
            return await self._call(name, args, more)

        return call

    async def _call(self, name: str, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        node, faults = self._node, self._node.world.store_faults
        called = asyncio.get_running_loop().time()
        deadline = node.lease.held().deadline if node.lease.held().epoch else -1.0
        await self._way(name)
        if faults.away or (faults.full and name in _WRITES):
            raise StoreUnavailable("the store is away" if faults.away else "the disk is full")
        if name in _WRITES:
            await self._maybe_worse(name)
        result = await self._do(name, args, more)
        if name == "move" and result is True:
            node.watch.written(node.name, self._as_written(args[0]), called, deadline)
        if name in _WRITES:
            await self._maybe_worse(name)
            if node.chance.random() < faults.answer_lost:
                node.watch.fault("store's answer lost")
                raise StoreUnavailable("whether it was written is not known")
        await self._way(name)
        return result

    async def _do(self, name: str, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        if name == "move":
            return await self._move(args[0])
        if name == "write" and not self._node.rules.epochs:
            more = {"lease_epoch": None}
            args = (replace(args[0], epoch=0),)
        if name in _WRITES:
            return await getattr(self._inner, name)(*args, **more)
        # What was read at this very end of the chain is still so: polling would cost too much.
        key, head = (name, repr(args), repr(more)), self._inner._runner.head.seq
        if key not in self._read or self._read[key][0] != head:
            self._read[key] = (head, await getattr(self._inner, name)(*args, **more))
        return self._read[key][1]

    async def _move(self, move: Move) -> bool:
        rules = self._node.rules
        if not rules.epochs:
            now = await self._inner.execution(move.execution)
            assert now is not None
            move = replace(
                move, expected_epoch=now.epoch, lease_epoch=None, expected={*move.expected, now.state}
            )
        return await self._inner.move(self._as_written(move))

    def _as_written(self, move: Move) -> Move:
        """Return a transition as it reaches the journal, where intents may be left out."""
        if self._node.rules.intents or move.record.kind is not RecordKind.INTENT:
            return move
        return replace(move, record=replace(move.record, kind=RecordKind.NOTE))

    async def _way(self, name: str) -> None:
        slow = self._node.world.store_faults.slow
        if slow:
            await asyncio.sleep(self._node.chance.uniform(0, slow))
        elif name in _WRITES:
            await asyncio.sleep(self._node.chance.uniform(0, 0.02))
        self._node.process.check()

    async def _maybe_worse(self, name: str) -> None:
        """End, or stand still for a while, right before or after a write."""
        node, faults = self._node, self._node.world.store_faults
        if node.chance.random() < faults.crash:
            node.watch.fault("kill -9 at a write")
            node.process.kill()
            raise Killed(node.name)
        if name == "move" and node.chance.random() < faults.freeze:
            node.watch.fault("frozen at a write")
            node.process.freeze()
            asyncio.get_running_loop().call_later(node.chance.choice([5, 60, 120, 120]), node.process.thaw)
            await asyncio.sleep(0)


@dataclass(slots=True)
class World:
    """What all daemons share."""

    watch: Watch
    chance: random.Random
    clock: LoopClock
    targets: dict[str, Target]
    actions: Mapping[str, Any]
    policies: Mapping[str, Policy]
    stop_file: Path
    store_faults: StoreFaults
    rules: Rules
    patience: Patience
    new_store: Callable[[str], SqlStore]


class Node:
    """A daemon from its start to its end."""

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        self.world = world
        self.watch = world.watch
        self.chance = random.Random(world.chance.random())
        self.rules = world.rules
        self.name = f"{name}.{incarnation}"
        self.process = Process(self.name)
        clock: Any = SimClock()
        self.store: Any = SimStore(world.new_store(self.name), self)
        times = LeaseTimes(look=LOOK_SECONDS)
        self.lease = LeaseKeeper(self.store, self.name, clock, times)
        if not world.rules.lease_wait:
            self.lease._patience = lambda grant: 0.0  # type: ignore[method-assign] # noqa: ARG005
        self.switch = KillSwitch(self.store, clock, world.stop_file)
        self.tilt = Tilt(clock)
        self.executor = self._executor(clock)
        self.runner = self._runner()

    async def run(self) -> None:
        """Live until killed, or told to end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.lease.run())
                tasks.create_task(self.switch.run(self.name))
                tasks.create_task(self._look_at_clocks())
                tasks.create_task(again_and_again("runner", self.runner.look, LOOK_SECONDS))
                self.runner.start(tasks)
                await self._told_to_end()
        finally:
            if self.runner.idle:
                await self.lease.release()

    async def _look_at_clocks(self) -> None:
        while True:
            await asyncio.sleep(TILT_LOOK_SECONDS)
            self.tilt.look()

    async def _told_to_end(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.runner.stop()

    def _executor(self, clock: Any) -> Executor:
        lease: Any = self.lease if self.rules.deadline else _Forever(self.lease)
        switch: Any = self.switch if self.rules.stop else SimpleNamespace(stopped=lambda *_: "")
        self._guardian = FactGuardian(
            judge,
            clock=clock,
            store=self.store,
            switch=switch,
            lease=lease,
            tilt=self.tilt,
            facts=_facts(self.world.targets),
            firing=_firing(),
            notes=_notes(clock),
            actions=self.world.actions,
            policy=self.world.policies.get,
        )
        return Executor(
            self.store, Hands(self.world.targets, self.process), self.world.actions,
            self._guardian, switch, lease, clock,
            patience=self.world.patience,
            undo_on_stop=lambda each: each.policy == "undoes",
        )  # fmt: skip

    def _runner(self) -> Runner:
        return Runner(self.executor, self._guardian, _firing(), self.world.policies.get)


class _Forever:
    """A lease whose own deadline nobody looks at."""

    def __init__(self, lease: LeaseKeeper) -> None:
        self._lease = lease
        self._epoch = 0

    def held(self) -> Leadership:
        held = self._lease.held()
        self._epoch = held.epoch or self._epoch
        return replace(held, epoch=self._epoch, deadline=float("inf"))


def _facts(targets: Mapping[str, Target]) -> Any:
    def sight(name: str) -> TargetSight:
        return TargetSight(
            name=name, cluster=name.partition("-")[0], engine="fake",
            up=True, role="primary", data_age_seconds=1.0, answers=100,
            free_bytes=80e9, size_bytes=100e9, connections_used_ratio=0.1,
        )  # fmt: skip

    return SimpleNamespace(
        target=sight, cluster=lambda name: (sight(name),), total=100, upstream=lambda _name: ()
    )


def _firing() -> Any:
    def fires(_incident: Incident) -> bool:
        return True

    return SimpleNamespace(heard=lambda _source: True, targets_of=lambda _name: set(), fires=fires)


def _notes(clock: LoopClock) -> Any:
    async def read() -> Any:
        # Somebody closes every circuit breaker at once: the simulation is about what goes on.
        return SimpleNamespace(acknowledged_at={"sim.act": clock.now()}, banned_until={})

    return SimpleNamespace(read=read)


CHECKS = (
    GuardResult(guard="identity", allowed=True, reason="the same"),
    GuardResult(guard="second_source", allowed=True, reason="it is still so"),
)
