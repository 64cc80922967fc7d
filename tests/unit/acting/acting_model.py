"""A model of the action engine: every interleaving of two daemons, a store and a target, explored.

What it knows: leases that are lost at any moment without the owner noticing, crashes, answers that come late
or never, effects that land after the one who sent them is gone, attempts that fail cleanly and are retried,
several steps. Each rule can be taken away, to see that it is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["idempotent", "checkable", "once"]
APPROVED, CLAIMED, INTENT, RESOLVING, DONE, HUMAN = (
    "approved",
    "claimed",
    "intent",
    "resolving",
    "done",
    "human",
)


@dataclass(frozen=True)
class Rules:
    """The rules of the engine; every one of them holds unless it is taken away."""

    compare_and_set: bool = True
    """Transitions are conditional on the execution's epoch and on the lease."""
    fence: bool = True
    """A session holds the scope's fence; opening one ends sessions of older epochs first."""
    intent_first: bool = True
    kinds: bool = True
    """Recovery follows the kind of the step, rather than running everything again."""
    fence_before_read: bool = True
    own_intent: bool = True
    """Each attempt writes an intent of its own."""


@dataclass(frozen=True)
class Bounds:
    epochs: int = 3
    crashes: int = 2
    failures: int = 1
    steps: int = 1


@dataclass(frozen=True)
class Daemon:
    at: str = "idle"
    epoch: int = 0


@dataclass(frozen=True)
class World:
    status: str = APPROVED
    step: int = 0
    owner: int = 0
    """Epoch of the execution."""
    lease: int = 0
    """Epoch of the newest grant."""
    intents: tuple[bool, ...] = ()
    effects: tuple[int, ...] = ()
    sessions: tuple[tuple[int, str, int], ...] = ()
    """(epoch, open | running | landed | failed, step), as the target sees them."""
    daemons: tuple[Daemon, Daemon] = (Daemon(), Daemon())
    crashes: int = 0
    failures: int = 0

    def session(self, epoch: int) -> tuple[str, int] | None:
        return next(((state, step) for mine, state, step in self.sessions if mine == epoch), None)

    def with_session(self, epoch: int, state: str) -> World:
        others = tuple(each for each in self.sessions if each[0] != epoch)
        return replace(self, sessions=tuple(sorted((*others, (epoch, state, self.step)))))

    def without(self, *epochs: int) -> World:
        return replace(self, sessions=tuple(each for each in self.sessions if each[0] not in epochs))

    def daemon(self, number: int, at: str, epoch: int | None = None) -> World:
        old = self.daemons[number]
        fresh = Daemon(at, old.epoch if epoch is None else epoch)
        pair = (fresh, self.daemons[1]) if number == 0 else (self.daemons[0], fresh)
        return replace(self, daemons=pair)


@dataclass(frozen=True)
class Found:
    states: int
    violation: str
    path: tuple[str, ...]


