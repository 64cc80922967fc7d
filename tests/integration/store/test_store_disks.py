"""F04, F16, F17: files that another daemon has, disks that are full, fail, or take no writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actions.errors import ActError, StoreDamaged, StoreUnavailable
from actions.model import RecordKind
from actions.ports import Stop
from daemon.store.options import ANCHOR, FILE, Part
from daemon.store.store import SqlStore
from tests.fixtures.missing import missing
from tests.fixtures.stores import NewPlace, claim, execution, propose, record

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import asyncio, sys
from pathlib import Path
from actions.errors import ActError
from actions.model import Record, RecordKind
from daemon.acting.steady import SteadyClock
from daemon.store.opening import open_store
from daemon.store.options import ANCHOR, FILE, StoreOptions

folder = Path(sys.argv[1])

async def opened():
    return await open_store(StoreOptions(path=folder / FILE, anchor=folder / ANCHOR), SteadyClock())

async def answer(store, word):
    if word == "close":
        await store.close()
    if word == "write":
        return await store.write(Record(kind=RecordKind.NOTE, body={"text": "x" * 100}))
    if word == "read":
        return len(await store.journal())
    if word == "verify":
        return await store.verify()
    return store.anchor_trouble

async def main():
    store = await opened()
    print("ready", flush=True)
    for word in map(str.strip, iter(sys.stdin.readline, "")):
        try:
            if word == "open":
                store = await opened()
            print(word, await answer(store, word), flush=True)
        except ActError as error:
            print(word, type(error).__name__, error, flush=True)

asyncio.run(main())
"""


