"""A scratch Alertmanager: takes alerts, tells a webhook of them, and can be killed and frozen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from actions.scratch.errors import NotInstalled, ScratchError
from actions.scratch.place import Place, scratch_place
from actions.scratch.ports import free_port
from actions.scratch.process import ServerProcess, run, tail

_SEARCH = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin"
_TRIES = 5


class ScratchAlertmanager:
    """An Alertmanager of our own on 127.0.0.1, alone: it looks for no cluster."""

    def __init__(
        self,
        *,
        place: Place | None = None,
        name: str = "alertmanager",
        webhooks: Sequence[Mapping[str, Any]] = (),
        route: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        web: Mapping[str, Any] | None = None,
        deadline: float = 30.0,
    ) -> None:
        """Tell each of `webhooks` (entries of `webhook_configs`), grouped as `route` says.

        `files` are written beside its configuration, by name; `{room}` in texts of `webhooks` and `web` (TLS
        and users, as its `--web.config.file` has them) is their directory. `deadline` is in seconds, for each
        step.
        """
        self.host = "127.0.0.1"
        self.port = 0
        self._scheme = "https" if web and "tls_server_config" in web else "http"
        self._given_place = place
        self._name = name
        self._webhooks = tuple(webhooks)
        self._route = dict(route or {})
        self._files = dict(files or {})
        self._flags = tuple(flags)
        self._web = web
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
            # Its certificate is not what is looked at here.
            connector = aiohttp.TCPConnector(ssl=False)
            self._http = await undo.enter_async_context(aiohttp.ClientSession(connector=connector))
            await self._first_start()
            self._exit = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def __repr__(self) -> str:
        return f"<ScratchAlertmanager {self._name} on {self.url}>"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """The end of what it has to say."""
        return tail(self._room / "log")

    async def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts that it holds for firing and that have these labels."""
        async with self._http.get(f"{self.url}/api/v2/alerts") as answer:
            answer.raise_for_status()
            found: list[dict[str, Any]] = await answer.json()
        return [one for one in found if labels.items() <= one["labels"].items()]

    async def metric(self, name: str, **labels: str) -> float:
        """Return the value of a counter or gauge about itself; 0 when it has no series with these labels."""
        async with self._http.get(f"{self.url}/metrics") as answer:
            answer.raise_for_status()
            families = text_string_to_metric_families(await answer.text())
        samples = [sample for family in families for sample in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    async def amtool(self, *words: str) -> str:
        """Run amtool on it and return what it prints."""
        argv = (_program("amtool"), *words, f"--alertmanager.url={self.url}")
        return await run(*argv, account=self._place.account, cwd=self._room, deadline=self._deadline)

    async def end(self) -> None:
        """End it with SIGTERM: it writes down whom it told; its data stay."""
        if self._process is not None:
            await self._process.stop(signal.SIGTERM, self._deadline)

    async def kill(self) -> None:
        """End it with SIGKILL; what it keeps on disk stays."""
        if self._process is not None:
            await self._process.kill()

    def pause(self) -> None:
        """Freeze it: it accepts connections and never answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._process is not None:
            self._process.resume()

    async def start(self) -> None:
        """Start it again, at the same port with the same data; raises `ScratchError`."""
        program = _program("prometheus-alertmanager")
        web = (f"--web.config.file={self._room}/web.yml",) if self._web else ()
        self._process = await ServerProcess.start(
            program, f"--config.file={self._room}/alertmanager.yml", f"--storage.path={self._room}/data",
            f"--web.listen-address={self.host}:{self.port}", "--cluster.listen-address=", "--log.level=info",
            *web, *self._flags,
            account=self._place.account, cwd=self._place.path, log=self._room / "log",
        )  # fmt: skip
        if not await self._ready(self._process):
            raise ScratchError(f"{self!r} did not start: {self.log}")

    async def _first_start(self) -> None:
        await asyncio.to_thread(self._write)
        for attempt in range(_TRIES):
            self.port = free_port()
            try:
                await self.start()
            except ScratchError:
                if attempt == _TRIES - 1 or "address already in use" not in self.log:
                    raise
            else:
                return

    def _write(self) -> None:
        for name, text in self._files.items():
            self._place.write(self._room / name, text)
        receiver = {"name": "tests", "webhook_configs": list(self._webhooks)}
        route = {"receiver": "tests", "group_wait": "1s", "group_interval": "1s", **self._route}
        settings = {"route": route, "receivers": [receiver]}
        # JSON is YAML.
        for name, body in (("alertmanager.yml", settings), ("web.yml", self._web or {})):
            self._place.write(self._room / name, json.dumps(body).replace("{room}", str(self._room)))

    async def _ready(self, process: ServerProcess) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                while process.running:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self._http.get(f"{self.url}/-/ready") as answer:
                            if answer.status in (200, 401, 404):
                                return True
                    await asyncio.sleep(0.05)
        return False

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
        raise NotInstalled(f"{name} is not on this machine; apt-get install prometheus-alertmanager")
    return found
