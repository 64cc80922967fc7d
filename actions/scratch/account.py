"""The unprivileged user that scratch servers run as."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actions.scratch.errors import NotInstalled

_PATH = "/usr/lib/postgresql/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who servers run as: the user itself, or for root a user without rights."""

    name: str
    uid: int
    gid: int
    switch: bool
    """Whether a program has to change to this user before it starts."""

    @classmethod
    def current(cls) -> Account:
        """Return the present user, or `nobody` for root, whom PostgreSQL refuses."""
        if os.geteuid() != 0:
            mine = pwd.getpwuid(os.geteuid())
            return cls(name=mine.pw_name, uid=mine.pw_uid, gid=mine.pw_gid, switch=False)
        other = pwd.getpwnam("nobody")
        group = grp.getgrgid(other.pw_gid)
        return cls(name=other.pw_name, uid=other.pw_uid, gid=group.gr_gid, switch=True)

    def command(self, *argv: str | Path, signal_at_our_death: str | None = None) -> list[str]:
        """Return the command line that runs `argv` as this user.

        `setpriv` replaces itself by the program, so the process id is the program's; and unlike the
        `user=` of subprocess it works under every event loop.
        """
        words = [str(word) for word in argv]
        setpriv = shutil.which("setpriv", path=_PATH)
        if setpriv is None:
            if self.switch:
                raise NotInstalled("setpriv is missing; install util-linux, or run as an ordinary user")
            return words
        options = []
        if self.switch:
            options += [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs"]
        if signal_at_our_death is not None:
            options.append(f"--pdeathsig={signal_at_our_death}")
        return [setpriv, *options, "--", *words] if options else words

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a program: nothing of ours (PGHOST, PYTHON*, secrets) leaks in."""
        return {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", **extra}

    def give(self, path: Path) -> None:
        """Make this user the owner of `path`."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_pass(self, directory: Path) -> bool:
        """Return whether this user may enter `directory` and everything above it."""
        return all(self._may_enter(step) for step in (directory, *directory.parents))

    def _may_enter(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))