def explore(kind: Kind, rules: Rules, bounds: Bounds = Bounds()) -> Found:
    """Look at all reachable states, shortest paths first; end at the first that breaks a promise."""
    first = World(intents=(False,) * bounds.steps, effects=(0,) * bounds.steps)
    seen: dict[World, tuple[World, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        if broken := _broken(world, kind):
            return Found(len(seen), broken, _path(seen, world))
        for what, after in _steps(world, kind, rules, bounds):
            if after not in seen:
                seen[after] = (world, what)
                queue.append(after)
    return Found(len(seen), "", ())


def _broken(world: World, kind: Kind) -> str:
    for intent, count in zip(world.intents, world.effects, strict=True):
        if count and not intent:
            return "effect without record"
        if count > 1 and kind != "idempotent":
            return "effect twice"
    if world.status == DONE and 0 in world.effects:
        return "success without effect"
    return ""


def _path(seen: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    path: list[str] = []
    while (step := seen[world]) is not None:
        world, what = step
        path.append(what)
    return tuple(reversed(path))


def _steps(world: World, kind: Kind, rules: Rules, bounds: Bounds) -> Iterator[tuple[str, World]]:
    yield from _target(world, bounds)
    for number in (0, 1):
        daemon = world.daemons[number]
        for what, after in _acts(world, number, kind, rules, bounds):
            yield f"{'AB'[number]}{daemon.epoch} {what}", after
        if daemon.at != "idle" and world.crashes < bounds.crashes:
            fallen = replace(world.daemon(number, "idle", 0), crashes=world.crashes + 1)
            yield f"{'AB'[number]}{daemon.epoch} crashes", fallen


def _target(world: World, bounds: Bounds) -> Iterator[tuple[str, World]]:
    for epoch, state, step in world.sessions:
        if state == "running":
            effects = tuple(min(2, count + (at == step)) for at, count in enumerate(world.effects))
            landed = _set(world, epoch, "landed", step)
            yield f"effect {step} of {epoch} lands", replace(landed, effects=effects)
            if world.failures < bounds.failures:
                failed = _set(world, epoch, "failed", step)
                yield f"effect {step} of {epoch} fails", replace(failed, failures=world.failures + 1)
        # A connection can break at any moment; what had been sent may still land, so only an idle one ends.
        elif epoch not in (each.epoch for each in world.daemons):
            yield f"orphan {epoch} ends", world.without(epoch)


def _set(world: World, epoch: int, state: str, step: int) -> World:
    others = [each for each in world.sessions if each[0] != epoch]
    return replace(world, sessions=tuple(sorted((*others, (epoch, state, step)))))


def _acts(world: World, number: int, kind: Kind, rules: Rules, bounds: Bounds) -> Iterator[tuple[str, World]]:
    daemon = world.daemons[number]
    owns = not rules.compare_and_set or world.owner == daemon.epoch
    match daemon.at:
        case "idle":
            if world.lease < bounds.epochs:
                yield "leads", replace(world.daemon(number, "leads", world.lease + 1), lease=world.lease + 1)
        case "leads":
            yield from _take(world, number, rules)
        case "claimed":
            yield from _open(world, number, rules, "fenced")
        case "fenced":
            if not rules.intent_first:
                yield "begins", world.daemon(number, "ready")
            elif owns:
                intents = tuple(said or at == world.step for at, said in enumerate(world.intents))
                noted = replace(world, status=INTENT, intents=intents)
                yield "writes intent", noted.daemon(number, "ready")
            else:
                yield "is not the owner", world.daemon(number, "idle", 0)
        case "again":
            yield from _open(world, number, rules, "ready")
        case "ready":
            if world.session(daemon.epoch) is None:
                yield "finds its session gone", world.daemon(number, "unknown")
            else:
                yield "sends", world.with_session(daemon.epoch, "running").daemon(number, "sent")
        case "sent":
            yield from _answer(world, number, rules)
        case "unknown":
            if owns:
                yield "says unknown", replace(world, status=RESOLVING).daemon(number, "resolve")
            else:
                yield "is not the owner", world.daemon(number, "idle", 0)
        case "resolve":
            yield from _resolve(world, number, kind, rules)
        case "look":
            yield from _look(world, number, rules)
        case "done":
            yield from _finish(world, number, owns, bounds)
        case _:
            raise AssertionError(daemon.at)


def _take(world: World, number: int, rules: Rules) -> Iterator[tuple[str, World]]:
    daemon = world.daemons[number]
    if rules.compare_and_set and world.lease != daemon.epoch:
        yield "lost the lease", world.daemon(number, "idle", 0)
        return
    if world.status in (APPROVED, CLAIMED) and world.owner != daemon.epoch:
        taken = replace(world, status=CLAIMED, owner=daemon.epoch)
        yield "claims", taken.daemon(number, "claimed")
    if world.status in (INTENT, RESOLVING) and world.owner != daemon.epoch:
        taken = replace(world, status=RESOLVING, owner=daemon.epoch)
        yield "takes over", taken.daemon(number, "resolve")


def _open(world: World, number: int, rules: Rules, then: str) -> Iterator[tuple[str, World]]:
    epoch = world.daemons[number].epoch
    if rules.fence:
        if any(other > epoch for other, _, _ in world.sessions):
            yield "is fenced off", world.daemon(number, "idle", 0)
            return
        world = world.without(*(other for other, _, _ in world.sessions))
    yield "opens a session", world.with_session(epoch, "open").daemon(number, then)


def _answer(world: World, number: int, rules: Rules) -> Iterator[tuple[str, World]]:
    epoch = world.daemons[number].epoch
    session = world.session(epoch)
    yield "loses the answer", world.daemon(number, "unknown")
    if session is None:
        return
    if session[0] == "landed":
        yield "hears: done", world.daemon(number, "done")
    if session[0] == "failed":
        # The next attempt: with an intent of its own, or straight away.
        yield "tries again", world.daemon(number, "claimed" if rules.own_intent else "again")


def _resolve(world: World, number: int, kind: Kind, rules: Rules) -> Iterator[tuple[str, World]]:
    daemon = world.daemons[number]
    if not rules.kinds or kind == "idempotent":
        yield from _open(world, number, rules, "fenced")
    elif kind == "once":
        if not rules.compare_and_set or world.owner == daemon.epoch:
            yield "asks a person", replace(world, status=HUMAN).daemon(number, "idle", 0)
        else:
            yield "is not the owner", world.daemon(number, "idle", 0)
    elif rules.fence_before_read:
        yield from _open(world, number, rules, "look")
    else:
        yield "reads back", world.daemon(number, "done" if world.effects[world.step] else "claimed")


def _look(world: World, number: int, rules: Rules) -> Iterator[tuple[str, World]]:
    epoch = world.daemons[number].epoch
    if world.session(epoch) is None:
        yield "finds its session gone", world.daemon(number, "unknown")
    elif world.effects[world.step]:
        yield "finds it done", world.daemon(number, "done")
    else:
        yield "finds nothing", world.daemon(number, "fenced" if rules.own_intent else "ready")


def _finish(world: World, number: int, owns: bool, bounds: Bounds) -> Iterator[tuple[str, World]]:
    epoch = world.daemons[number].epoch
    if not owns:
        yield "is not the owner", world.without(epoch).daemon(number, "idle", 0)
    elif world.step + 1 < bounds.steps:
        onward = replace(world, status=CLAIMED, step=world.step + 1)
        yield "goes on", onward.daemon(number, "fenced" if world.session(epoch) else "claimed")
    else:
        yield "writes outcome", replace(world.without(epoch), status=DONE).daemon(number, "idle", 0)
