"""A scratch Alertmanager: takes alerts, tells a webhook of them, and can be killed and frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from actions.scratch.place import Place
from actions.scratch.process import run
from actions.scratch.web_server import ScratchWebServer, program


class ScratchAlertmanager(ScratchWebServer):
    """An Alertmanager of our own on 127.0.0.1, alone: it looks for no cluster."""

    PROGRAM = PACKAGE = "prometheus-alertmanager"
    HEALTH = "/-/ready"
    HEALTHY = (200, 401, 404)

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
        scheme = "https" if web and "tls_server_config" in web else "http"
        super().__init__(place=place, name=name, deadline=deadline, scheme=scheme)
        self._webhooks = tuple(webhooks)
        self._route = dict(route or {})
        self._files = dict(files or {})
        self._flags = tuple(flags)
        self._web = web

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
        argv = (program("amtool", self.PACKAGE), *words, f"--alertmanager.url={self.url}")
        return await run(*argv, account=self._place.account, cwd=self._room, deadline=self._deadline)

    def _argv(self) -> Sequence[str]:
        web = (f"--web.config.file={self._room}/web.yml",) if self._web else ()
        return (
            f"--config.file={self._room}/alertmanager.yml",
            f"--storage.path={self._room}/data",
            f"--web.listen-address={self.host}:{self.port}",
            "--cluster.listen-address=",
            "--log.level=info",
            *web,
            *self._flags,
        )

    def _write(self) -> None:
        for name, text in self._files.items():
            self._place.write(self._room / name, text)
        receiver = {"name": "tests", "webhook_configs": list(self._webhooks)}
        route = {"receiver": "tests", "group_wait": "1s", "group_interval": "1s", **self._route}
        settings = {"route": route, "receivers": [receiver]}
        # JSON is YAML.
        for name, body in (("alertmanager.yml", settings), ("web.yml", self._web or {})):
            self._place.write(self._room / name, json.dumps(body).replace("{room}", str(self._room)))
