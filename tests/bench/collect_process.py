"""What the kernel says of a process, and one scrape of it over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE = re.compile(rb"^[a-zA-Z_:][^#\n]*$", re.MULTILINE)
_TYPE = re.compile(rb"^# TYPE (\S+)", re.MULTILINE)


def cpu_seconds(pid: int) -> float:
    """Return what all threads of a process have used so far, to the nanosecond; 0 when it is gone."""
    total = 0
    for thread in _listed(Path(f"/proc/{pid}/task")):
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of /metrics."""

    took_seconds: float
    body: bytes

    @property
    def series(self) -> int:
        return len(_SAMPLE.findall(self.body))

    @property
    def families(self) -> set[str]:
        return {name.decode() for name in _TYPE.findall(self.body)}


@dataclass(slots=True)
class Scraped:
    """A process that answers /metrics: started, scraped, and ended at the end."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    began: float
    grown: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since its start, series) of each answer while it warmed up."""

    @classmethod
    def start(
        cls, name: str, port: int, argv: list[str], log: Path, *, env: dict[str, str], cpu: int | None = None
    ) -> Scraped:
        command = argv if cpu is None else ["taskset", "-c", str(cpu), *argv]
        began = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
            )
        return cls(name, port, process, began)

    async def scrape(self, path: str = "/metrics") -> Page:
        return await asyncio.to_thread(self._scrape, path)

    def _scrape(self, path: str) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            took = time.perf_counter() - began
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: {path} answered {answer.status}: {body[:300]!r}")
        return Page(took, body)

    async def warm_up(self, seconds: float, pace: float = 0.1) -> None:
        """Scrape often at first, to see when it is complete, then seldom, until so long after the start."""
        while (age := time.monotonic() - self.began) < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended with code {self.process.returncode}; see its log")
            try:
                page = await self.scrape()
                self.grown.append((time.monotonic() - self.began, page.series))
            except OSError:
                pass
            await asyncio.sleep(pace if age < 5 else 2.0)

    def complete_after(self, series: int) -> float | None:
        """Return the seconds from the start to the first answer with nearly that many series."""
        return next((at for at, number in self.grown if number >= 0.97 * series), None)

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)

    @property
    def rss_mb(self) -> float:
        return resident_mb(self.process.pid)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))
