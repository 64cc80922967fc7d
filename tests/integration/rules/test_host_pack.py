"""The pack host, judging a real disk that fills up and a /proc that tells of trouble."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.host import ENGINE
from collectors.model import Observation, Target
from tests.fixtures.judging import Judged
from tests.fixtures.missing import missing
from tests.fixtures.proofs import caused, replayed

FILES = (
    "stat", "meminfo", "vmstat", "diskstats", "net/dev", "loadavg", "sys/fs/file-nr", "sys/kernel/ostype",
    "sys/kernel/osrelease", "sys/kernel/version", "sys/kernel/hostname", "sys/kernel/domainname",
    "sys/kernel/random/boot_id",
)  # fmt: skip
MIB = 1024**2


async def look(*probes: str, proc: Path = Path("/proc"), mount: Path | None = None) -> list[Observation]:
    options = {"proc": str(proc), "mounts": {"include": [str(mount)] if mount else ["*"]}}
    target = Target(
        name="db1", engine="host", options=ENGINE.options.model_validate(options), deadline_seconds=5
    )
    observer = ENGINE.observe(target, ())
    try:
        assert (await observer.up()).up
        return [await observer.run(probe) for probe in probes]
    finally:
        await observer.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB and 100 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-o", "size=8m,nr_inodes=100"]
    made = subprocess.run(["mount", "-t", "tmpfs", *options, "dbarchitect-test", place], check=False)
    if os.geteuid() != 0 or made.returncode != 0:
        missing("the right to mount")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A copy of what the engine reads of /proc, to be changed."""
    place = tmp_path / "proc"
    for name in FILES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f"/proc/{name}", place / name)
    return place


def change(file: Path, pattern: str, to: str) -> None:
    text, changes = re.subn(pattern, to, file.read_text(), flags=re.MULTILINE)
    assert changes, pattern
    file.write_text(text)


@caused("HostDiskFull")
async def test_a_disk_that_fills_up_is_told_by_its_place(disk: Path) -> None:
    judged = Judged("host", time.time())
    expected = {"target": "db1", "device": "dbarchitect-test", "fstype": "tmpfs", "mountpoint": str(disk)}
    for full, severities in ((6, []), (7, ["warning"]), (7.5, ["warning", "critical"]), (1, [])):
        (disk / "data").write_bytes(b"x" * int(full * MIB))
        judged.see(await look("filesystem", mount=disk), target="db1")
        judged.hold(4)
        found = judged.firing().get("HostDiskFull", [])
        assert found == [{**expected, "severity": severity} for severity in severities]


@caused("HostDiskFillsUp")
async def test_a_disk_that_will_be_full_in_two_hours_is_told_before(disk: Path) -> None:
    judged = Judged("host", time.time())
    for minute in range(16):
        (disk / "data").write_bytes(b"x" * (5 * MIB + MIB // 2 + minute * 32 * 1024))
        judged.see(await look("filesystem", mount=disk), target="db1")
        judged.hold(1)
    (found,) = judged.firing()["HostDiskFillsUp"]
    assert found["mountpoint"] == str(disk)
    assert found["severity"] == "critical"


@caused("HostInodesFull", "HostFilesystemReadonly")
async def test_a_disk_without_inodes_and_one_that_became_read_only_are_told(disk: Path) -> None:
    judged = Judged("host", time.time())
    judged.see(await look("filesystem", mount=disk), target="db1")
    judged.hold(3)
    assert judged.firing() == {}
    for number in range(95):
        (disk / str(number)).touch()
    judged.see(await look("filesystem", mount=disk), target="db1")
    judged.hold(3)
    assert [each["mountpoint"] for each in judged.firing()["HostInodesFull"]] == [str(disk)]
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    judged.see(await look("filesystem", mount=disk), target="db1")
    judged.hold(2)
    assert [each["mountpoint"] for each in judged.firing()["HostFilesystemReadonly"]] == [str(disk)]
    assert "HostInodesFull" not in judged.firing()


@replayed("HostMemoryLow", "HostOutOfMemory")
async def test_a_host_short_of_memory_in_which_the_kernel_kills_is_told(proc: Path) -> None:
    judged = Judged("host", time.time())
    change(proc / "meminfo", r"^MemTotal:.*", "MemTotal: 16000000 kB")
    change(proc / "meminfo", r"^MemAvailable:.*", "MemAvailable: 8000000 kB")
    change(proc / "vmstat", r"^oom_kill .*", "oom_kill 3")
    judged.see(await look("memory", proc=proc), target="db1")
    judged.hold(6)
    assert judged.firing() == {}
    change(proc / "meminfo", r"^MemAvailable:.*", "MemAvailable: 600000 kB")
    change(proc / "vmstat", r"^oom_kill .*", "oom_kill 4")
    judged.see(await look("memory", proc=proc), target="db1")
    judged.hold(6)
    severities = [each["severity"] for each in judged.firing()["HostMemoryLow"]]
    assert severities == ["warning", "critical"]
    assert judged.firing()["HostOutOfMemory"] == [{"target": "db1", "severity": "critical"}]


@replayed("HostLoadHigh", "HostFilesLow")
async def test_a_high_load_and_open_files_that_run_out_are_told(proc: Path) -> None:
    cpus = len(re.findall(r"^cpu\d", (proc / "stat").read_text(), flags=re.MULTILINE))
    judged = Judged("host", time.time())
    for load, alerts in ((2.9 * cpus, set()), (3.1 * cpus, {"HostLoadHigh", "HostFilesLow"})):
        (proc / "loadavg").write_text(f"{load} {load} {load} 9/900 4242\n")
        (proc / "sys/fs/file-nr").write_text(f"{90000 if alerts else 100} 0 100000\n")
        judged.see(await look("cpu", "system", proc=proc), target="db1")
        judged.hold(16)
        assert set(judged.firing()) & {"HostLoadHigh", "HostFilesLow"} == alerts


@replayed("HostClockOff")
async def test_a_clock_that_stands_still_is_told_and_one_that_is_a_minute_late_is_not(proc: Path) -> None:
    judged = Judged("host", time.time())
    judged.see(await look("system", proc=proc), target="db1")
    judged.hold(1)
    assert judged.firing() == {}
    judged.hold(8)
    assert judged.firing()["HostClockOff"] == [{"target": "db1", "severity": "warning"}]