class Child:
    """A daemon's store in a process of its own, which does as it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def heard(self) -> str:
        """Return its next line."""
        assert self._process.stdout
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode().strip()

    async def says(self, word: str) -> str:
        """Return what it says to an order."""
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n".encode())
        said = await self.heard()
        assert said.startswith(word), said
        return said.removeprefix(word).strip()

    async def kill(self) -> None:
        """End it as kill -9 does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def child(folder: Path) -> AsyncIterator[Child]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(folder), stdin=pipe, stdout=pipe, cwd=ROOT
    )
    one = Child(process)
    try:
        assert await one.heard() == "ready"
        yield one
    finally:
        await one.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes at the place of the store."""
    if os.geteuid() != 0:
        missing("the right to mount a tmpfs", "run the tests as root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; return what is to be removed."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    return ballast


@pytest.mark.parametrize("kind", ["sqlite", "inline"])
async def test_f16_a_full_disk_writes_nothing_and_it_recovers_alone(
    small_disk: Path, somewhere: NewPlace, kind: str
) -> None:
    home = await somewhere(kind)
    store = await home.open()
    await propose(store, "e1", "e2", "e3")
    ballast = fill(small_disk)
    landed = await written_until_full(store)
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match="the disk is full: nothing is done until there is room"):
            await store.move(claim("e1"))
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await store.propose(execution("e4"), record())
    assert [each.state for each in await store.executions()] == ["approved"] * 3, "it can be read"
    report = await store.verify()
    assert (report.first_bad, report.records) == (None, 3 + landed)
    ballast.unlink()
    assert await store.move(claim("e1"))
    assert await store.write(record())
    report = await store.verify()
    assert (report.first_bad, report.records) == (None, 5 + landed)


async def written_until_full(store: SqlStore) -> int:
    """Use up what room the file has by itself; return how many records that took."""
    for landed in range(1000):
        try:
            await store.write(record(body={"text": "x" * 1000}))
        except StoreUnavailable:
            return landed
    raise AssertionError("the disk was never full")


async def test_f16_an_anchor_without_room_is_told_and_grows_again(
    small_disk: Path, somewhere: NewPlace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = await somewhere("sqlite")
    anchor = small_disk / "elsewhere" / ANCHOR
    anchor.parent.mkdir()
    home.options = type(home.options)(path=tmp_path_factory.mktemp("roomy") / FILE, anchor=anchor)
    store = await home.open()
    ballast = fill(small_disk)
    assert await store.write(record())
    await home.pass_time(61)
    assert await store.write(record()), "the journal itself has room"
    assert "No space left" in store.anchor_trouble
    assert "would not be missed" in store.anchor_trouble
    ballast.unlink()
    assert await store.write(record())
    assert store.anchor_trouble == ""
    await store.close()
    await home.sql("DELETE FROM journal WHERE seq = 3", "UPDATE head SET seq = 2")
    with pytest.raises(StoreDamaged):
        await home.open()


async def test_f16_on_a_full_disk_a_new_store_is_not_begun(small_disk: Path, somewhere: NewPlace) -> None:
    home = await somewhere("sqlite")
    ballast = fill(small_disk)
    with pytest.raises(StoreUnavailable, match=r"full|No space"):
        await home.open()
    ballast.unlink()
    store = await home.open()
    assert await store.write(record())


async def test_f17_after_a_failed_fsync_nothing_is_written_until_it_is_opened_again(tmp_path: Path) -> None:
    async with child(tmp_path) as store:
        assert await store.says("write") == "True"
        async with fsync_fails(store.pid):
            said = await store.says("write")
            assert said.startswith("StoreUnavailable"), said
            assert "the disk failed" in said
            assert "what was last written may be lost" in said
            assert await store.says("write") == said
        # The disk is well again: what the kernel has dropped meanwhile, nobody knows.
        assert await store.says("write") == said
        assert await store.says("read") in ("1", "2"), "it can be read"
        await store.says("close")
        await store.says("open")
        assert await store.says("write") == "True"
        report = await store.says("verify")
        assert "first_bad=None" in report, report
        assert "problem=''" in report


@contextlib.asynccontextmanager
async def fsync_fails(pid: int) -> AsyncIterator[None]:
    """Let every fsync of a process fail with EIO."""
    if not shutil.which("strace"):
        missing("strace", "apt-get install strace")
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-p", str(pid), "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert tracer.stderr
        async with asyncio.timeout(60):
            said = (await tracer.stderr.readline()).decode()
        if "attached" not in said:
            missing(f"the right to trace a process ({said.strip()})", "run the tests as root")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.send_signal(signal.SIGINT)
        await tracer.communicate()


async def test_f04_a_second_daemon_on_one_file_is_told_who_has_it(
    somewhere: NewPlace, tmp_path: Path
) -> None:
    home = await somewhere("sqlite")
    async with child(tmp_path) as first:
        with pytest.raises(
            StoreUnavailable, match=rf"another daemon \(pid {first.pid}\) works with this file"
        ):
            await home.open()
        clerk = await home.open(Part.CLERK)
        await clerk.stop(Stop(by="anna", why="enough"), record(RecordKind.STOP))
        assert await first.says("read") == "1", "people reach it while the daemon runs"
        assert await first.says("write") == "True"
        await clerk.close()
        await first.kill()
        # Nothing has to be cleaned up after kill -9.
        store = await home.open()
        assert (await store.verify()).records == 2


async def test_f04_a_daemon_that_was_refused_has_changed_nothing(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    store = await home.open()
    await propose(store, "e1")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=f"pid {os.getpid()}"):
            await home.open()
    assert (tmp_path / f"{FILE}.lock").read_text() == f"{os.getpid()}\n"
    assert await store.move(claim("e1"))


async def test_a_folder_that_is_not_there_is_named(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    home.options = type(home.options)(path=tmp_path / "absent" / FILE)
    with pytest.raises(StoreUnavailable, match="absent is not there: make it, or name another"):
        await home.open()
    home.options = type(home.options)(path=tmp_path / "afile" / FILE)
    (tmp_path / "afile").touch()
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        await home.open()


async def test_without_a_journal_people_are_told_that_nothing_was_done(somewhere: NewPlace) -> None:
    home = await somewhere("sqlite")
    for part in (Part.READER, Part.CLERK):
        with pytest.raises(StoreUnavailable, match="no daemon has acted with this one yet"):
            await home.open(part)


async def test_a_folder_that_takes_no_writes_is_named(small_disk: Path, somewhere: NewPlace) -> None:
    home = await somewhere("sqlite")
    store = await home.open()
    await propose(store, "e1")
    await store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailable, match="cannot be written: Read-only file system"):
        await home.open()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert await (await home.open()).move(claim("e1"))


async def test_a_file_that_is_no_database_is_left_as_it_is(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    garbage = b"This is not a database, and it is somebody's.\n" * 200
    (tmp_path / FILE).write_bytes(garbage)
    for part in Part:
        with pytest.raises(StoreDamaged, match="the file is damaged: file is not a database"):
            await home.open(part)
    assert (tmp_path / FILE).read_bytes() == garbage


async def test_a_folder_at_the_file_s_place_is_refused(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    (tmp_path / FILE).mkdir()
    for part in Part:
        with pytest.raises(ActError, match=FILE):
            await home.open(part)


async def test_another_program_s_database_is_left_as_it_is(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("CREATE TABLE customers (name text)")
    with pytest.raises(StoreDamaged, match=r"other tables than ours \(customers\): name a file"):
        await home.open()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]


async def test_who_writes_for_too_long_is_not_waited_for_without_end(
    somewhere: NewPlace, tmp_path: Path
) -> None:
    home = await somewhere("sqlite")
    store = await home.open(wait_seconds=0.2)
    await propose(store, "e1")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process is writing it for too long"):
            await store.move(claim("e1"))
        assert await store.execution("e1"), "readers do not wait for writers"
        other.execute("ROLLBACK")
    assert await store.move(claim("e1"))
