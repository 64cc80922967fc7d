"""A scratch Prometheus that scrapes what it is told, and promtool's opinion of an exposition."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from actions.scratch.account import Account
from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.process import ServerProcess, run, tail

_SEARCH = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin"
_TRIES = 5


async def promtool(exposition: str, *, deadline: float = 60.0) -> str:
    """Return what `promtool check metrics` has to say; empty is good."""
    program = _program("promtool")
    account = replace(Account.current(), switch=False)
    script = 'said=$("$0" check metrics 2>&1); code=$?; [ $code = 0 ] || echo "code $code"; printf %s "$said"'
    words = ["sh", "-c", script, program]
    return (await run(*words, account=account, cwd=Path("/"), stdin=exposition, deadline=deadline)).strip()


class ScratchPrometheus:
    """A Prometheus of our own on 127.0.0.1 that scrapes `urls` every `interval` seconds."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        place: Place | None = None,
        name: str = "prometheus",
        interval: float = 1.0,
        receives: bool = False,
        rules: str = "",
        deadline: float = 30.0,
    ) -> None:
        """Name each target by its URL (label `instance`); `deadline` is in seconds, for each step.

        `receives`: it takes samples by remote write, at /api/v1/write. `rules` is the text of a rule file.
        """
        self.host = "127.0.0.1"
        self.port = 0
        self._urls = tuple(urls)
        self._given_place = place
        self._name = name
        self._interval = interval
        self._more = ("--web.enable-remote-write-receiver",) if receives else ()
        self._rules = rules
        self._deadline = deadline
        self._process: ServerProcess | None = None
        self._exit = contextlib.AsyncExitStack()
        self._place: Place
        self._room: Path
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as undo:
            if self._given_place is None:
                self._place = await undo.enter_async_context(scratch_place())
            else:
                self._place = self._given_place
            self._room = await asyncio.to_thread(self._place.room, self._name)
            undo.push_async_callback(self._leave)
            self._http = await undo.enter_async_context(aiohttp.ClientSession())
            await self._start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<ScratchPrometheus {self._name} on {self.url}>"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of every series that an instant query gives."""
        answer = await self._get("/api/v1/query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    async def targets(self) -> list[dict[str, Any]]:
        """Return the active targets as its API tells them: `health`, `lastError`, ..."""
        found: list[dict[str, Any]] = (await self._get("/api/v1/targets"))["data"]["activeTargets"]
        return found

    async def get(self, path: str, **params: str) -> Any:  # noqa: ANN401 - as JSON has it
        """Return the `data` of an answer of its API."""
        return (await self._get(path, **params))["data"]

    async def scraped(self) -> None:
        """Wait until every target was scraped well; raises `ScratchError` with the last errors otherwise."""
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(self._deadline):
                while len(found) < len(self._urls) or any(one["health"] != "up" for one in found):
                    await asyncio.sleep(0.1)
                    found = await self.targets()
        except TimeoutError as error:
            said = "; ".join(f"{one['scrapeUrl']}: {one['lastError'] or one['health']}" for one in found)
            raise ScratchError(f"not scraped within {self._deadline:g} seconds: {said}") from error

    async def _start(self) -> None:
        program = _program("prometheus")
        await asyncio.to_thread(self._place.write, self._room / "prometheus.yml", self._settings())
        await asyncio.to_thread(self._place.write, self._room / "rules.yml", self._rules)
        log = self._room / "log"
        for attempt in range(_TRIES):
            self.port = free_port()
            self._process = await ServerProcess.start(
                program, f"--config.file={self._room}/prometheus.yml",
                f"--storage.tsdb.path={self._room}/data",
                f"--web.listen-address={self.host}:{self.port}", "--log.level=warn", *self._more,
                account=self._place.account, cwd=self._place.path, log=log,
            )  # fmt: skip
            if await self._ready(self._process):
                return
            if attempt == _TRIES - 1 or "address already in use" not in tail(log):
                raise ScratchError(f"{self!r} did not start: {tail(log)}")

    async def _ready(self, process: ServerProcess) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                while process.running:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self._http.get(f"{self.url}/-/ready") as answer:
                            if answer.status == 200:  # noqa: PLR2004 - OK
                                return True
                    await asyncio.sleep(0.05)
        return False

    async def _get(self, path: str, **params: str) -> dict[str, Any]:
        async with self._http.get(self.url + path, params=params) as answer:
            said: dict[str, Any] = await answer.json()
        if said.get("status") != "success":
            raise ScratchError(f"{self!r} refused {path}: {said.get('error')}")
        return said

    def _settings(self) -> str:
        jobs = []
        for number, url in enumerate(self._urls):
            parts = urlsplit(url)
            query: dict[str, list[str]] = {}
            for key, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair):
                query.setdefault(key, []).append(value)
            jobs.append(
                {
                    "job_name": f"job{number}",
                    "scheme": parts.scheme,
                    "metrics_path": parts.path or "/metrics",
                    "params": query,
                    "static_configs": [{"targets": [parts.netloc], "labels": {"instance": url}}],
                }
            )
        interval = f"{round(self._interval * 1000)}ms"
        pace = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        files = [str(self._room / "rules.yml")] if self._rules else []
        # JSON is YAML.
        return json.dumps({"global": pace, "scrape_configs": jobs, "rule_files": files})

    async def _leave(self) -> None:
        process, self._process = self._process, None
        try:
            if process is not None:
                await process.stop(signal.SIGTERM, self._deadline)
        finally:
            await asyncio.to_thread(self._place.discard, self._name)


def _program(name: str) -> str:
    found = shutil.which(name, path=_SEARCH)
    if found is None:
        raise NotInstalled(f"{name} is not on this machine; apt-get install prometheus")
    return found
