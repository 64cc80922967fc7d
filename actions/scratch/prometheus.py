"""A scratch Prometheus that scrapes what it is told, and promtool's opinion of an exposition."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from actions.scratch.account import Account
from actions.scratch.errors import ScratchError
from actions.scratch.place import Place
from actions.scratch.process import run
from actions.scratch.web_server import ScratchWebServer, program

_PACKAGE = "prometheus"


async def promtool(exposition: str, *, deadline: float = 60.0) -> str:
    """Return what `promtool check metrics` has to say; empty is good."""
    tool = program("promtool", _PACKAGE)
    account = replace(Account.current(), switch=False)
    script = 'said=$("$0" check metrics 2>&1); code=$?; [ $code = 0 ] || echo "code $code"; printf %s "$said"'
    words = ["sh", "-c", script, tool]
    return (await run(*words, account=account, cwd=Path("/"), stdin=exposition, deadline=deadline)).strip()


class ScratchPrometheus(ScratchWebServer):
    """A Prometheus of our own on 127.0.0.1 that scrapes `urls` every `interval` seconds."""

    PROGRAM = "prometheus"
    PACKAGE = _PACKAGE
    HEALTH = "/-/ready"

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
        super().__init__(place=place, name=name, deadline=deadline)
        self._urls = tuple(urls)
        self._interval = interval
        self._more = ("--web.enable-remote-write-receiver",) if receives else ()
        self._rules = rules

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

    async def _get(self, path: str, **params: str) -> dict[str, Any]:
        async with self._http.get(self.url + path, params=params) as answer:
            said: dict[str, Any] = await answer.json()
        if said.get("status") != "success":
            raise ScratchError(f"{self!r} refused {path}: {said.get('error')}")
        return said

    def _write(self) -> None:
        self._place.write(self._room / "prometheus.yml", self._settings())
        self._place.write(self._room / "rules.yml", self._rules)

    def _argv(self) -> Sequence[str]:
        return (
            f"--config.file={self._room}/prometheus.yml",
            f"--storage.tsdb.path={self._room}/data",
            f"--web.listen-address={self.host}:{self.port}",
            "--log.level=warn",
            *self._more,
        )

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
