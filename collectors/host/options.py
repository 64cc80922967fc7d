"""What a target of engine `host` may say: which mounts, disks and networks, and where /proc is."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Choice(BaseModel):
    """Names by shell patterns: those of `include` without those of `exclude`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Tell whether a name is chosen."""
        return any(fnmatchcase(name, one) for one in self.include) and not any(
            fnmatchcase(name, one) for one in self.exclude
        )


class HostOptions(BaseModel):
    """Options of a host target: the machine that the daemon runs on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    proc: Path = Path("/proc")
    """The host's /proc, where a container has it."""
    root: Path = Path("/")
    """The host's root directory, where a container has it: mount points are looked up below."""
    mounts: Choice = Choice()
    """Mount points; those of the kernel's own file systems are never asked."""
    disks: Choice = Choice(exclude=("ram*", "zram*", "loop*", "fd*", "sr*"))
    """Block devices; partitions are left out in any case, their disk has it all."""
    networks: Choice = Choice(exclude=("veth*",))
