"""kill -9 of a real process, with a real journal and a real server: nothing is done twice, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase
from tests.fixtures.servers import Servers

ROOT = Path(__file__).parents[3]
KINDS = ("read", "idempotent", "checkable", "once")
MOMENTS = ("before", "inside", "after")
KILLED = -9
TABLES = """
create table public.effects (execution text, step text);
create table public.counters (execution text, step text, n int4 not null default 0);
"""


@dataclass
class Deadly:
    """Runs that end where they are told to, and what came of them."""

    server: ScratchPostgres
    database: str
    folder: Path
    program: asyncio.subprocess.Process
    more: dict[str, Any] = field(default_factory=dict)
    """The PostgreSQL store, if that is used."""
    runs: int = 0

    async def run(self, key: str, kind: str, *, first: bool, **how: Any) -> dict[str, Any] | None:
        """Run once; None when it was killed."""
        self.runs += 1
        settings = {
            "execution": key, "kind": kind, "first": first, "database": self.database,
            "target": reached(self.server, self.database), "store_path": str(self.folder / "acting.sqlite"),
            "result": str(self.folder / "result.json"), **self.more, **how,
        }  # fmt: skip
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps(settings).encode() + b"\n")
        async with asyncio.timeout(180):
            ended = json.loads(await self.program.stdout.readline())["status"]
        if ended == KILLED:
            return None
        assert ended == 0, "it failed: see what it wrote"
        told: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return told

    async def effects(self, key: str, kind: str) -> list[int]:
        """Return how often each step's effect happened."""
        async with connected(self.server, self.database) as connection:
            if kind == "checkable":
                found = await connection.fetch(
                    "select (select count(*) from effects e where e.execution = $1 and e.step = s.step) as n"
                    " from (values ('one'), ('two')) s (step)",
                    key,
                )
            else:
                found = await connection.fetch("select n from counters where execution = $1", key)
            return [row["n"] for row in found]

    async def prepare(self, key: str) -> None:
        """Make room for counting."""
        async with connected(self.server, self.database) as connection:
            await connection.execute(
                "insert into counters (execution, step) values ($1, 'one'), ($1, 'two')", key
            )

    async def dies_and_goes_on(self, key: str, kind: str, **how: Any) -> bool:
        """Kill it once, let another go on and check; False when it came to its end before."""
        await self.prepare(key)
        told = await self.run(key, kind, first=True, **how)
        killed = told is None
        if told is None:
            # Where it was killed before it was proposed, there is nothing to go on with.
            told = await self.run(key, kind, first=False)
            assert told is not None
            if not told["state"]:
                return True
        await self.check(key, kind, told)
        return killed

    async def check(self, key: str, kind: str, told: dict[str, Any]) -> None:
        """Look at the end: as the table of recovery says, and never done twice."""
        effects = await self.effects(key, kind)
        assert not told["chain"]
        assert sum(effects) <= told["intents"], "an effect without an intent"
        if kind == "once" and told["began_open"]:
            assert told["state"] == "needs_human"
            assert "never done again" in told["reason"]
            assert max(effects) <= 1, "done twice"
            return
        assert told["state"] == "succeeded", told["reason"]
        match kind:
            case "read":
                assert effects == [0, 0]
            case "idempotent":
                assert min(effects) >= 1
            case _:
                assert effects == [1, 1], "done twice, or not at all"


def reached(server: ScratchPostgres, database: str) -> dict[str, Any]:
    """Return how to reach a server, as its configuration has it."""
    return {
        "host": server.host, "port": server.port, "user": server.superuser,
        "password": {"text": server.password}, "dbname": database, "tls": {"mode": "disable"},
    }  # fmt: skip


@pytest.fixture
async def deadly(tmp_path: Path, servers: Servers, fresh_database: NewDatabase) -> AsyncIterator[Deadly]:
    server = await servers.get(15)
    database = await fresh_database(server, template="template0")
    async with connected(server, database) as connection:
        await connection.execute(TABLES)
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.killpoints.killed_daemon",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        yield Deadly(server, database, tmp_path, program)
    finally:
        assert program.stdin is not None
        program.stdin.close()
        await program.wait()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_f01_killed_at_each_write_of_the_journal(deadly: Deadly, kind: str, moment: str) -> None:
    """Exhaustive: until a run has no further write."""
    for write in count(1):
        if not await deadly.dies_and_goes_on(f"w{write}", kind, write=write, moment=moment):
            break
    assert write >= 10, "there were fewer writes than records, so not all of them were counted"


@pytest.mark.parametrize("kind", ["checkable", "once"])
async def test_f01_killed_at_writes_of_a_journal_on_postgresql(
    deadly: Deadly, fresh_database: NewDatabase, kind: str
) -> None:
    """A sample: each write at one of the three moments."""
    database = await fresh_database(deadly.server, template="template0")
    deadly.more = {"store_server": reached(deadly.server, database)}
    for write in count(1):
        moment = MOMENTS[write % len(MOMENTS)]
        if not await deadly.dies_and_goes_on(f"p{write}", kind, write=write, moment=moment):
            break
    assert write >= 10
