"""What a program of the operator's may do to us: write too much, never end, leave something behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from actions.command.process import KEPT_BYTES, run
from actions.errors import NotDone, OutcomeUnknown
from collectors.secret import Secret
from tests.fixtures.waiting import until

PYTHON = sys.executable


def script(code: str) -> list[str]:
    return [PYTHON, "-I", "-c", code]


async def test_exit_code_and_both_outputs_are_told() -> None:
    ended = await run(
        script("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), within=60
    )
    assert ended.evidence == {
        "exit_code": 3, "stdout": "out\n", "stdout_bytes": 4, "stderr": "err\n", "stderr_bytes": 4,
    }  # fmt: skip
    assert ended.words == "exit code 3: err"


async def test_a_signal_is_named() -> None:
    ended = await run(script("import os; os.kill(os.getpid(), 9)"), within=60)
    assert ended.words == "killed by SIGKILL"


async def test_a_gigabyte_of_output_takes_no_memory() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    ended = await run(["/usr/bin/head", "-c", str(10**9), "/dev/zero"], within=120)
    assert ended.code == 0
    assert ended.out.total == 10**9
    assert len(ended.out.text) < 3 * KEPT_BYTES
    assert process.memory_info().rss - before < 50e6


async def test_beginning_and_end_are_kept() -> None:
    ended = await run(script("print('first'); print('x' * 79 + chr(10), end='') ; "
                             "[print('middle', n) for n in range(10000)]; print('last')"), within=60)  # fmt: skip
    text = ended.out.text
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert "bytes left out]" in text


async def test_invalid_utf8_and_escapes_become_printable() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'a\xff\xfe\x1b[31mred\x1b[0m\x00\x07\nend')"
    ended = await run(script(code), within=60)
    assert ended.out.text == "a\ufffd\ufffdred\ufffd\ufffd\nend"


async def test_a_known_secret_in_the_output_is_masked() -> None:
    secret = Secret("canary-7f1c0b")
    ended = await run(script(f"print('the password is {secret.reveal()}!')"), within=60)
    assert ended.out.text == "the password is ***!\n"


async def test_nothing_of_our_environment_is_handed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "canary-environment")
    ended = await run(
        script("import os; print(sorted(os.environ))"), within=60, environment={"PGHOST": "db1"}
    )
    # Python itself adds LC_CTYPE where it finds LC_ALL=C.
    assert set(ended.out.text.strip("[]\n").replace("'", "").split(", ")) - {"LC_CTYPE"} == {
        "LC_ALL", "PATH", "PGHOST", "TZ",
    }  # fmt: skip


async def test_standard_input_is_empty() -> None:
    ended = await run(script("import sys; print(repr(sys.stdin.read()))"), within=60)
    assert ended.out.text == "''\n"


async def test_one_that_never_ends_is_killed_with_its_children_and_its_outcome_is_unknown(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
with open({str(pids)!r}, 'a') as file: print(os.getpid(), file=file)
time.sleep(3600)
"""
    with pytest.raises(OutcomeUnknown, match=r"did not end within 5 s; it was killed"):
        await run(script(code), within=5)
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    await until(lambda: not any(alive(pid) for pid in started), deadline=60)


async def test_cancelling_the_wait_kills_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    task = asyncio.ensure_future(run(script(code), within=3600))
    pid = int(await until(lambda: pids.exists() and pids.read_text(), deadline=60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_a_child_that_holds_the_pipe_is_killed_and_told_of(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, time
if os.fork() == 0:
    open({str(pids)!r}, 'w').write(str(os.getpid()))
    time.sleep(3600)
"""
    ended = await run(script(code), within=60)
    assert ended.code == 0
    assert ended.left_behind
    pid = int(await until(lambda: pids.exists() and pids.read_text(), deadline=60))
    await until(lambda: not alive(pid), deadline=60)


async def test_a_child_of_a_child_in_a_session_of_its_own_does_not_hold_us_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({str(pids)!r}, 'w').write(str(os.getpid()))
        time.sleep(3600)
    os._exit(0)
os.wait()
while not os.path.exists({str(pids)!r}): time.sleep(0.01)
"""
    try:
        ended = await run(script(code), within=60)
        assert ended.code == 0
        assert ended.left_behind
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pids.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("program", ["/nowhere/at/all", "/etc/hostname", "/tmp"])
async def test_what_cannot_be_started_was_not_done(program: str) -> None:
    with pytest.raises(NotDone, match="could not be started"):
        await run([program], within=60)


async def test_no_pipe_is_left_open() -> None:
    before = descriptors()
    for _ in range(5):
        await run(["/bin/true"], within=60)
        with pytest.raises(NotDone):
            await run(["/nowhere"], within=60)
    await until(lambda: descriptors() <= before, deadline=30)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
