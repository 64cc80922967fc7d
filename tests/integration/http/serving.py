"""Runs the HTTP side on a free port of loopback, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.acting.office import Office
from daemon.http.server import HttpOptions, HttpServer
from daemon.judge.judge import Judged
from daemon.received.desk import Desk
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Served:
    """A server that runs, and what it shows."""

    port: int
    snapshot: Snapshot
    selfmetrics: SelfMetrics
    server: HttpServer

    @property
    def url(self) -> str:
        return self.server.addresses[0]

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, return everything that comes back until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    snapshot: Snapshot,
    *,
    stale: Callable[[], Sequence[str]] = tuple,
    judged: Callable[[], Judged] = Judged,
    desk: Desk | None = None,
    external_labels: Callable[[], Mapping[str, str]] = dict,
    office: Callable[[], Office | None] = lambda: None,
    **options: Any,
) -> AsyncIterator[Served]:
    port = free_port()
    options.setdefault("listen", f"127.0.0.1:{port}")
    selfmetrics = SelfMetrics("1.2.3")
    server = HttpServer(
        HttpOptions(**options), snapshot, selfmetrics, stale, judged, desk, external_labels, office
    )
    await server.start()
    try:
        yield Served(port, snapshot, selfmetrics, server)
    finally:
        await server.stop()
