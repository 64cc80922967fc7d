"""The host's figures against those of an independent reader, and a file system that hangs for ever."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from collectors.host import ENGINE
from collectors.host.observer import HostObserver
from collectors.model import Observation, Target
from tests.fixtures.waiting import until


def watch(**options: Any) -> HostObserver:
    target = Target(
        name="here", engine="host", options=ENGINE.options.model_validate(options), deadline_seconds=2
    )
    return ENGINE.observe(target, ())


@pytest.fixture
async def observer() -> AsyncIterator[HostObserver]:
    one = watch()
    assert (await one.up()).up
    yield one
    await one.close()


def values(observation: Observation, metric_name: str, /, **labels: str) -> dict[tuple, float]:
    assert observation.failure is None, observation.failure
    return {
        sample.labels: sample.value
        for frame in observation.frames
        for sample in frame.samples()
        if sample.name == metric_name and labels.items() <= dict(sample.labels).items()
    }


def value(observation: Observation, metric_name: str, /, **labels: str) -> float:
    (found,) = values(observation, metric_name, **labels).values()
    return found


async def test_up_tells_the_kernel_and_what_changes_with_a_boot(observer: HostObserver) -> None:
    up = await observer.up()
    assert up.version == os.uname().release
    assert up.identity == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def test_cpu_times_and_boot_are_those_that_psutil_reads(observer: HostObserver) -> None:
    before = psutil.cpu_times(percpu=True)
    cpu = await observer.run("cpu")
    after = psutil.cpu_times(percpu=True)
    for number in range(psutil.cpu_count()):
        for mode in ("user", "system", "idle", "iowait", "steal"):
            ours = value(cpu, "node_cpu_seconds_total", cpu=str(number), mode=mode)
            low, high = getattr(before[number], mode), getattr(after[number], mode)
            # Debian's kernel may take iowait back; psutil never shows it falling.
            assert min(low, high) - 0.05 <= ours <= max(low, high) + 0.05
    assert value(cpu, "node_boot_time_seconds") == psutil.boot_time()
    assert value(cpu, "node_context_switches_total") > 0


async def test_memory_is_in_bytes(observer: HostObserver) -> None:
    memory = await observer.run("memory")
    assert value(memory, "node_memory_MemTotal_bytes") == psutil.virtual_memory().total
    assert value(memory, "node_memory_SwapTotal_bytes") == psutil.swap_memory().total
    near = value(memory, "node_memory_MemAvailable_bytes") / psutil.virtual_memory().available
    assert 0.8 < near < 1.25
    assert value(memory, "node_memory_Active_anon_bytes") > 0
    assert value(memory, "node_vmstat_oom_kill") >= 0


async def test_every_line_of_meminfo_is_declared(observer: HostObserver) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = await observer.run("memory")
    names = {metric.name for frame in memory.frames for metric in frame.metrics}
    assert len([name for name in names if name.startswith("node_memory_")]) == len(lines)


async def test_disks_and_networks_are_those_that_psutil_reads(observer: HostObserver) -> None:
    disk, network = await observer.run("disk"), await observer.run("network")
    whole = {dict(labels)["device"] for labels in values(disk, "node_disk_read_bytes_total")}
    assert whole
    theirs = psutil.disk_io_counters(perdisk=True)
    for name in whole & set(theirs):
        ours = value(disk, "node_disk_written_bytes_total", device=name)
        assert ours <= theirs[name].write_bytes <= ours + 1e9
        assert value(disk, "node_disk_reads_completed_total", device=name) <= theirs[name].read_count
        assert (
            abs(value(disk, "node_disk_read_time_seconds_total", device=name) * 1000 - theirs[name].read_time)
            < 5000
        )
    for name, counters in psutil.net_io_counters(pernic=True).items():
        if not name.startswith("veth"):
            ours = value(network, "node_network_receive_bytes_total", device=name)
            assert ours <= counters.bytes_recv <= ours + 1e9


async def read_in_time(observer: HostObserver) -> Observation:
    """Return what the network's counters say, from a machine that may be too busy to read them in time."""
    answers = [await observer.run("network")]
    while answers[-1].failure is not None and len(answers) < 10:
        await asyncio.sleep(0.5)
        answers.append(await observer.run("network"))
    return answers[-1]


async def test_sent_and_received_are_not_mixed_up(observer: HostObserver) -> None:
    before = await read_in_time(observer)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        client.sendall(b"x" * 100_000)
    after = await read_in_time(observer)
    for name in ("node_network_receive_bytes_total", "node_network_transmit_bytes_total"):
        assert value(after, name, device="lo") - value(before, name, device="lo") >= 50_000


async def test_system_figures(observer: HostObserver) -> None:
    system = await observer.run("system")
    assert value(system, "node_load1") == pytest.approx(os.getloadavg()[0], abs=1.5)
    assert value(system, "node_time_seconds") == pytest.approx(time.time(), abs=2)
    assert 0 < value(system, "node_filefd_allocated") <= value(system, "node_filefd_maximum")
    ((labels, one),) = values(system, "node_uname_info").items()
    assert one == 1
    assert dict(labels)["nodename"] == os.uname().nodename
    assert dict(labels)["machine"] == os.uname().machine


