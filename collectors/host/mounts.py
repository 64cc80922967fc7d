"""Which file systems a host has, and how full they are: each asked with a deadline of its own."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collectors.host import catalogue
from collectors.host.aside import Aside, Hanging
from collectors.host.options import HostOptions
from collectors.model import Frame, LabelValues, Number

AT_ONCE = 8
EACH_SECONDS = 0.5
_KERNEL_TYPES = re.compile(
    "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|mqueue|nsfs"
    "|proc|procfs|pstore|ramfs|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs"
)
_KERNEL_PLACES = re.compile(r"/(?:dev|proc|sys|run/credentials/.+)(?:/.*)?|/var/lib/(?:docker|containers)/.+")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_LABELS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    device: str
    kind: str
    point: str
    readonly: bool

    @property
    def key(self) -> LabelValues:
        """Return its labels."""
        return (self.device, self.kind, self.point)


def mounts(text: str, options: HostOptions) -> list[Mount]:
    """Return the file systems in a mountinfo that are worth asking; of several at one place the last."""
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or len(rest) < 2:  # noqa: PLR2004 - the fields of proc(5)
            continue
        point, kind = _plain(fields[4]), rest[0]
        flags = {*fields[5].split(","), *rest[-1].split(",")}
        found.pop(point, None)
        found[point] = Mount(_plain(rest[1])[:_LABELS_MAX], kind, point, "ro" in flags)
    return [one for one in found.values() if _worth(one, options)]


def read_mountinfo(options: HostOptions) -> str:
    """Return the host's mountinfo, or the daemon's own where the first is not allowed."""
    for owner in ("1", "self"):
        try:
            return (options.proc / owner / "mountinfo").read_text(encoding="utf-8", errors="replace")
        except PermissionError:
            continue
    raise PermissionError(13, "not allowed", str(options.proc / "self/mountinfo"))


async def filesystems(
    found: Iterable[Mount], options: HostOptions, aside: Aside, within_seconds: float
) -> Frame:
    """Ask each of them how full it is; one that hangs or refuses has `device_error` and nothing else."""
    until = time.monotonic() + within_seconds
    waiting = list(found)
    waiting.reverse()
    rows: dict[LabelValues, list[Number | None]] = {}

    async def worker() -> None:
        while waiting and time.monotonic() < until:
            mount = waiting.pop()
            rows[mount.key] = await _ask(mount, options, aside)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(waiting))):
            group.create_task(worker())
    keys = sorted(rows)
    columns = [[rows[key][index] for key in keys] for index in range(len(catalogue.FILESYSTEM))]
    return Frame(catalogue.FILESYSTEM, keys, columns)


def place_of(mount: Mount, options: HostOptions) -> Path:
    """Return where the daemon sees a mount point of the host."""
    return options.root / mount.point.removeprefix("/")


async def _ask(mount: Mount, options: HostOptions, aside: Aside) -> list[Number | None]:
    place = place_of(mount, options)
    try:
        status = await aside.call(mount.point, lambda: os.statvfs(place), EACH_SECONDS)
    except (Hanging, OSError):
        return [None, None, None, None, None, int(mount.readonly), 1]
    block = status.f_frsize
    return [
        status.f_blocks * block,
        status.f_bfree * block,
        status.f_bavail * block,
        status.f_files,
        status.f_ffree,
        int(mount.readonly),
        0,
    ]


def _worth(mount: Mount, options: HostOptions) -> bool:
    if _KERNEL_TYPES.fullmatch(mount.kind) or _KERNEL_PLACES.fullmatch(mount.point):
        return False
    # In a container the root is an overlay, and all there is; elsewhere they are other people's containers.
    if mount.kind == "overlay" and mount.point != "/":
        return False
    return options.mounts.takes(mount.point)


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
