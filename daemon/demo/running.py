"""Finds the demos that run for this user, and asks one of them something."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actions.scratch.place import PREFIX

ROOM = "demo"
"""The room in the demo's directory that only its user can enter."""
SOCKET = "control"
_PATIENCE_SECONDS = 120.0
_STATE_SECONDS = 3.0


class NoDemo(Exception):
    """There is no demo to speak to, or more than one; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A demo that runs."""

    directory: str
    port: int
    """Where its daemon listens."""
    primary_port: int
    replica_port: int
    pid: int

    @property
    def url(self) -> str:
        """The daemon's address."""
        return f"http://127.0.0.1:{self.port}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "url": self.url}

    def __str__(self) -> str:
        return f"{self.url} in {self.directory} (process {self.pid})"


def running_demos(directory: Path | None = None) -> list[Running]:
    """Return the demos of this user, those in `directory` alone when it is given."""
    found = []
    for room in _rooms(directory):
        try:
            demo = ask(room.parent, {"do": "state"}, _STATE_SECONDS)["demo"]
        except (OSError, ValueError, KeyError):
            continue  # it is just starting or ending
        demo.pop("url", None)
        found.append(Running(**demo))
    return found


def the_demo(directory: Path | None = None, port: int | None = None) -> Running:
    """Return the only demo that fits; raise `NoDemo` when there is none or a choice."""
    found = [one for one in running_demos(directory) if port in (None, one.port)]
    if len(found) == 1:
        return found[0]
    if found:
        lines = "".join(f"\n  --port {one.port}   {one}" for one in found)
        raise NoDemo(f"several demos run: say which with --port or --dir{lines}")
    where = f" in {directory}" if directory else ""
    which = f" with its daemon on port {port}" if port else ""
    raise NoDemo(f"no demo runs{where}{which}: start one with `dbarchitect demo`, in another terminal")


def ask(directory: Path | str, request: dict[str, Any], seconds: float = _PATIENCE_SECONDS) -> dict[str, Any]:
    """Send a request to the demo in `directory` and return its answer; raises OSError or ValueError."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(Path(directory) / ROOM / SOCKET))
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("r", encoding="utf-8") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    return answer


def _rooms(directory: Path | None) -> Iterator[Path]:
    """Give the rooms of demos; those of others are not ours to speak to."""
    if directory:
        places = [directory, *sorted(directory.glob(f"{PREFIX}*"))]
    else:
        bases = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")}  # noqa: S108 - owners are checked
        places = sorted(place for base in bases for place in base.glob(f"{PREFIX}*"))
    for place in places:
        try:
            status = (place / ROOM).lstat()
        except OSError:
            continue
        mine = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
        if stat.S_ISDIR(status.st_mode) and mine:
            yield place / ROOM
