"""Reads the kernel's text files below /proc into frames; blocks, but never waits for a disk."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from collectors.host import catalogue
from collectors.host.options import HostOptions
from collectors.model import Frame, LabelValues, MetricDef, Number

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PARTITION = re.compile(r"(?:h|s|v|xv)d[a-z]+\d+|(?:nvme\d+n\d+|mmcblk\d+|nbd\d+)p\d+")
KIB = 1024


def cpu(options: HostOptions) -> list[Frame]:
    """Return times by CPU and mode, and the single numbers of /proc/stat."""
    keys: list[LabelValues] = []
    guest_keys: list[LabelValues] = []
    times: list[Number | None] = []
    guests: list[Number | None] = []
    single: list[tuple[MetricDef, Number | None]] = []
    for line in _lines(options.proc / "stat"):
        name, *values = line.split()
        if name in catalogue.STAT:
            single.append((catalogue.STAT[name], int(values[0])))
        elif name.startswith("cpu") and name != "cpu":
            seconds = [int(value) / _TICKS_PER_SECOND for value in values]
            keys += [(name[3:], mode) for mode, _ in zip(catalogue.CPU_MODES, seconds, strict=False)]
            times += seconds[: len(catalogue.CPU_MODES)]
            rest = seconds[len(catalogue.CPU_MODES) :]
            guest_keys += [(name[3:], mode) for mode, _ in zip(("user", "nice"), rest, strict=False)]
            guests += rest[:2]
    return [
        Frame((catalogue.CPU,), keys, [times]),
        Frame((catalogue.GUEST,), guest_keys, [guests]),
        _single(single),
    ]


def memory(options: HostOptions) -> list[Frame]:
    """Return /proc/meminfo in bytes, and paging of /proc/vmstat."""
    found: list[tuple[MetricDef, Number | None]] = []
    for line in _lines(options.proc / "meminfo"):
        name, _, rest = line.partition(":")
        if metric := catalogue.MEMORY.get(name):
            value, *unit = rest.split()
            found.append((metric, int(value) * (KIB if unit == ["kB"] else 1)))
    for line in _lines(options.proc / "vmstat"):
        name, _, value = line.partition(" ")
        if metric := catalogue.VMSTAT.get(name):
            found.append((metric, int(value)))
    return [_single(found)]


def disk(options: HostOptions) -> list[Frame]:
    """Return what went to and from each disk."""
    rows: list[tuple[str, list[str]]] = []
    for line in _lines(options.proc / "diskstats"):
        _, _, name, *values = line.split()
        if options.disks.takes(name) and not _PARTITION.fullmatch(name):
            rows.append((name, values))
    width = min((len(values) for _, values in rows), default=0)
    columns = [
        [_scaled(int(values[index]), factor) for _, values in rows]
        for index, (_, factor) in enumerate(catalogue.DISK[:width])
    ]
    metrics = tuple(metric for metric, _ in catalogue.DISK[:width])
    return [Frame(metrics, [(name,) for name, _ in rows], columns)]


def network(options: HostOptions) -> list[Frame]:
    """Return what went to and from each network device."""
    rows: list[tuple[str, list[int]]] = []
    for line in _lines(options.proc / "net" / "dev"):
        name, colon, rest = line.rpartition(":")
        values = rest.split()
        if colon and len(values) == len(catalogue.NETWORK) and options.networks.takes(name.strip()):
            rows.append((name.strip(), [int(value) for value in values]))
    columns = [[values[index] for _, values in rows] for index in range(len(catalogue.NETWORK))]
    return [Frame(catalogue.NETWORK, [(name,) for name, _ in rows], columns)]


def system(options: HostOptions) -> list[Frame]:
    """Return load, time, open files and what uname tells."""
    loads = _text(options.proc / "loadavg").split()
    allocated, _, maximum = _text(options.proc / "sys/fs/file-nr").split()
    found: list[tuple[MetricDef, Number | None]] = [
        (metric, float(value)) for metric, value in zip(catalogue.LOAD, loads, strict=False)
    ]
    found += [
        (catalogue.TIME, time.time()),
        (catalogue.FILES_ALLOCATED, int(allocated)),
        (catalogue.FILES_MAXIMUM, int(maximum)),
    ]
    kernel = options.proc / "sys/kernel"
    names = ("ostype", "osrelease", "version", "", "hostname", "domainname")
    uname = tuple(_text(kernel / name) if name else os.uname().machine for name in names)
    return [_single(found), Frame((catalogue.UNAME,), [uname], [[1]])]


def pressure(options: HostOptions) -> list[Frame]:
    """Return how long processes waited for CPU, I/O and memory; empty where the kernel does not tell."""
    found: list[tuple[MetricDef, Number | None]] = []
    for what in ("cpu", "io", "memory", "irq"):
        try:
            lines = _lines(options.proc / "pressure" / what)
        except OSError:
            continue
        for line in lines:
            kind, *values = line.split()
            total = next((value for value in values if value.startswith("total=")), "")
            if total and (metric := catalogue.PRESSURE.get((what, kind))):
                found.append((metric, int(total[6:]) / 1e6))
    return [_single(found)] if found else []


READERS = {
    "cpu": cpu,
    "memory": memory,
    "disk": disk,
    "network": network,
    "system": system,
    "pressure": pressure,
}


def boot_id(options: HostOptions) -> str:
    """Return what changes with each boot; raise OSError where there is no /proc."""
    return _text(options.proc / "sys/kernel/random/boot_id")


def release(options: HostOptions) -> str:
    """Return the kernel's release."""
    return _text(options.proc / "sys/kernel/osrelease")


def _single(found: Iterable[tuple[MetricDef, Number | None]]) -> Frame:
    pairs = list(found)
    return Frame(tuple(metric for metric, _ in pairs), [()], [[value] for _, value in pairs])


def _scaled(value: int, factor: float) -> Number:
    return value if factor == 1 else int(value * factor) if factor > 1 else value * factor


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
