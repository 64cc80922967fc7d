"""A host that is gone, was rebooted, or is short of something: what this one shows, moved on."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from collectors.host import ENGINE
from collectors.model import Target
from tests.fixtures.courts import Court, Watched
from tests.fixtures.missing import missing
from tests.fixtures.proofs import caused, replayed

PACK = "host"
WAITS_TO_READ = "node_disk_read_time_seconds_total"
HANGING = "node_filesystem_device_error"
FILES = (
    "stat", "meminfo", "vmstat", "diskstats", "net/dev", "loadavg", "sys/fs/file-nr", "sys/kernel/ostype",
    "sys/kernel/osrelease", "sys/kernel/version", "sys/kernel/hostname", "sys/kernel/domainname",
    "sys/kernel/random/boot_id",
)  # fmt: skip
NO_DISKS = {"tmpfs", "autofs", "nsfs", "overlay"}


def watch(court: Court, **options: object) -> Watched:
    known = ENGINE.options.model_validate(options)
    return court.watch_target(Target(name="db1", engine="host", options=known, deadline_seconds=3))


def row_of(watched: Watched, metric: str) -> Mapping[str, str]:
    """Return the labels of a series of this host, or leave the test."""
    rows = [row for row in watched.rows(metric) if row.get("fstype") not in NO_DISKS]
    return rows[0] if rows else missing(metric)


async def looked_at(court: Court) -> Watched:
    watched = watch(court)
    await watched.look()
    court.hold(1)
    return watched


@caused("HostDown", "HostRebooted")
async def test_a_host_that_was_rebooted_and_then_gives_nothing_is_told(court: Court, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for name in FILES:
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f"/proc/{name}", proc / name)
    stat = (proc / "stat").read_text()
    (proc / "stat").write_text(
        re.sub(r"^btime \d+", f"btime {int(time.time()) - 60}", stat, flags=re.MULTILINE)
    )
    watched = watch(court, proc=str(proc))
    await watched.look()
    court.hold(0.5)
    assert court.told("HostRebooted") == [watched.labels(severity="info")]
    shutil.rmtree(proc)
    await watched.look()
    court.hold(1.5)
    assert court.told("HostDown") == [watched.labels(severity="critical")]


@replayed("HostDiskSlow", "HostIoPressure")
async def test_a_disk_that_makes_everybody_wait_is_told(court: Court) -> None:
    watched = await looked_at(court)
    disk = row_of(watched, WAITS_TO_READ)
    row_of(watched, "node_pressure_io_stalled_seconds_total")
    watched.move(WAITS_TO_READ, per_second=2, where=disk)
    watched.move("node_disk_reads_completed_total", per_second=10, where=disk)
    watched.move("node_pressure_io_stalled_seconds_total", per_second=0.5)
    watched.move("node_procs_blocked", by=3)
    court.hold(14)
    assert court.told("HostDiskSlow") == [watched.labels(severity="warning", **disk)]
    court.hold(8)
    assert court.told("HostIoPressure") == [watched.labels(severity="warning")]


@replayed("HostFilesystemHangs")
async def test_a_file_system_that_hangs_is_told_by_its_place(court: Court) -> None:
    watched = await looked_at(court)
    where = row_of(watched, HANGING)
    watched.move(HANGING, by=1, where=where)
    court.hold(2.5)
    assert court.told("HostFilesystemHangs") == [watched.labels(severity="warning", **where)]


@replayed("HostMemoryPressure", "HostSwapping")
async def test_a_host_that_waits_for_memory_is_told(court: Court) -> None:
    watched = await looked_at(court)
    row_of(watched, "node_pressure_memory_stalled_seconds_total")
    watched.move("node_pressure_memory_stalled_seconds_total", per_second=0.1)
    watched.move("node_vmstat_pswpin", per_second=300)
    court.hold(18)
    own = watched.labels(severity="warning")
    assert court.told("HostMemoryPressure") == [own]
    assert court.told("HostSwapping") == [own]


@replayed("HostCpuBusy", "HostCpuStolen")
async def test_processors_without_rest_and_processors_taken_away_are_told(court: Court) -> None:
    watched = await looked_at(court)
    watched.move("node_cpu_seconds_total", per_second=0.9, where={"mode": "idle"})
    watched.move("node_cpu_seconds_total", per_second=0.05, where={"mode": "steal"})
    court.hold(20)
    assert not {"HostCpuBusy", "HostCpuStolen"} & court.names()
    watched.move("node_cpu_seconds_total", per_second=-0.88, where={"mode": "idle"})
    watched.move("node_cpu_seconds_total", per_second=0.1, where={"mode": "steal"})
    court.hold(21)
    own = watched.labels(severity="warning")
    assert court.told("HostCpuBusy") == [own]
    assert court.told("HostCpuStolen") == [own]


@replayed("HostNetworkErrors")
async def test_a_network_that_loses_packets_is_told_by_its_device(court: Court) -> None:
    watched = await looked_at(court)
    device = row_of(watched, "node_network_receive_errs_total")
    watched.move("node_network_receive_packets_total", per_second=100, where=device)
    watched.move("node_network_receive_errs_total", per_second=1, where=device)
    court.hold(18)
    assert court.told("HostNetworkErrors") == [watched.labels(severity="warning", **device)]
