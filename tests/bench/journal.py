"""What a journal of 1,000,000 records costs: to start on it, to claim a plan, to verify its chain.

    make bench-journal
    .venv/bin/python -m tests.bench.journal [--records 1000000] [--server] [--folder PATH] [--json FILE]

Executions have ten records each. The store's own writer masks, hashes and writes them, 500 executions in one
transaction (a daemon waits for the disk after each transition). What is measured afterwards is the store as
a daemon opens it, in a process of its own, with the file dropped from the system's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from actions.model import LIVE, Record, RecordKind, Scope, State
from actions.ports import Move
from actions.scratch.place import scratch_place
from actions.scratch.postgres import ScratchPostgres
from collectors.postgresql.options import PostgresOptions
from daemon.store.opening import open_store
from daemon.store.options import ANCHOR, FILE, Part, StoreOptions
from daemon.store.store import SqlStore
from tests.bench.collect_workload import debian15
from tests.bench.journal_filling import fill
from tests.bench.journal_lines import execution_of, records_of

LIMITS = {"start_s": 15.0, "claim_p99_ms": 10.0, "verify_s": 30.0}
CLAIMS = 1000
_WORDS = {
    "start_s": ("start: open, take the lease, read what was under way", "s"),
    "claim_p50_ms": ("claim of an approved plan, p50", "ms"),
    "claim_p99_ms": ("claim of an approved plan, p99", "ms"),
    "fsync_p50_ms": ("of this, one write and fsync of the disk alone, p50", "ms"),
    "fsync_p99_ms": ("the same, p99", "ms"),
    "claim_cpu_ms": ("of a claim, CPU on average", "ms"),
    "verify_s": ("verification of the whole chain", "s"),
    "verify_cpu_s": ("of this, CPU", "s"),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    records: int
    megabytes: float
    fill_s: float
    start_s: float
    claim_p50_ms: float
    claim_p99_ms: float
    fsync_p50_ms: float
    fsync_p99_ms: float
    claim_cpu_ms: float
    verify_s: float
    verify_cpu_s: float


class WallClock:
    """Time as the daemon has it."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--records", type=int, default=1_000_000)
    words.add_argument("--server", action="store_true", help="in a scratch PostgreSQL 15 instead of SQLite")
    words.add_argument("--folder", type=Path, help="on this file system (default: the current one)")
    words.add_argument("--json", type=Path, help="write the figures to this file, too")
    words.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.measure:
        # Where: on stdin, it may hold a password.
        print(json.dumps(uvloop.run(measured(options_from(json.load(sys.stdin))))))
        return
    with tempfile.TemporaryDirectory(prefix=".bench-journal-", dir=given.folder or Path.cwd()) as folder:
        found = asyncio.run(_run(given.records, Path(folder), on_server=given.server))
    if given.json:
        given.json.write_text(json.dumps(asdict(found), indent=2) + "\n")
    report(found)


def report(found: Figures) -> None:
    """Print the figures beside what was promised."""
    size = f"{found.megabytes:,.0f} MB, written in {found.fill_s:.0f} s"
    screen = Table("", "measured", "limit", "of it", title=f"journal of {found.records:,} records ({size})")
    for name, (words, unit) in _WORDS.items():
        value, limit = getattr(found, name), LIMITS.get(name)
        screen.add_row(
            words,
            f"{value:.2f} {unit}",
            f"{limit:.0f} {unit}" if limit else "",
            f"{value / limit:.2f}" if limit else "",
        )
    Console().print(screen)