async def test_pressure_grows_or_is_named_as_missing(observer: HostObserver) -> None:
    pressure = await observer.run("pressure")
    if not Path("/proc/pressure").is_dir():
        assert [one.probe for one in observer.rejections()] == ["pressure"]
        return
    assert value(pressure, "node_pressure_cpu_waiting_seconds_total") >= 0
    assert value(pressure, "node_pressure_io_stalled_seconds_total") >= 0


async def test_the_root_is_as_full_as_statvfs_says(observer: HostObserver) -> None:
    filesystem = await observer.run("filesystem")
    status = os.statvfs("/")
    assert (
        value(filesystem, "node_filesystem_size_bytes", mountpoint="/") == status.f_blocks * status.f_frsize
    )
    assert value(filesystem, "node_filesystem_files", mountpoint="/") == status.f_files
    assert value(filesystem, "node_filesystem_device_error", mountpoint="/") == 0
    free = value(filesystem, "node_filesystem_avail_bytes", mountpoint="/")
    assert free == pytest.approx(status.f_bavail * status.f_frsize, rel=0.05)
    points = {dict(labels)["mountpoint"] for labels in values(filesystem, "node_filesystem_readonly")}
    assert not points & {"/proc", "/sys", "/dev", "/dev/pts"}


async def test_mounts_are_chosen_by_pattern() -> None:
    one = watch(mounts={"exclude": ["/"]})
    await one.up()
    assert not values(await one.run("filesystem"), "node_filesystem_size_bytes", mountpoint="/")
    assert "node_filesystem_size_bytes" in {m.name for info in one.plan() for m in info.metrics}


async def test_every_planned_probe_answers_with_declared_metrics(observer: HostObserver) -> None:
    for info in observer.plan():
        answer = await observer.run(info.name)
        assert answer.failure is None
        assert answer.took_seconds < 1
        for frame in answer.frames:
            assert set(frame.metrics) <= set(info.metrics)
            assert len(set(frame.keys)) == len(frame.keys)
            assert all(len(key) == len(metric.labels) for metric in frame.metrics for key in frame.keys)


async def test_no_proc_is_a_cause_and_not_an_exception(tmp_path: Path) -> None:
    one = watch(proc=str(tmp_path))
    up = await one.up()
    assert not up.up
    assert up.failure.cause == "unsupported"
    assert str(tmp_path) in up.failure.message
    assert one.plan() == ()


class DeadMount:
    """A FUSE file system whose server never answers: what a dead NFS server is to those who ask it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0".encode()
        if self._libc.mount(b"deadserver:/data", bytes(place), b"fuse", 0, options) != 0:
            os.close(self._fd)
            raise OSError(ctypes.get_errno(), "mount")

    def answer(self) -> None:
        """End the connection: whoever hangs gets an error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        self.answer()
        self._libc.umount2(bytes(self.place), 2)


@pytest.fixture
def dead_mount(tmp_path: Path) -> Iterator[DeadMount]:
    place = tmp_path / "dead mount"
    place.mkdir()
    try:
        mount = DeadMount(place)
    except OSError as error:
        pytest.skip(f"a file system that hangs needs root and /dev/fuse: {error}")
    yield mount
    mount.close()


async def test_a_mount_that_hangs_is_named_and_others_go_on(dead_mount: DeadMount) -> None:
    one = watch()
    await one.up()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.get_running_loop().create_task(tick())
    begun = time.monotonic()
    first = await one.run("filesystem")
    took = time.monotonic() - begun
    ticker.cancel()
    dead = {"mountpoint": str(dead_mount.place), "device": "deadserver:/data"}
    assert took < 2
    assert ticks > took / 0.01 / 3
    assert value(first, "node_filesystem_device_error", **dead) == 1
    assert values(first, "node_filesystem_size_bytes", **dead) == {}
    assert value(first, "node_filesystem_size_bytes", mountpoint="/") > 0

    begun = time.monotonic()
    second = await one.run("filesystem")
    assert time.monotonic() - begun < 0.4, "it was asked again although it still hangs"
    assert value(second, "node_filesystem_device_error", **dead) == 1
    # A busy machine may take its time for another mount, too.
    rejected = {each.what: each.reason for each in one.rejections() if each.probe == "filesystem"}
    assert "hangs" in rejected[str(dead_mount.place)]

    dead_mount.answer()
    await until(lambda: str(dead_mount.place) not in {each.what for each in one.rejections()})
    third = await one.run("filesystem")
    assert value(third, "node_filesystem_device_error", **dead) == 1


async def test_a_hanging_mount_does_not_keep_the_process_from_ending(dead_mount: DeadMount) -> None:
    program = (
        "import asyncio\n"
        "from collectors.host import ENGINE\n"
        "from collectors.model import Target\n"
        "async def main():\n"
        "    one = ENGINE.observe(Target(name='h', engine='host', options=ENGINE.options()), ())\n"
        "    await one.up()\n"
        "    await one.run('filesystem')\n"
        "    print([r.what for r in one.rejections()])\n"
        "asyncio.run(main())\n"
    )
    begun = time.monotonic()
    # The kernel ends the thread that hangs only when it is killed: the interpreter must not wait for it.
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert str(dead_mount.place) in ended.stdout
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - begun < 10
