"""One simulation: daemons, targets and people on one loop of virtual time, and whatever goes wrong, by a seed."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actions.errors import ActError
from actions.model import ENDED, Record, RecordKind, State
from actions.ports import Approval, Move, Stop
from actions.run.by_hand import How
from actions.run.course import Patience
from daemon.store.opening import open_store
from daemon.store.options import StoreOptions
from daemon.store.store import SqlStore
from tests.fixtures.virtual_time import EPOCH, LoopClock, virtually
from tests.simulation.node import Node, Rules, StoreFaults, World
from tests.simulation.plans import POLICIES, SimAction, claimed_kinds, new_execution, new_plan
from tests.simulation.process import install
from tests.simulation.quiet import quietly
from tests.simulation.target import Faults, Target
from tests.simulation.watch import Watch

FAULTS_SECONDS = 300.0
"""How long things go wrong; after that everything is well, and has to come to an end."""
DRAIN_SECONDS = 4 * 3600.0
LANDING_SECONDS = 130.0
ALERTS = 8
INTENTS = frozenset({RecordKind.INTENT, RecordKind.UNDO_INTENT})
TARGETS = ("c1-a", "c1-b", "c2-a")


@dataclass(slots=True)
class Result:
    """What a simulation came to."""

    seed: int
    violations: list[str]
    counts: Counter[str]
    trace: list[str]


def simulate(seed: int, rules: Rules | None = None, *, trace: bool = False) -> Result:
    """Run one simulation; the same seed gives the same again, to the last record."""
    with tempfile.TemporaryDirectory() as folder, quietly():
        return virtually(_Scenario(seed, rules or Rules(), Path(folder), trace=trace).run())


class _Scenario:
    def __init__(self, seed: int, rules: Rules, folder: Path, *, trace: bool) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.watch = Watch(keep_trace=trace)
        self.rules = rules
        self.folder = folder
        self.nodes: list[Node] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.acknowledged: set[str] = set()
        self.policies: dict[str, str] = {}
        self.over = False
        self.leaving = False

    async def run(self) -> Result:
        """Let it all happen, then look."""
        install(asyncio.get_running_loop())
        self.store = await open_store(StoreOptions(), LoopClock(), inline=True, holder="people")
        self.world = self._world()
        people = [self._alerts(), self._approvers(), self._operators(), self._trouble()]
        people += [self._keeper(number) for number in range(self.chance.choice([1, 2, 2, 3]))]
        tasks = [asyncio.create_task(each) for each in people]
        try:
            await self._until_all_ended(tasks)
            await self._judge()
        finally:
            await self._clear(tasks)
        return Result(self.seed, self.watch.violations, self.watch.counts, self.watch.trace)

    def _world(self) -> World:
        chance, watch = self.chance, self.watch
        targets = {
            name: Target(name, random.Random(chance.random()), watch.begins, watch.lands, watch.fault)
            for name in TARGETS
        }
        for target in targets.values():
            target.fencing = self.rules.fence
        self.action = SimAction(random.Random(chance.random()))
        patience = Patience(chance=random.Random(chance.random()).random)
        return World(
            watch=watch, chance=chance, clock=LoopClock(), targets=targets,
            actions={self.action.info.name: self.action}, policies=POLICIES,
            stop_file=self.folder / "STOP", store_faults=StoreFaults(), rules=self.rules,
            patience=patience, new_store=lambda name: SqlStore(self.store._runner, name, inline=True),
        )  # fmt: skip

    # Daemons, and who starts them again.

    async def _keeper(self, number: int) -> None:
        """Start a daemon, and again whenever it is gone."""
        incarnation = 0
        while True:
            incarnation += 1
            node = Node(self.world, f"d{number}", incarnation)
            self.nodes.append(node)
            self.watch.note(f"{node.name} starts")
            await asyncio.wait({node.process.start(node.run())})
            self.nodes.remove(node)
            self.watch.note(f"{node.name} is gone")
            await asyncio.sleep(self.chance.uniform(0.5, 60.0))

    def _living(self) -> list[Node]:
        return [node for node in self.nodes if not node.process.dead and not node.process.frozen]

    async def _at(self, node: Node, doing: Callable[[], Awaitable[Any]]) -> Any:
        """Do something in a daemon, as its API would; None when it could not, or died of it."""
        given: list[Any] = []

        async def inside() -> None:
            try:
                async with asyncio.timeout(30):
                    given.append(await doing())
            except (ActError, TimeoutError) as error:
                self.watch.note(f"{node.name}: {error}")
            except Exception as error:
                self.watch.wrong(f"{node.name}: a defect: {error!r}")

        await asyncio.wait({node.process.start(inside())}, timeout=400)
        return given[0] if given else None

    # People and alerts.

    async def _alerts(self) -> None:
        """Send alerts, each until some daemon has taken it, and some again after that."""
        sent = [f"e{number}" for number in range(ALERTS) for _ in range(self.chance.choice([1, 1, 2]))]
        self.chance.shuffle(sent)
        for key in sent:
            await asyncio.sleep(self.chance.uniform(0, 2 * FAULTS_SECONDS / len(sent)))
            execution = self._execution(key)
            while not await self._send(execution):
                await asyncio.sleep(self.chance.uniform(1, 10))

    def _execution(self, key: str) -> Any:
        if key not in self.action.made:
            plan, kinds = new_plan(self.chance, key, self.chance.choice(TARGETS))
            if not self.rules.kinds:
                plan = claimed_kinds(plan)
            self.action.made[key] = plan
            self.watch.scopes[key] = plan.scope
            # An alert that comes again has the policy that it had.
            self.policies[key] = self.chance.choice(sorted(POLICIES))
            if self.policies[key] == "undoes":
                self.watch.sent_despite.add(key)
            self.watch.kinds |= {(key, step): kind for step, kind in kinds.items()}
        asks = int(key[1:]) % 4 == 0
        state = State.AWAITING_APPROVAL if asks else State.APPROVED
        policy = self.policies[key]
        now = asyncio.get_running_loop().time()
        return new_execution(self.action.made[key], key, now, policy=policy, state=state, asks=asks)

    async def _send(self, execution: Any) -> bool:
        if not (living := self._living()):
            return False
        node = self.chance.choice(living)
        record = Record(kind=RecordKind.PROPOSED, body={})
        if await self._at(node, lambda: node.store.propose(execution, record)) is None:
            return False
        self.acknowledged.add(execution.id)
        return True

    async def _approvers(self) -> None:
        """Say yes to what asks, sometimes late; sometimes things change after that."""
        while True:
            await asyncio.sleep(self.chance.uniform(5, 60))
            now = EPOCH + asyncio.get_running_loop().time()
            for each in await self.store.executions({State.AWAITING_APPROVAL}):
                yes = Approval(
                    execution=each.id, plan_hash=each.plan_hash, who="anna", at=now, expires_at=now + 900
                )
                await self.store.approve(yes, Record(kind=RecordKind.APPROVAL, body={}, who="anna"))
                record = Record(kind=RecordKind.MOVED, body={}, who="anna")
                await self.store.move(
                    Move(
                        execution=each.id, expected={each.state}, expected_epoch=0,
                        to=State.APPROVED, record=record,
                    )
                )  # fmt: skip
                if self.chance.random() < 0.2:
                    self.watch.fault("plan changed after approval")
                    self.action.changed.add(each.id)

    async def _operators(self) -> None:
        """Settle what needs a person: honestly, and some of it."""
        while True:
            await asyncio.sleep(self.chance.uniform(20, 200))
            for each in await self.store.executions({State.NEEDS_HUMAN}):
                leaders = [node for node in self._living() if node.lease.held().epoch]
                quiet = not any(
                    back.job and back.job.work.execution == each.id
                    for back in self.world.targets[each.plan.target].backends
                )
                if leaders and quiet and not self.leaving and self.chance.random() < 0.5:
                    await self._settle(leaders[0], each)

    async def _settle(self, node: Node, each: Any) -> None:
        standing = self.world.targets[each.plan.target].standing.get((each.id, each.step), 0)
        intents = [each for each in await self.store.records(each.id) if each.kind in INTENTS]
        undoing = bool(intents) and intents[-1].kind is RecordKind.UNDO_INTENT
        happened = bool(standing) is not undoing
        mark: How = "mark_done" if happened else "mark_not_done"
        how: How = self.chance.choice([mark, mark, "revert", "resume"])
        self.watch.counts["settled by people"] += 1
        self.watch.note(f"a person: {how} {each.id}")
        if how == "revert" and self.watch.stopped_since is not None:
            self.watch.sent_despite.add(each.id)
        await self._at(node, lambda: node.executor.settle(each.id, how, "anna", "looked at it"))

    # What goes wrong.

    async def _trouble(self) -> None:
        """Make faults of some sorts, chosen by the seed, and mend everything in the end."""
        chance, faults = self.chance, self.world.store_faults
        faults.crash = chance.choice([0.0, 0.0, 0.005, 0.03])
        faults.freeze = chance.choice([0.0, 0.0, 0.02, 0.1])
        faults.answer_lost = chance.choice([0.0, 0.0, 0.01])
        for target in self.world.targets.values():
            target.faults = Faults(
                refuses=chance.choice([0.0, 0.1]), busy=chance.choice([0.0, 0.2]),
                request_lost=chance.choice([0.0, 0.1]), answer_lost=chance.choice([0.0, 0.2]),
                slow=chance.choice([0.0, 0.3]), cancel_lost=chance.choice([0.0, 0.5]),
                clean_fails=chance.choice([0.0, 0.3]),
            )  # fmt: skip
        sorts: list[Callable[[], Awaitable[None]]] = [
            self._freeze, self._kill, self._end, self._store_away, self._store_full, self._store_slow,
            self._partition, self._break_sessions, self._stop,
        ]  # fmt: skip
        chosen = [sort for sort in sorts if chance.random() < 0.5]
        until = asyncio.get_running_loop().time() + FAULTS_SECONDS
        while chosen and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(chance.expovariate(1 / 25))
            await chance.choice(chosen)()
        await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
        faults.crash = faults.freeze = faults.answer_lost = 0.0
        for target in self.world.targets.values():
            target.faults = Faults()
        self.over = True
        self.watch.note("everything is well from here on")

    async def _freeze(self) -> None:
        if living := self._living():
            node = self.chance.choice(living)
            seconds = self.chance.choice([5, 20, 40, 60, 300])
            self.watch.fault("daemon frozen")
            self.watch.note(f"{node.name} is frozen for {seconds} s")
            node.process.freeze()
            asyncio.get_running_loop().call_later(seconds, node.process.thaw)

    async def _kill(self) -> None:
        if living := self._living():
            self.watch.fault("kill -9 at any time")
            self.chance.choice(living).process.kill()

    async def _end(self) -> None:
        """Tell a daemon to end, as SIGTERM does, and kill it when it takes too long."""
        if living := self._living():
            node = self.chance.choice(living)
            self.watch.fault("told to end")
            node.process.end()
            asyncio.get_running_loop().call_later(20, node.process.kill)

    async def _store_away(self) -> None:
        await self._for_a_while("store away", "away")

    async def _store_full(self) -> None:
        await self._for_a_while("store full", "full")

    async def _for_a_while(self, name: str, what: str) -> None:
        self.watch.fault(name)
        setattr(self.world.store_faults, what, True)
        await asyncio.sleep(self.chance.choice([1, 10, 60]))
        setattr(self.world.store_faults, what, False)

    async def _store_slow(self) -> None:
        self.watch.fault("store slow")
        self.world.store_faults.slow = self.chance.choice([0.5, 4.0, 15.0])
        await asyncio.sleep(self.chance.uniform(10, 60))
        self.world.store_faults.slow = 0.0

    async def _partition(self) -> None:
        target = self.chance.choice(list(self.world.targets.values()))
        self.watch.fault("target cut off")
        target.reachable = False
        await asyncio.sleep(self.chance.choice([2, 20, 90]))
        target.reachable = True

    async def _break_sessions(self) -> None:
        self.watch.fault("sessions broken")
        target = self.chance.choice(list(self.world.targets.values()))
        for backend in list(target.backends):
            target.kill(backend)

    async def _stop(self) -> None:
        self.watch.fault("kill switch")
        await self._press()
        self.watch.stopped_since = asyncio.get_running_loop().time()
        await asyncio.sleep(self.chance.choice([10, 30, 120]))
        await self._release()
        self.watch.stopped_since = None

    async def _press(self) -> None:
        if self.chance.random() < 0.5:
            self.world.stop_file.touch()
            return
        await self.store.stop(Stop(by="anna", why="a test"), Record(kind=RecordKind.STOP, body={}))

    async def _release(self) -> None:
        self.world.stop_file.unlink(missing_ok=True)
        # A daemon may yet write down that it has seen the file: somebody looks until it stays off.
        for flag in await self.store.stops():
            if not flag.target:
                await self.store.resume(flag, Record(kind=RecordKind.RELEASE, body={}))

    # The end.

    async def _until_all_ended(self, tasks: list[asyncio.Task[None]]) -> None:
        loop = asyncio.get_running_loop()
        while not self._settled(await self.store.executions()) and loop.time() < DRAIN_SECONDS:
            await asyncio.sleep(15)
            for task in tasks:
                if task.done() and (error := task.exception()):
                    raise error
            if self.over:
                await self._release()
        # What is still under way at a target may land yet; nobody sends anything on its way any more.
        self.leaving = True
        await asyncio.sleep(LANDING_SECONDS)
        while not self._settled(await self.store.executions()) and loop.time() < DRAIN_SECONDS:
            await asyncio.sleep(LANDING_SECONDS)

    def _settled(self, executions: Any) -> bool:
        ended = ENDED | {State.NEEDS_HUMAN}
        return self.over and len(executions) >= ALERTS and all(each.state in ended for each in executions)

    async def _judge(self) -> None:
        executions = await self.store.executions()
        self.watch.counts["executions"] += len(executions)
        known = {each.id for each in executions}
        for lost in sorted(self.acknowledged - known):
            self.watch.wrong(f"{lost} was acknowledged and is not known any more")
        for each in executions:
            self.watch.ended(each, self.world.targets)
        report = await self.store.verify()
        self.watch.counts["records"] += report.records
        if report.first_bad is not None:
            self.watch.wrong(f"the chain is broken at {report.first_bad}: {report.problem}")

    async def _clear(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in self.nodes:
            node.process.kill()
        await asyncio.sleep(1)
        await self.store.close()


def rules_without(name: str) -> Rules:
    """Return all rules but one."""
    return replace(Rules(), **{name: False})