async def measured(options: StoreOptions) -> dict[str, float]:
    """Measure a journal that is there, as a daemon that has just been started."""
    if options.path:
        forget(options.path)
    began = time.perf_counter()
    store = await open_store(options, WallClock())
    # The last holder's lease is released; what follows is what a daemon does before it acts.
    grant = await store.grant("bench", 60.0)
    assert grant
    await store.stops()
    await store.executions(LIVE)
    await store.past(time.time() - 86400)
    found = {"start_s": time.perf_counter() - began}
    taken = [each async for each in claims(store, grant.epoch)]
    found |= quantiles("claim", [wall for wall, _ in taken])
    found["claim_cpu_ms"] = sum(cpu for _, cpu in taken) / len(taken) * 1000
    if options.anchor:
        found |= quantiles("fsync", list(writes(options.anchor.with_name("fsync"))))
    await store.release(grant)
    await store.close()
    reader = await open_store(options, WallClock(), Part.READER)
    began, busy = time.perf_counter(), time.process_time()
    chain = await reader.verify()
    found |= {"verify_s": time.perf_counter() - began, "verify_cpu_s": time.process_time() - busy}
    await reader.close()
    assert not chain.problem, chain.problem
    return found


async def claims(store: SqlStore, epoch: int) -> AsyncIterator[tuple[float, float]]:
    """Claim plans one after the other, each in a part of its own; give the seconds and CPU that each took."""
    for number in range(CLAIMS):
        wanted = execution_of(
            f"claim{number}", State.APPROVED, time.time(), Scope(cluster="bench", part=str(number))
        )
        await store.propose(wanted, next(iter(records_of(wanted))))
        record = Record(kind=RecordKind.CLAIMED, body={"from": "approved", "to": "claimed"}, epoch=epoch)
        move = Move(
            execution=wanted.id,
            expected={State.APPROVED},
            expected_epoch=0,
            to=State.CLAIMED,
            epoch=epoch,
            record=record,
            lease_epoch=epoch,
        )
        began, busy = time.perf_counter(), time.process_time()
        assert await store.move(move)
        yield time.perf_counter() - began, time.process_time() - busy


def writes(path: Path) -> Iterator[float]:
    """Give the seconds that the disk takes for as many small writes, without any store."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(CLAIMS):
            began = time.perf_counter()
            os.write(handle, bytes(8192))
            os.fdatasync(handle)
            yield time.perf_counter() - began
    finally:
        os.close(handle)
        path.unlink()


def quantiles(name: str, seconds: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    line = sorted(seconds)
    return {
        f"{name}_p50_ms": line[len(line) // 2] * 1000,
        f"{name}_p99_ms": line[len(line) * 99 // 100] * 1000,
    }


def forget(path: Path) -> None:
    """Drop a file from the memory of the system: a start after a reboot reads the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def options_from(given: Mapping[str, str]) -> StoreOptions:
    """Return where the journal is, as another process was told."""
    anchor = Path(given["anchor"])
    if "path" in given:
        return StoreOptions(path=Path(given["path"]), anchor=anchor)
    server = PostgresOptions(
        host=given["host"],
        port=int(given["port"]),
        user=given["user"],
        password={"text": given["password"]},
        dbname="postgres",
        tls={"mode": "disable"},
    )
    return StoreOptions(server=server, anchor=anchor)


async def _run(records: int, folder: Path, *, on_server: bool) -> Figures:
    async with contextlib.AsyncExitStack() as stack:
        place = {"anchor": str(folder / ANCHOR)}
        if on_server:
            place |= await stack.enter_async_context(_server())
        else:
            place["path"] = str(folder / FILE)
        options = options_from(place)
        began = time.perf_counter()
        store = await open_store(options, WallClock())
        size = await fill(store, records)
        await store.close()
        filled = time.perf_counter() - began
        found = await asyncio.to_thread(_elsewhere, place)
    return Figures(records=records, megabytes=size / 1e6, fill_s=filled, **found)


def _elsewhere(place: Mapping[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.journal", "--measure"],
        check=True,
        input=json.dumps(place).encode(),
        stdout=subprocess.PIPE,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[dict[str, str]]:
    async with (
        scratch_place() as place,
        ScratchPostgres(await debian15(), place=place, name="journal", deadline=180.0) as server,
    ):
        yield {
            "host": server.host,
            "port": str(server.port),
            "user": server.superuser,
            "password": server.password,
        }


if __name__ == "__main__":
    main()
