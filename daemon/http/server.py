"""The daemon's HTTP side: metrics, JSON API, and the answers that process managers ask for."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from daemon.acting.office import Office
from daemon.config.listen import UNIX, Listen, parse_listen
from daemon.http import index
from daemon.http.acting_api import ActingApi
from daemon.http.api import Api
from daemon.http.gate import Entrance, Gate
from daemon.http.guard import Door
from daemon.http.intake import PATH as INTAKE_PATH
from daemon.http.intake import SIZE_MAX_BYTES, Intake
from daemon.http.listening import CannotListen, close_all, open_sockets, remove_socket_file
from daemon.http.metrics import MetricsPage
from daemon.http.options import HttpOptions
from daemon.http.rules_api import RulesApi
from daemon.http.tls import RenewingTls
from daemon.judge.judge import Judged
from daemon.received.desk import Desk
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot

__all__ = ["CannotListen", "HttpOptions", "HttpServer"]
_HEADERS_MAX = 64
_INTAKE = Entrance(scope="intake", takes_body=True, token_always=True)
_HANDSHAKE_SECONDS = 10.0
_STOP_SECONDS = 5.0
_LINGER_SECONDS = 3.0
"""How long the rest of a body is taken that nobody reads: who still sends would not see the answer."""


class HttpServer:
    """Serves the snapshot. `stale` gives reasons why the data cannot be relied on, for /readyz."""

    def __init__(
        self,
        options: HttpOptions,
        snapshot: Snapshot,
        selfmetrics: SelfMetrics,
        stale: Callable[[], Sequence[str]] = tuple,
        judged: Callable[[], Judged] = Judged,
        desk: Desk | None = None,
        external_labels: Callable[[], Mapping[str, str]] = dict,
        office: Callable[[], Office | None] = lambda: None,
    ) -> None:
        self._options = options
        self._listen = parse_listen(options.listen)
        self._snapshot = snapshot
        self._intake = Intake(desk) if desk else None
        self._acting = ActingApi(office)
        intake = {("POST", INTAKE_PATH): _INTAKE} if desk else {}
        self._gate = Gate(options, self._listen, {**intake, **self._acting.entrances})
        self._api = Api(snapshot, selfmetrics, stale)
        self._rules = RulesApi(judged, desk.shown if desk else tuple, external_labels)
        self._metrics = MetricsPage(snapshot, selfmetrics, aliases=options.aliases)
        self._servers: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None
        self.addresses: tuple[str, ...] = ()
        """Where it can be reached, as URLs; empty while it does not listen."""

    async def start(self) -> None:
        """Begin to answer; raise CannotListen."""
        _check_exposure(self._options, self._listen)
        tls = RenewingTls(*self._options.tls).context if self._options.tls else None
        sockets = await open_sockets(self._listen)
        try:
            runner = web.AppRunner(
                self._application(),
                access_log=None,
                keepalive_timeout=self._options.idle_seconds,
                shutdown_timeout=_STOP_SECONDS,
                max_headers=_HEADERS_MAX,
                lingering_time=_LINGER_SECONDS,
                auto_decompress=False,
            )
            await runner.setup()
            self._runner = runner
            await self._serve(runner, sockets, tls)
        except BaseException:
            close_all(sockets)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening; answers under way get a few seconds."""
        for server in self._servers:
            server.close()
        if self._runner is not None:
            await self._runner.cleanup()
            remove_socket_file(self._listen)
        self._servers = []
        self._runner = None
        self.addresses = ()

    async def _serve(
        self, runner: web.AppRunner, sockets: list[socket.socket], tls: ssl.SSLContext | None
    ) -> None:
        if runner.server is None:
            raise RuntimeError("the runner was not set up")
        door = self._gate.door = Door(self._options, runner.server)
        loop = asyncio.get_running_loop()
        timeout = _HANDSHAKE_SECONDS if tls else None
        scheme = "https" if tls else "http"
        found = []
        for each in sockets:
            self._servers.append(
                await loop.create_server(door, sock=each, ssl=tls, ssl_handshake_timeout=timeout)
            )
            found.append(_address(self._listen, each.getsockname(), scheme))
        self.addresses = tuple(found)

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._gate.middleware()], client_max_size=SIZE_MAX_BYTES)
        application.on_response_prepare.append(self._gate.add_headers)
        application.router.add_get("/", self._index)
        application.router.add_get("/metrics", self._metrics.get)
        application.router.add_get("/livez", self._api.livez)
        application.router.add_get("/readyz", self._api.readyz)
        application.router.add_get("/api/v1/targets", self._api.targets)
        application.router.add_get("/api/v1/series", self._api.series)
        application.router.add_get("/api/v1/metrics", self._api.metrics)
        application.router.add_get("/api/v1/statements", self._api.statements)
        if self._intake is not None:
            application.router.add_post(INTAKE_PATH, self._intake.post)
        application.router.add_get("/api/v1/alerts", self._rules.alerts)
        application.router.add_get("/api/v1/rules", self._rules.rules)
        self._acting.add_to(application.router)
        return application

    async def _index(self, _request: web.Request) -> web.Response:
        return index.page(self._snapshot)


def _check_exposure(options: HttpOptions, listen: Listen) -> None:
    """Refuse to show what we know to everyone who can reach the address, unless that is wanted."""
    if listen.local or options.allow_insecure:
        return
    missing = [
        name for name, given in (("http.tls", options.tls), ("http.tokens", options.tokens)) if not given
    ]
    if missing:
        raise CannotListen(
            f"will not listen at {listen}: others can reach it and there is no {' and no '.join(missing)}; "
            "set them, listen at 127.0.0.1, or set http.allow_insecure: true on a closed network"
        )


def _address(listen: Listen, place: tuple[str, int] | str, scheme: str) -> str:
    if listen.path:
        return f"{UNIX}{listen.path}"
    host = f"[{place[0]}]" if ":" in str(place[0]) else place[0]
    return f"{scheme}://{host}:{place[1]}"
