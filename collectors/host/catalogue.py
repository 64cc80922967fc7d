"""The metrics of a host, named as node_exporter names them."""

from __future__ import annotations

import re

from collectors.model import Kind, MetricDef

UP = MetricDef(name="host_up", kind=Kind.GAUGE, help="1 while the host's /proc can be read, else 0.")


def counter(name: str, text: str, *labels: str, unit: str = "") -> MetricDef:
    """Return a counter named `node_` and so on."""
    return MetricDef(name=f"node_{name}", kind=Kind.COUNTER, help=text, labels=labels, unit=unit)


def gauge(name: str, text: str, *labels: str, unit: str = "") -> MetricDef:
    """Return a gauge named `node_` and so on."""
    return MetricDef(name=f"node_{name}", kind=Kind.GAUGE, help=text, labels=labels, unit=unit)


CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
CPU = counter("cpu_seconds_total", "Time that a CPU spent in each mode.", "cpu", "mode", unit="seconds")
GUEST = counter(
    "cpu_guest_seconds_total",
    "Time that a CPU spent in guests, part of user and nice.",
    "cpu",
    "mode",
    unit="seconds",
)
STAT = {
    "ctxt": counter("context_switches_total", "Context switches."),
    "intr": counter("intr_total", "Interrupts serviced."),
    "processes": counter("forks_total", "Processes made."),
    "btime": gauge("boot_time_seconds", "Unix time of the last boot.", unit="seconds"),
    "procs_running": gauge("procs_running", "Processes that can run."),
    "procs_blocked": gauge("procs_blocked", "Processes that wait for I/O."),
}
"""Lines of /proc/stat that hold one number."""

LOAD = tuple(gauge(f"load{minutes}", f"Load average over {minutes} minutes.") for minutes in (1, 5, 15))
TIME = gauge("time_seconds", "Unix time of the host's clock.", unit="seconds")
UNAME_LABELS = ("sysname", "release", "version", "machine", "nodename", "domainname")
UNAME = gauge("uname_info", "1, with what uname tells as labels.", *UNAME_LABELS)
FILES_ALLOCATED = gauge("filefd_allocated", "Open files of the whole host.")
FILES_MAXIMUM = gauge("filefd_maximum", "Files that may be open at once.")

_MEMORY = (
    "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) "
    "Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree Zswap Zswapped "
    "Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim KernelStack "
    "PageTables SecPageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS VmallocTotal "
    "VmallocUsed VmallocChunk Percpu HardwareCorrupted AnonHugePages ShmemHugePages ShmemPmdMapped "
    "FileHugePages FilePmdMapped CmaTotal CmaFree Unaccepted Balloon Hugepagesize Hugetlb DirectMap4k "
    "DirectMap2M DirectMap4M DirectMap1G "
)
_PAGES = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")


def _memory(key: str) -> MetricDef:
    name = re.sub(r"\((.*)\)", r"_\1", key)
    return gauge(f"memory_{name}_bytes", f"{key} of /proc/meminfo.", unit="bytes")


MEMORY = {key: _memory(key) for key in _MEMORY.split()} | {
    key: gauge(f"memory_{key}", f"{key} of /proc/meminfo, in pages.") for key in _PAGES
}
VMSTAT = {
    "oom_kill": counter("vmstat_oom_kill", "Processes killed because memory was out."),
    "pgfault": counter("vmstat_pgfault", "Page faults."),
    "pgmajfault": counter("vmstat_pgmajfault", "Page faults that had to read from a disk."),
    "pgpgin": counter("vmstat_pgpgin", "Kibibytes read from block devices."),
    "pgpgout": counter("vmstat_pgpgout", "Kibibytes written to block devices."),
    "pswpin": counter("vmstat_pswpin", "Pages swapped in."),
    "pswpout": counter("vmstat_pswpout", "Pages swapped out."),
}

SECTOR = 512.0
MILLISECOND = 0.001
DISK = (
    (counter("disk_reads_completed_total", "Reads.", "device"), 1),
    (counter("disk_reads_merged_total", "Reads merged into others.", "device"), 1),
    (counter("disk_read_bytes_total", "Read.", "device", unit="bytes"), SECTOR),
    (counter("disk_read_time_seconds_total", "Time of all reads.", "device", unit="seconds"), MILLISECOND),
    (counter("disk_writes_completed_total", "Writes.", "device"), 1),
    (counter("disk_writes_merged_total", "Writes merged into others.", "device"), 1),
    (counter("disk_written_bytes_total", "Written.", "device", unit="bytes"), SECTOR),
    (counter("disk_write_time_seconds_total", "Time of all writes.", "device", unit="seconds"), MILLISECOND),
    (gauge("disk_io_now", "Requests in progress.", "device"), 1),
    (
        counter("disk_io_time_seconds_total", "Time with requests in progress.", "device", unit="seconds"),
        MILLISECOND,
    ),
    (
        counter(
            "disk_io_time_weighted_seconds_total", "Time of all requests added up.", "device", unit="seconds"
        ),
        MILLISECOND,
    ),
    (counter("disk_discards_completed_total", "Discards.", "device"), 1),
    (counter("disk_discards_merged_total", "Discards merged into others.", "device"), 1),
    (counter("disk_discarded_sectors_total", "Sectors discarded.", "device"), 1),
    (
        counter("disk_discard_time_seconds_total", "Time of all discards.", "device", unit="seconds"),
        MILLISECOND,
    ),
    (counter("disk_flush_requests_total", "Flushes.", "device"), 1),
    (
        counter("disk_flush_requests_time_seconds_total", "Time of all flushes.", "device", unit="seconds"),
        MILLISECOND,
    ),
)
"""The columns of /proc/diskstats after the name, each with its factor; older kernels have fewer."""

_RECEIVED = ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
_SENT = ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
NETWORK = tuple(
    counter(
        f"network_{way}_{what}_total", text.format(what), "device", unit="bytes" if what == "bytes" else ""
    )
    for way, columns, text in (
        ("receive", _RECEIVED, "Received: {} of /proc/net/dev."),
        ("transmit", _SENT, "Sent: {} of /proc/net/dev."),
    )
    for what in columns
)

PRESSURE = {
    (what, line): counter(
        f"pressure_{what}_{word}_seconds_total", f"Time in which {who} waited for {what}.", unit="seconds"
    )
    for what, lines in (
        ("cpu", ("some",)),
        ("io", ("some", "full")),
        ("memory", ("some", "full")),
        ("irq", ("full",)),
    )
    for line, word, who in (("some", "waiting", "some processes"), ("full", "stalled", "all processes"))
    if line in lines
}

MOUNT_LABELS = ("device", "fstype", "mountpoint")
FILESYSTEM = (
    gauge("filesystem_size_bytes", "Size.", *MOUNT_LABELS, unit="bytes"),
    gauge("filesystem_free_bytes", "Free.", *MOUNT_LABELS, unit="bytes"),
    gauge("filesystem_avail_bytes", "Free for everybody, not root alone.", *MOUNT_LABELS, unit="bytes"),
    gauge("filesystem_files", "Inodes.", *MOUNT_LABELS),
    gauge("filesystem_files_free", "Free inodes.", *MOUNT_LABELS),
    gauge("filesystem_readonly", "1 if it is mounted read-only, else 0.", *MOUNT_LABELS),
    gauge(
        "filesystem_device_error", "1 if it could not be asked: it hangs or refuses; else 0.", *MOUNT_LABELS
    ),
)
