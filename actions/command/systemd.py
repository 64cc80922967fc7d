"""Commands as transient units: the unit's name makes a second start fail, and tells what became of the first.

A unit that has ended well stays (`--remain-after-exit`) until it is forgotten on purpose, so that a
successor finds it. It ends with its deadline also when we are gone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from actions.action import ReadBack
from actions.command.process import run
from actions.errors import NotDone, OutcomeUnknown
from actions.model import Json

_RUN = "systemd-run"
_CTL = "systemctl"
_ASK_SECONDS = 20.0
_EVERY_SECONDS = 0.25
_MARGIN_SECONDS = 10.0
_SHOWN = ("LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "InvocationID")


@dataclass(frozen=True, slots=True)
class Systemd:
    """The service manager of this machine, through its programs in `programs`."""

    programs: str = "/usr/bin"

    @classmethod
    def here(cls) -> Systemd | None:
        """Return it where this machine was booted by it."""
        return cls() if Path("/run/systemd/system").is_dir() else None

    async def where(self) -> dict[str, Json]:
        """Return which machine this is, since when: units are gone after a boot, and elsewhere."""
        return await asyncio.to_thread(_where)

    async def start(
        self,
        unit: str,
        argv: Sequence[str],
        *,
        within: float,
        environment: Mapping[str, str],
        directory: str,
        description: str,
    ) -> None:
        """Start a unit with our own user's rights; raise NotDone when it was not started."""
        options = {
            "unit": unit,
            "description": description,
            "service-type": "exec",
            "working-directory": directory,
            "uid": str(os.geteuid()),
            "gid": str(os.getegid()),
            "property": f"RuntimeMaxSec={within:g}",
        }
        words = [f"{self.programs}/{_RUN}", "--quiet", "--no-ask-password", "--remain-after-exit"]
        words += [f"--{name}={value}" for name, value in options.items()]
        words += [f"--setenv={name}={value}" for name, value in environment.items()]
        # The manager would put its variables in place of $NAME.
        ended = await run([*words, "--", *(word.replace("$", "$$") for word in argv)], within=_ASK_SECONDS)
        if ended.code == 0:
            return
        if (await self.show(unit)).get("LoadState") == "not-found":
            raise NotDone(f"systemd did not start {unit}: {ended.words}")
        raise OutcomeUnknown(f"systemd has {unit}, and said of starting it: {ended.words}")

    async def wait(self, unit: str, within: float) -> ReadBack:
        """Wait for the unit's end; raise OutcomeUnknown when it does not come."""
        try:
            async with asyncio.timeout(within + _MARGIN_SECONDS):
                while True:
                    found = said_by(await self.show(unit))
                    if found.answer != "under_way":
                        return found
                    await asyncio.sleep(_EVERY_SECONDS)
        except TimeoutError:
            raise OutcomeUnknown(f"{unit} has not ended within {within:g} s") from None

    async def show(self, unit: str) -> dict[str, str]:
        """Return what systemd knows of a unit; raise OutcomeUnknown when it does not say."""
        asked = [f"{self.programs}/{_CTL}", "show", unit, *(f"--property={name}" for name in _SHOWN)]
        ended = await run(asked, within=_ASK_SECONDS)
        if ended.code != 0:
            raise OutcomeUnknown(f"systemctl show {unit}: {ended.words}")
        pairs = (line.partition("=") for line in ended.out.text.splitlines())
        return {name: value for name, _, value in pairs if name in _SHOWN}

    async def read_back(self, unit: str, began: Mapping[str, Json]) -> ReadBack:
        """Tell what became of a unit; `began` is what `where` gave before it was started."""
        here = await self.where()
        if here != began:
            return ReadBack(answer="ambiguous", evidence={"unit": unit, "started_on": dict(began), **here})
        if await asyncio.to_thread(_being_asked_for, unit):
            return ReadBack(answer="under_way", evidence={"unit": unit, "systemd_run": "has not ended yet"})
        return said_by(await self.show(unit), unit)

    async def forget(self, unit: str) -> None:
        """Let go of a unit that has ended; raise NotDone when systemd does not."""
        said = ""
        for verb in ("stop", "reset-failed"):
            if (await self.show(unit)).get("LoadState") == "not-found":
                return
            asked = [f"{self.programs}/{_CTL}", "--no-ask-password", verb, unit]
            said = (await run(asked, within=_ASK_SECONDS)).words
        if (await self.show(unit)).get("LoadState") != "not-found":
            raise NotDone(f"systemd keeps {unit}: {said}", again=True)


def said_by(shown: Mapping[str, str], unit: str = "") -> ReadBack:
    """Return what the properties of a unit mean. One that failed may have done a part."""
    evidence: dict[str, Json] = {**shown, **({"unit": unit} if unit else {})}
    if shown.get("LoadState") == "not-found":
        return ReadBack(answer="not_done", evidence=evidence)
    state, sub = shown.get("ActiveState"), shown.get("SubState")
    if state == "active" and sub == "exited" and shown.get("Result") == "success":
        return ReadBack(answer="done", evidence=evidence)
    if state in {"active", "activating", "deactivating", "reloading"}:
        return ReadBack(answer="under_way", evidence=evidence)
    return ReadBack(answer="ambiguous", evidence=evidence)


def _where() -> dict[str, Json]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    return {"boot_id": boot, "machine_id": machine}


def _being_asked_for(unit: str) -> bool:
    """Tell whether a systemd-run of an earlier attempt could still start it."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if f"--unit={unit}" in line and any(word.rpartition("/")[2] == _RUN for word in line[:3]):
            return True
    return False
