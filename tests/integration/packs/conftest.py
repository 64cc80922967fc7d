"""What the tests of the packs share: courts, and servers of this folder's own that its tests hurt and mend."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres, primary_and_replica
from tests.fixtures.courts import Court
from tests.fixtures.servers import SETTINGS, Pair, Servers

_SPARE = {
    **SETTINGS,
    "max_connections": "24",
    "shared_preload_libraries": "pg_stat_statements",
    "archive_mode": "on",
    "archive_command": "true",
}
_FLOCK = {**SETTINGS, "shared_preload_libraries": "", "wal_receiver_status_interval": "1s"}


@pytest.fixture
async def court(request: pytest.FixtureRequest) -> AsyncIterator[Court]:
    """Judge by the module's `PACK`, or by the pack postgresql: `watched = court.watch(server, "pg1")`."""
    one = Court(getattr(request.module, "PACK", "postgresql"))
    yield one
    await one.close()


@pytest.fixture(scope="session")
async def _spare(servers: Servers, place: Place) -> AsyncIterator[ScratchPostgres]:
    binaries = servers.binaries(15)
    async with ScratchPostgres(
        binaries, place=place, name="spare", settings=_SPARE, initdb=("--data-checksums",)
    ) as one:
        yield one


@pytest.fixture
async def spare(_spare: ScratchPostgres) -> AsyncIterator[ScratchPostgres]:
    """PostgreSQL 15 to hurt: it runs, with its own settings, before each test and after it."""
    before = dict(_spare.settings)
    yield _spare
    if _spare.settings != before:
        _spare.settings = before
        await _spare.stop("immediate")
    if not _spare.running:
        await _spare.start()


@pytest.fixture(scope="session")
async def _flock(servers: Servers, place: Place) -> AsyncIterator[Pair]:
    async with primary_and_replica(servers.binaries(18), place=place, name="flock", settings=_FLOCK) as both:
        yield both


@pytest.fixture
async def flock(_flock: Pair) -> AsyncIterator[Pair]:
    """A primary and a replica, PostgreSQL 18, that stream again after each test."""
    yield _flock
    for server in _flock:
        with contextlib.suppress(Exception):
            server.resume()
        if not server.running:
            await server.start()
