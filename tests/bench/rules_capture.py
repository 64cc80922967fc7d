"""What real servers show, through the real collectors: a primary, its replica, a pgBouncer, this host.

It is looked at twice, so that it is known how every series moves.
"""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from actions.scratch.pgbouncer import ScratchPgbouncer
from actions.scratch.place import Place
from collectors.model import Frame, Number, ProbeInfo, Target
from collectors.registry import engines
from daemon import config as configuration
from daemon.block import Block
from daemon.fleet import Fleet
from daemon.known import TargetState
from daemon.schedule import Schedule
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from tests.bench.collect_workload import workload

APART_SECONDS = 65.0
"""Every probe that a minute's rule depends on has answered anew after so long."""
OWN = ProbeInfo(name="self", every_seconds=30.0, within_seconds=1.0)
Series = dict[tuple[str, tuple[str, ...]], Number]


@dataclass(slots=True)
class Answer:
    """One probe's frames in one database, and how much each of their cells gains in a second."""

    info: ProbeInfo
    database: str
    frames: list[Frame]
    gains: list[list[list[float]]] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """Everything that one target showed."""

    target: Target
    at: float
    answers: list[Answer]

    @property
    def series(self) -> int:
        return sum(len(frame) for answer in self.answers for frame in answer.frames)


async def capture(place: Place, settle_seconds: float, kept: Path | None) -> dict[str, Seen]:
    """Return what each engine's target shows, by name; from the file if there is one."""
    if kept is not None and kept.exists():
        found: dict[str, Seen] = pickle.loads(kept.read_bytes())
        return found
    async with _servers(place) as config, _watched(config) as (snapshot, selfmetrics):
        await asyncio.sleep(settle_seconds)
        await selfmetrics.refresh(snapshot)
        before = {name: _seen(state) for name, state in snapshot.states().items()}
        await asyncio.sleep(APART_SECONDS)
        await selfmetrics.refresh(snapshot)
        after = {name: _seen(state) for name, state in snapshot.states().items()}
    for name, seen in after.items():
        _compare(before[name], seen)
    if kept is not None:
        kept.write_bytes(pickle.dumps(after))
    return after


@asynccontextmanager
async def _servers(place: Place) -> AsyncIterator[Path]:
    async with workload(place) as made:
        server = made.server
        login = {"user": server.superuser, "password": {"text": server.password}}
        near = {"engine": "postgresql", "dbname": "app", "cluster": "shop", **login}
        async with (
            server.replica("bench-r", slot="replica") as replica,
            ScratchPgbouncer(server, place=place) as pool,
        ):
            targets = [
                {"name": "primary", "host": server.host, "port": server.port, **near},
                {"name": "replica", "host": replica.host, "port": replica.port, **near},
                {
                    "name": "pool", "engine": "pgbouncer", "host": pool.host, "port": pool.port,
                    "user": pool.admin, "password": {"text": pool.password},
                },
                {"name": "host", "engine": "host"},
            ]  # fmt: skip
            file = place.path / "watched.yaml"
            file.write_text(json.dumps({"allow_inline_secrets": True, "targets": targets}))
            file.chmod(0o600)
            yield file


@asynccontextmanager
async def _watched(file: Path) -> AsyncIterator[tuple[Snapshot, SelfMetrics]]:
    snapshot, selfmetrics, schedule = Snapshot(engines()), SelfMetrics("bench"), Schedule()
    async with asyncio.TaskGroup() as tasks:
        fleet = Fleet(engines(), snapshot, selfmetrics, schedule, tasks)
        schedule.start()
        try:
            await fleet.become(configuration.targets(configuration.load(file)), {})
            yield snapshot, selfmetrics
        finally:
            schedule.stop()
            await fleet.close()


def _seen(state: TargetState) -> Seen:
    answers = [Answer(OWN, "", [_frame(block) for block in state.own_blocks])]
    for held in state.held.values():
        info = state.probes[held.probe].info
        if info is not None:
            answers.append(Answer(info, held.database, [_frame(block) for block in held.blocks]))
    if state.up is None or not state.up.up:
        raise RuntimeError(f"{state.name} does not answer: {state.up}")
    target = replace(state.target, options=state.target.options.model_copy(update={"password": None}))
    return Seen(target, state.up.at, answers)


def _frame(block: Block) -> Frame:
    return Frame(block.layout.metrics, block.keys, block.columns)


def _compare(before: Seen, after: Seen) -> None:
    """Note how fast each series moved; one that was not there before does not."""
    past = {(answer.info.name, answer.database): _cells(answer) for answer in before.answers}
    seconds = after.at - before.at
    for answer in after.answers:
        held = past.get((answer.info.name, answer.database), {})
        answer.gains = [
            [
                [
                    _gain(held.get((metric.name, key)), cell, seconds)
                    for key, cell in zip(frame.keys, column, strict=True)
                ]
                for metric, column in zip(frame.metrics, frame.columns, strict=True)
            ]
            for frame in answer.frames
        ]


def _cells(answer: Answer) -> Mapping[tuple[str, tuple[str, ...]], Number]:
    return {
        (metric.name, key): cell
        for frame in answer.frames
        for metric, column in zip(frame.metrics, frame.columns, strict=True)
        for key, cell in zip(frame.keys, column, strict=True)
        if cell is not None
    }


def _gain(before: Number | None, now: Number | None, seconds: float) -> float:
    if before is None or now is None or not math.isfinite(now - before):
        return 0.0
    return (now - before) / seconds
