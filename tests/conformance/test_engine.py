"""What every engine promises, asked of each that is registered, and of a toy one made here."""

from __future__ import annotations

import contextlib
import importlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from actions.scratch.ports import free_port
from collectors import registry
from collectors.definition import RESERVED_LABELS
from collectors.engine import Engine, Observer
from collectors.model import Kind, MetricDef, Observation, Up
from tests.conformance.cases import (
    BASE_UNITS,
    CANARY,
    CASES,
    ENGINES,
    KEPT,
    NETWORKED,
    Case,
    causes,
    declared,
    exposition,
    observing,
    silent_server,
    target,
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return registry.engines()[request.param]


@pytest.fixture
def case(engine: Engine) -> Case:
    assert engine.name in CASES, f"say in CASES how a target of engine {engine.name} is written down"
    return CASES[engine.name]


def test_an_engine_is_named_as_its_folder(engine: Engine) -> None:
    module = importlib.import_module(f"collectors.{engine.name}")
    assert module.ENGINE is engine
    assert re.fullmatch(r"[a-z][a-z0-9]*", engine.name)
    assert engine.title.strip()
    assert all(probe.engine == engine.name for probe in engine.definitions())


def test_options_refuse_keys_that_they_do_not_know_at_every_depth(
    engine: Engine, case: Case, tmp_path: Path
) -> None:
    options = case.at("127.0.0.1", 1, tmp_path)
    engine.options.model_validate(options)
    with pytest.raises(ValidationError, match="no_such_key"):
        engine.options.model_validate(options | {"no_such_key": 1})
    models = [engine.options]
    for model in models:
        assert model.model_config.get("extra") == "forbid", model
        for field in model.model_fields.values():
            for one in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(one, type) and issubclass(one, BaseModel) and one not in models:
                    models.append(one)


def test_an_address_and_options_never_show_a_credential(engine: Engine, case: Case, tmp_path: Path) -> None:
    watched = target(engine, case.at("db.example", 1234, tmp_path) | case.secret)
    assert CANARY not in engine.address(watched)
    assert engine.address(watched)
    if case.network:
        assert "db.example" in engine.address(watched)
        assert "1234" in engine.address(watched)
    for secret in case.secret:
        assert CANARY not in repr(getattr(watched.options, secret))
        assert CANARY not in str(watched.options.model_dump(mode="json", include={secret}))


def test_every_metric_is_described_and_named_after_its_unit(engine: Engine) -> None:
    for metric in declared(engine):
        assert metric.help.strip(), metric.name
        assert "\n" not in metric.help, metric.name
        assert re.fullmatch(r"[a-z][a-zA-Z0-9_]*", metric.name), metric.name
        assert len(set(metric.labels)) == len(metric.labels), metric.name
        assert not set(metric.labels) & RESERVED_LABELS, metric.name
        if metric.unit in BASE_UNITS and metric.name not in KEPT:
            assert metric.unit in metric.name, f"{metric.name} is in {metric.unit}"
        if metric.name.endswith("_total"):
            assert metric.kind is Kind.COUNTER, metric.name


def test_a_metric_name_means_one_thing(engine: Engine) -> None:
    named: dict[str, MetricDef] = {}
    for metric in declared(engine):
        assert named.setdefault(metric.name, metric) == metric, metric.name


def test_a_metric_name_means_one_thing_across_engines() -> None:
    owners: dict[str, tuple[str, MetricDef]] = {}
    for name in ENGINES:
        for metric in declared(registry.engines()[name]):
            owner, known = owners.setdefault(metric.name, (name, metric))
            assert owner == name or known == metric, f"{metric.name}: {owner} and {name}"


def test_probe_names_are_unique_and_have_deadlines(engine: Engine) -> None:
    probes = engine.definitions()
    assert len({probe.name for probe in probes}) == len(probes)
    for probe in probes:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", probe.name)
        assert 0 < probe.info.within_seconds <= 60
        assert probe.info.name == probe.name
        assert probe.help.strip(), probe.name


async def test_what_is_unreachable_is_down_with_a_cause_in_time(
    engine: Engine, case: Case, tmp_path: Path
) -> None:
    watched = target(engine, case.at("127.0.0.1", free_port(), tmp_path) | case.secret)
    async with observing(engine, watched) as observer:
        assert observer.plan() == () or list(observer.plan()) == []
        for _ in range(2):
            begun = time.monotonic()
            up = await observer.up()
            assert time.monotonic() - begun < watched.deadline_seconds + 1
            check_down(up)
        assert not list(observer.plan())


@pytest.mark.parametrize("engine", NETWORKED, indirect=True)
async def test_what_accepts_and_never_answers_is_down_in_time(
    engine: Engine, case: Case, tmp_path: Path
) -> None:
    async with silent_server() as port:
        watched = target(engine, case.at("127.0.0.1", port, tmp_path) | case.secret, deadline=0.5)
        async with observing(engine, watched) as observer:
            begun = time.monotonic()
            up = await observer.up()
            assert time.monotonic() - begun < 3
            check_down(up)
            assert up.failure.cause == "timed_out"


@pytest.mark.parametrize("engine", NETWORKED, indirect=True)
async def test_a_name_that_does_not_exist_is_unreachable(engine: Engine, case: Case, tmp_path: Path) -> None:
    watched = target(engine, case.at("no-such-host.invalid", 1, tmp_path) | case.secret, deadline=5)
    async with observing(engine, watched) as observer:
        up = await observer.up()
    check_down(up)
    assert up.failure.cause in ("unreachable", "timed_out")


async def test_an_unknown_probe_is_a_failure_and_not_an_exception(
    engine: Engine, case: Case, tmp_path: Path
) -> None:
    watched = target(engine, case.at("127.0.0.1", free_port(), tmp_path))
    async with observing(engine, watched) as observer:
        answer = await observer.run("no_such_probe")
    assert answer.failure is not None
    assert answer.failure.cause in causes()
    assert answer.probe == "no_such_probe"
    assert answer.frames == ()


async def test_closing_twice_and_closing_what_was_never_open_is_nothing(
    engine: Engine, case: Case, tmp_path: Path
) -> None:
    observer = engine.observe(target(engine, case.at("127.0.0.1", free_port(), tmp_path)), ())
    await observer.close()
    await observer.up()
    await observer.close()
    await observer.close()
    assert observer.sessions == 0


class Live:
    """Options for a running server of each engine."""

    def __init__(self, request: pytest.FixtureRequest, stack: contextlib.AsyncExitStack) -> None:
        self._request = request
        self._stack = stack

    async def options(self, engine: str) -> dict[str, Any]:
        if engine == "host":
            return {}
        if engine == "exporter":
            return {"url": await self._stack.enter_async_context(exposition())}
        server = self._request.getfixturevalue("postgres15")
        if engine == "postgresql":
            login = {"user": server.superuser, "password": {"text": server.password}}
            return {"host": server.host, "port": server.port, "tls": {"mode": "disable"}} | login
        pool = await self._request.getfixturevalue("pgbouncer")(server)
        return {
            "host": pool.host,
            "port": pool.port,
            "user": pool.admin,
            "password": {"text": pool.password},
        }


@pytest.fixture
async def live(
    request: pytest.FixtureRequest, engine: Engine, postgres15: Any, pgbouncer: Any
) -> AsyncIterator[Observer]:
    async with contextlib.AsyncExitStack() as stack:
        options = await Live(request, stack).options(engine.name)
        # Everything is asked, what is off by default as well.
        watched = target(engine, options, deadline=5.0, probes=(("*", True),), cluster="c")
        observer = await stack.enter_async_context(observing(engine, watched))
        up = await observer.up()
        assert up.up, up.failure
        yield observer


async def test_a_live_server_is_up_with_an_identity_that_stays(live: Observer, engine: Engine) -> None:
    first, second = await live.up(), await live.up()
    for up in (first, second):
        assert up.up
        assert up.failure is None
        assert abs(up.at - time.time()) < 10
    assert first.identity == second.identity
    assert first.version == second.version
    assert live.plan()
    assert all(one.reason for one in live.rejections())
    assert len(list(await live.inspect())) > 0
    assert {finding.state for finding in await live.inspect()} <= {"ok", "missing", "unknown", "info"}


async def test_frames_carry_what_is_declared(live: Observer, engine: Engine, case: Case) -> None:
    series: dict[tuple, str] = {}
    names = {probe.name for probe in engine.definitions()}
    metrics = set(declared(engine))
    samples = 0
    for info in live.plan():
        answer = await run(live, info.name)
        if answer.failure is not None:
            assert answer.failure.cause == "unsupported", (info.name, answer.failure)
            assert info.name not in {one.name for one in live.plan()}, "it is asked again and again"
            assert info.name in {one.probe for one in live.rejections()}
            continue
        assert info.name in names or info.metrics, info.name
        for frame in answer.frames:
            assert len(frame.columns) == len(frame.metrics)
            for metric, column in zip(frame.metrics, frame.columns, strict=True):
                if info.name not in case.dynamic:
                    assert metric in info.metrics, (info.name, metric.name)
                    assert metric in metrics, (info.name, metric.name)
                assert len(column) == len(frame.keys), metric.name
                assert all(value is None or type(value) in (int, float) for value in column), metric.name
                assert all(len(key) == len(metric.labels) for key in frame.keys), metric.name
                for key, value in zip(frame.keys, column, strict=True):
                    assert all(type(text) is str for text in key), (metric.name, key)
                    if value is not None:
                        samples += 1
                        labels = frozenset(zip(metric.labels, key, strict=True))
                        other = series.setdefault((metric.name, labels), info.name)
                        assert other == info.name, f"{metric.name}{key} comes from {other} and {info.name}"
            assert len(set(frame.keys)) == len(frame.keys), info.name
    assert samples > 5


async def test_sessions_are_counted_and_gone_after_closing(live: Observer) -> None:
    for info in live.plan()[:3]:
        await run(live, info.name)
    assert live.sessions >= 0
    await live.close()
    assert live.sessions == 0


def check_down(up: Up) -> None:
    assert not up.up
    assert up.failure is not None
    assert up.failure.cause in causes()
    assert up.failure.message.strip()
    assert CANARY not in up.failure.message


async def run(observer: Observer, probe: str) -> Observation:
    databases = list(observer.databases())
    return await observer.run(probe, databases[0] if databases else "")
