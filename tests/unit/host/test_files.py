"""Files below /proc as other kernels and other hosts write them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collectors.host import ENGINE, proc
from collectors.host.aside import Aside, Hanging
from collectors.host.mounts import mounts
from collectors.host.options import HostOptions
from collectors.model import Sample, Target


def samples(frames: list) -> list[Sample]:
    return [sample for frame in frames for sample in frame.samples()]


def test_a_disk_of_an_old_kernel_has_fewer_columns_and_none_invented(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_text("8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n")
    found = {sample.name: sample for sample in samples(proc.disk(HostOptions(proc=tmp_path)))}
    assert len(found) == 11
    assert found["node_disk_read_bytes_total"].value == 3 * 512
    assert found["node_disk_write_time_seconds_total"].value == pytest.approx(0.008)
    assert found["node_disk_io_now"].labels == (("device", "sda"),)


def test_partitions_are_left_out_and_disks_that_look_like_them_are_not(tmp_path: Path) -> None:
    names = [
        "nvme0n1",
        "nvme0n1p1",
        "vda",
        "vda2",
        "dm-0",
        "md127",
        "loop0",
        "sda",
        "sda11",
        "mmcblk0",
        "mmcblk0p2",
    ]
    (tmp_path / "diskstats").write_text("".join(f"8 0 {name}" + " 1" * 17 + "\n" for name in names))
    (frame,) = proc.disk(HostOptions(proc=tmp_path))
    assert [key[0] for key in frame.keys] == ["nvme0n1", "vda", "dm-0", "md127", "sda", "mmcblk0"]


def test_a_network_device_whose_counter_touches_the_colon_is_read(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes packets\n"
    (tmp_path / "net/dev").write_text(
        head + "  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n eth0:1: " + "7 " * 16
    )
    found = {
        (sample.name, sample.labels): sample.value
        for sample in samples(proc.network(HostOptions(proc=tmp_path)))
    }
    assert found["node_network_receive_bytes_total", (("device", "eth0"),)] == 1
    assert found["node_network_transmit_bytes_total", (("device", "eth0"),)] == 9
    assert found["node_network_transmit_compressed_total", (("device", "eth0:1"),)] == 7


def test_mountinfo_is_read_with_blanks_read_only_and_the_last_of_several() -> None:
    text = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:5 / /proc rw - proc proc rw\n"
        "24 22 0:40 / /mnt/my\\040disk rw shared:2 master:3 - nfs4 host:/ex\\134port rw\n"
        "25 22 8:2 / /data rw - xfs /dev/sdb rw\n"
        "26 22 8:3 / /data ro - xfs /dev/sdc ro\n"
        "27 22 0:41 / /home rw - autofs systemd-1 rw\n"
        "28 22 0:42 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n"
        "garbage\n"
    )
    found = {one.point: one for one in mounts(text, HostOptions())}
    assert set(found) == {"/", "/mnt/my disk", "/data"}
    assert found["/mnt/my disk"].device == "host:/ex\\port"
    assert found["/data"].device == "/dev/sdc"
    assert found["/data"].readonly
    assert not found["/"].readonly


async def test_a_file_that_is_not_understood_is_a_failure_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("x")
    (tmp_path / "sys/kernel/osrelease").write_text("9.9")
    (tmp_path / "stat").write_text("cpu0 one two\n")
    target = Target(name="h", engine="host", options=HostOptions(proc=tmp_path))
    observer = ENGINE.observe(target, ())
    await observer.up()
    cpu, memory = await observer.run("cpu"), await observer.run("memory")
    assert cpu.failure.cause == memory.failure.cause == "unsupported"
    assert "meminfo" in memory.failure.message


async def test_what_hangs_is_not_asked_again_until_it_is_back() -> None:
    release = __import__("threading").Event()
    asked = 0

    def hang() -> int:
        nonlocal asked
        asked += 1
        release.wait(10)
        return 7

    aside = Aside()
    for _ in range(3):
        with pytest.raises(Hanging):
            await aside.call("x", hang, 0.05)
    assert asked == 1
    assert set(aside.hanging) == {"x"}
    assert await aside.call("y", lambda: 1, 1) == 1
    release.set()
    while aside.hanging:
        await asyncio.sleep(0.01)
    assert await aside.call("x", hang, 1) == 7


async def test_what_a_call_raises_comes_to_its_caller() -> None:
    def fail() -> None:
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        await Aside().call("x", fail, 1)
