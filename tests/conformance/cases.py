"""How a target of each engine is written down, and servers that are good or bad on purpose."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from collectors import registry
from collectors.engine import Engine, Observer
from collectors.errors import CollectError
from collectors.model import MetricDef, Target

CANARY = "canary-c0ffee"
ENGINES = sorted(registry.engines())
BASE_UNITS = ("bytes", "seconds", "ratio")
KEPT = {
    line.split("\t")[0]
    for line in (Path(__file__).resolve().parents[1] / "data" / "postgres_exporter_names.tsv")
    .read_text()
    .splitlines()
}
"""Names that another exporter has made known, whatever they look like."""
EXPOSITION = (
    '# TYPE thing_total counter\nthing_total{a="1"} 5\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\n'
)


@dataclass(frozen=True)
class Case:
    """How to write an engine's options down."""

    at: Callable[[str, int, Path], dict[str, Any]]
    """Options for a server at host and port; the path is an empty folder."""
    secret: dict[str, Any]
    """Options that hold the canary."""
    network: bool = True
    dynamic: tuple[str, ...] = ()
    """Probes that give metrics which nobody can declare."""


def _tcp(host: str, port: int, _: Path) -> dict[str, Any]:
    return {"host": host, "port": port, "tls": {"mode": "disable"}}


CASES = {
    "postgresql": Case(_tcp, {"password": {"text": CANARY}, "user": "me"}, dynamic=("settings",)),
    "pgbouncer": Case(_tcp, {"password": {"text": CANARY}, "user": "me"}),
    "exporter": Case(
        lambda host, port, _: {"url": f"http://{host}:{port}/metrics?token={CANARY}"},
        {"bearer_token": {"text": CANARY}},
        dynamic=("scrape",),
    ),
    "host": Case(lambda _host, _port, folder: {"proc": str(folder)}, {}, network=False),
}

NETWORKED = [name for name in ENGINES if name not in CASES or CASES[name].network]


def target(engine: Engine, options: dict[str, Any], *, deadline: float = 2.0, **more: Any) -> Target:
    return Target(
        name="t",
        engine=engine.name,
        options=engine.options.model_validate(options),
        deadline_seconds=deadline,
        **more,
    )


@contextlib.asynccontextmanager
async def observing(engine: Engine, watched: Target) -> AsyncIterator[Observer]:
    observer = engine.observe(watched, ())
    try:
        yield observer
    finally:
        await observer.close()


def declared(engine: Engine) -> list[MetricDef]:
    found = [metric for probe in engine.definitions() for metric in probe.metrics]
    found += [entry.metric for entry in (engine.catalogue() if engine.catalogue else ())]
    return [engine.up_metric, *found]


def causes() -> set[str]:
    return {CollectError.cause, *(kind.cause for kind in CollectError.__subclasses__())}


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1000):
                pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def exposition() -> AsyncIterator[str]:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=EXPOSITION + "".join(f"m{number} 1\n" for number in range(10)))

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()
