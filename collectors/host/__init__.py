"""The machine that the daemon runs on: CPU, memory, disks, networks, file systems, pressure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from collectors.declared import in_code
from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.host import catalogue
from collectors.host.observer import HostObserver
from collectors.host.options import HostOptions
from collectors.model import MetricDef, Target

_SYSTEM = (
    *catalogue.LOAD,
    catalogue.TIME,
    catalogue.FILES_ALLOCATED,
    catalogue.FILES_MAXIMUM,
    catalogue.UNAME,
)
_PROBES: tuple[tuple[str, str, str, tuple[MetricDef, ...], float], ...] = (
    (
        "cpu",
        "/proc/stat",
        "CPU time, context switches, boot.",
        (catalogue.CPU, catalogue.GUEST, *catalogue.STAT.values()),
        0,
    ),
    (
        "memory",
        "/proc/meminfo",
        "Memory and paging.",
        (*catalogue.MEMORY.values(), *catalogue.VMSTAT.values()),
        0,
    ),
    (
        "disk",
        "/proc/diskstats",
        "What goes to and from disks.",
        tuple(metric for metric, _ in catalogue.DISK),
        0,
    ),
    ("network", "/proc/net/dev", "What goes to and from networks.", catalogue.NETWORK, 0),
    ("system", "/proc/loadavg", "Load, clock, open files, uname.", _SYSTEM, 0),
    (
        "pressure",
        "/proc/pressure",
        "Time that processes waited for CPU, I/O, memory.",
        tuple(catalogue.PRESSURE.values()),
        0,
    ),
    ("filesystem", "statvfs", "How full file systems are.", catalogue.FILESYSTEM, 30.0),
)


@cache
def definitions() -> tuple[ProbeDef, ...]:
    """Return the probes."""
    return tuple(
        in_code(
            name,
            engine="host",
            source=source,
            help=text,
            metrics=metrics,
            every_seconds=every,
            within_seconds=5.0,
            rows_max=5000,
        )
        for name, source, text, metrics, every in _PROBES
    )


def _observe(target: Target, _custom: Sequence[ProbeDef]) -> HostObserver:
    wanted = [probe.info for probe in definitions() if target.wants(probe.name, probe.default)]
    return HostObserver(target, wanted)


ENGINE = Engine(
    name="host",
    title="This host",
    options=HostOptions,
    up_metric=catalogue.UP,
    definitions=definitions,
    observe=_observe,
    address=lambda _: "this host",
)
