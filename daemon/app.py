"""The composition root: builds every part from the configuration, and runs them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog

from collectors.definition import ProbeDef
from collectors.registry import engines
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.acting.acting import AT_START as ACTING_AT_START
from daemon.acting.acting import Acting
from daemon.config import Config
from daemon.fleet import Fleet
from daemon.garbage import calm
from daemon.http.options import HttpOptions
from daemon.http.server import HttpServer
from daemon.judge.court import Court
from daemon.notify import SystemdNotifier
from daemon.received.desk import Desk
from daemon.schedule import Schedule
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot
from daemon.state_dir import held
from daemon.supervise import Signals, oversee, reload_on_signal

log = structlog.get_logger()


class _Ended(Exception):
    """The daemon was asked to stop."""


class App:
    """The running daemon."""

    def __init__(self, path: Path, config: Config, version: str) -> None:
        self._path = path
        self._config = config
        self._version = version
        self._notifier = SystemdNotifier()
        self._snapshot = Snapshot(engines(), series_max_total=config.exposition.series_max_total)
        self._fleet: Fleet | None = None
        self._selfmetrics = SelfMetrics(version)
        self._desk = Desk(Path(config.daemon.state_dir))
        self._selfmetrics.registry.register(self._desk)
        self._court = Court(config, self._snapshot, self._selfmetrics, engines())
        self._acting = Acting(config, self._snapshot, self._selfmetrics.registry)
        self._court.also = self._acting.judged
        self._desk.tell = self._acting.received

    async def run(self) -> None:
        """Watch until SIGTERM; raise CannotListen or StateDirTaken when it cannot begin."""
        calm()
        with held(Path(self._config.daemon.state_dir)):
            signals = Signals()
            judge, desk = self._court.judge, self._desk
            await desk.open()
            server = HttpServer(
                http_options(self._config),
                self._snapshot,
                self._selfmetrics,
                self._stale,
                lambda: judge.judged,
                desk,
                self._court.external_labels,
                office=lambda: self._acting.office,
            )
            await server.start()
            try:
                with signals.installed():
                    await self._watch(signals, server)
            finally:
                await server.stop()
                await desk.close()
        log.info("daemon.stopped")

    async def _watch(self, signals: Signals, server: HttpServer) -> None:
        schedule = Schedule()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._fleet = fleet = Fleet(engines(), self._snapshot, self._selfmetrics, schedule, tasks)
                schedule.start()
                await fleet.become(configuration.targets(self._config), custom_probes(self._config))
                self._started(server)
                await self._court.start(tasks)
                self._acting.start(tasks)
                tasks.create_task(oversee(fleet, self._notifier, self._selfmetrics.loop_lag))
                tasks.create_task(reload_on_signal(signals, lambda: self._reload(fleet, tasks)))
                await signals.stop.wait()
                self._notifier.stopping()
                log.info("daemon.stopping")
                schedule.stop()
                await self._acting.stop()
                await self._court.stop()
                await fleet.close()
                _end()
        except* _Ended:
            pass

    def _stale(self) -> list[str]:
        late = self._fleet.late() if self._fleet else []
        trouble = self._court.judge.trouble
        return [
            *(f"{name}: no cycle has ended in three intervals" for name in late),
            *filter(None, [trouble, self._acting.trouble]),
        ]

    def _started(self, server: HttpServer) -> None:
        count = len(self._config.targets)
        log.info("daemon.started", version=self._version, targets=count, addresses=list(server.addresses))
        self._notifier.ready(f"watching {count} targets")

    async def _reload(self, fleet: Fleet, tasks: asyncio.TaskGroup) -> None:
        self._notifier.reloading()
        began = time.monotonic()
        try:
            fresh = await asyncio.to_thread(configuration.load, self._path)
        except InvalidFile as error:
            self._selfmetrics.reloaded(ok=False)
            problems = [str(problem) for problem in error.problems]
            log.error(  # noqa: TRY400 - the problems say it all
                "config.refused", file=str(self._path), problems=problems, kept="the configuration in force"
            )
        else:
            old, self._config = self._config, fresh
            for name in restart_only(old, fresh):
                log.warning("config.needs_restart", key=name)
            renew = old.custom_probes != fresh.custom_probes
            await fleet.become(configuration.targets(fresh), custom_probes(fresh), renew=renew)
            await self._court.become(fresh, tasks)
            self._acting.become(fresh)
            self._selfmetrics.reloaded(ok=True)
            log.info(
                "config.reloaded", targets=len(fresh.targets), took_seconds=round(time.monotonic() - began, 3)
            )
        self._notifier.ready(f"watching {len(fleet.watches)} targets")


def _end() -> NoReturn:
    raise _Ended


def custom_probes(config: Config) -> dict[str, Sequence[ProbeDef]]:
    """Return what users declared themselves, by engine."""
    found: dict[str, list[ProbeDef]] = {}
    for probe in config.custom_probes:
        found.setdefault(probe.engine, []).append(probe)
    return dict(found)


def restart_only(old: Config, fresh: Config) -> list[str]:
    """Return the keys that changed but take effect only with the next start."""
    pairs = {
        "daemon.listen": (old.daemon.listen, fresh.daemon.listen),
        "daemon.state_dir": (old.daemon.state_dir, fresh.daemon.state_dir),
        "daemon.uvloop": (old.daemon.uvloop, fresh.daemon.uvloop),
        "daemon.log": (old.daemon.log, fresh.daemon.log),
        "http": (old.http, fresh.http),
        "exposition": (old.exposition, fresh.exposition),
        "history": (old.history, fresh.history),
        **{
            f"acting.{key}": (getattr(old.acting, key), getattr(fresh.acting, key)) for key in ACTING_AT_START
        },
    }
    return [name for name, (before, after) in pairs.items() if before != after]


def http_options(config: Config) -> HttpOptions:
    """Return what the HTTP side needs of the configuration."""
    return HttpOptions(
        listen=config.daemon.listen,
        tls=(Path(config.http.tls.cert_file), Path(config.http.tls.key_file)) if config.http.tls else None,
        tokens=config.http.tokens,
        allow_insecure=config.http.allow_insecure,
        allowed_hosts=config.http.allowed_hosts,
        aliases=config.exposition.aliases,
    )
