"""Judges a configuration: as written, and against the servers that it names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collectors.catalogue import entries_of
from collectors.definition import ProbeDef
from collectors.engine import Engine, Finding, Observer
from collectors.model import Cost, Failure, Rejection, Scope, Target
from collectors.registry import engines
from collectors.secret_ref import SecretError
from collectors.strict_yaml import InvalidFile, Problem
from daemon import config as configuration
from daemon.config.checks import secrets_in
from daemon.config.messages import where

AT_ONCE = 16
"""Servers asked at the same time."""
EXTRA_SECONDS = 20.0
"""For looking round, after the connection stands."""
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlan:
    """What will be asked of one target."""

    name: str
    engine: str
    address: str
    on: tuple[str, ...]
    """Probes that are asked wherever the server has what they need."""
    off: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be said of a file without asking any server."""

    file: str
    config: configuration.Config | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    targets: tuple[TargetPlan, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether the daemon would start with it."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """What is to be said of one server after it was asked."""

    name: str
    engine: str
    address: str
    up: bool
    failure: Failure | None = None
    version: str = ""
    role: str = ""
    took_seconds: float = 0.0
    """Until the answer that it is up."""
    findings: tuple[Finding, ...] = ()
    working: tuple[str, ...] = ()
    """Probes that fit this server; the light ones have been run."""
    failing: tuple[Rejection, ...] = ()
    """Probes that were run and failed."""
    rejections: tuple[Rejection, ...] = ()
    """What is not collected here, and why."""

    @property
    def ok(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.up and not self.failing and all(one.state != "missing" for one in self.findings)


def check(path: str | Path) -> Report:
    """Return what is wrong in a file, or what the daemon would do with it; asks no server."""
    try:
        loaded = configuration.read(path)
    except InvalidFile as error:
        return Report(file=str(path), config=None, problems=tuple(error.problems))
    problems, warnings = _secrets(loaded)
    config = loaded.config
    return Report(
        file=str(path),
        config=config,
        problems=tuple(problems),
        warnings=(*loaded.warnings, *warnings),
        targets=tuple(_plan(one, config.custom_probes) for one in configuration.targets(config)),
    )


async def check_connect(
    config: configuration.Config, *, at_once: int = AT_ONCE, extra_seconds: float = EXTRA_SECONDS
) -> tuple[TargetReport, ...]:
    """Ask every target, some at a time, each within its own deadline; a report per target, in order."""
    room = asyncio.Semaphore(at_once)

    async def one(target: Target) -> TargetReport:
        async with room:
            return await _ask(target, config.custom_probes, extra_seconds)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(target)) for target in configuration.targets(config)]
    return tuple(task.result() for task in tasks)


def _secrets(loaded: configuration.Loaded) -> tuple[list[Problem], list[Problem]]:
    """Return secrets that cannot be had, and those of which that is not sure from here."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for index, target in enumerate(loaded.config.targets):
        for place, reference in (*secrets_in(target.options), *secrets_in(target.act, ("act",))):
            at = ("targets", index, *place)
            try:
                reference.resolve()
            except SecretError as error:
                problem = loaded.document.problem(at, f"{where(at)}: {error}")
                only_the_service = reference.credential is not None and not os.environ.get(
                    "CREDENTIALS_DIRECTORY"
                )
                (warnings if only_the_service else problems).append(problem)
    return problems, warnings


def _plan(target: Target, custom: Sequence[ProbeDef]) -> TargetPlan:
    engine = engines()[target.engine]
    by_default = {probe.name: probe.default for probe in engine.definitions()}
    entries = [*(engine.catalogue() if engine.catalogue else ()), *entries_of(_own(custom, engine))]
    by_default |= {one.probe: one.default for one in entries if one.probe}
    wanted = {name: target.wants(name, default) for name, default in by_default.items()}
    return TargetPlan(
        name=target.name,
        engine=target.engine,
        address=engine.address(target),
        on=tuple(sorted(name for name, on in wanted.items() if on)),
        off=tuple(sorted(name for name, on in wanted.items() if not on)),
    )


def _own(custom: Sequence[ProbeDef], engine: Engine) -> list[ProbeDef]:
    return [probe for probe in custom if probe.engine == engine.name]


async def _ask(target: Target, custom: Sequence[ProbeDef], extra_seconds: float) -> TargetReport:
    engine = engines()[target.engine]
    observer = engine.observe(target, _own(custom, engine))
    address = engine.address(target)
    try:
        async with asyncio.timeout(2 * target.deadline_seconds + extra_seconds):
            return await _look_round(target, address, observer)
    except TimeoutError:
        failure = Failure("timed_out", "it accepts and does not answer in time")
        return TargetReport(
            name=target.name, engine=target.engine, address=address, up=False, failure=failure
        )
    finally:
        await _close(observer)


async def _look_round(target: Target, address: str, observer: Observer) -> TargetReport:
    loop = asyncio.get_running_loop()
    began = loop.time()
    up = await observer.up()
    took = loop.time() - began
    if not up.up:
        return TargetReport(
            name=target.name, engine=target.engine, address=address, up=False, failure=up.failure
        )
    failing = await _run_light(observer)
    failed = {one.probe for one in failing}
    return TargetReport(
        name=target.name,
        engine=target.engine,
        address=address,
        up=True,
        version=up.version,
        role=up.role,
        took_seconds=took,
        findings=tuple(await observer.inspect()),
        working=tuple(probe.name for probe in observer.plan() if probe.name not in failed),
        failing=tuple(failing),
        rejections=tuple(observer.rejections()),
    )


async def _run_light(observer: Observer) -> list[Rejection]:
    """Run what costs next to nothing, so that a missing right shows now and not tonight."""
    failing = []
    for probe in observer.plan():
        if probe.cost is not Cost.LIGHT:
            continue
        database = next(iter(observer.databases()), "") if probe.scope is Scope.DATABASE else ""
        answer = await observer.run(probe.name, database)
        # What this version does not have is among the rejections then, and nothing to mend.
        if answer.failure and answer.failure.cause != "unsupported":
            failing.append(Rejection(probe.name, "", f"{answer.failure.cause}: {answer.failure.message}"))
    return failing


async def _close(observer: Observer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await observer.close()
    except TimeoutError:
        return  # the process ends soon, and the sockets with it
