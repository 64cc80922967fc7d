"""What the demo shows, and the daemon's metric that each number comes from: one line for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.terminal import figures
from daemon.terminal.client import CannotAsk, Client
from daemon.terminal.rates import Pace, Rates
from daemon.terminal.reading import Labels, Reading, parse

_DATABASE = Pace("database", 2.0)
_TABLES = Pace("tables", 60.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a target."""

    title: str
    metrics: tuple[str, ...]
    """The first of these that the target has is taken."""
    text: Callable[[float | None], str] = figures.count
    fold: Callable[[list[float]], float] = sum
    """How the series of the metric become one number."""
    holds: str = ""
    """Only series one of whose labels has this text in its value."""
    pace: Pace | None = None
    """For a counter: its rate is shown, not its value."""
    every: str = ""
    """How often the daemon asks, where it takes a while until a fault shows."""


FIGURES: dict[str, Figure] = {
    "up": Figure("up", ("pg_up",)),
    "connections": Figure("connections", ("pg_connections_used", "pg_client_connections")),
    "connections_max": Figure("of", ("pg_connections_max", "pg_settings_max_connections"), fold=max),
    "commits": Figure("tps", ("pg_stat_database_xact_commit",), pace=_DATABASE),
    "blocks_hit": Figure("hits", ("pg_stat_database_blks_hit",), pace=_DATABASE),
    "blocks_read": Figure("reads", ("pg_stat_database_blks_read",), pace=_DATABASE),
    "lag_seconds": Figure("lag", ("pg_replication_lag_seconds",), figures.seconds, max),
    "lag_bytes": Figure(
        "lag", ("pg_replication_lag_bytes", "pg_stat_replication_replay_lag_bytes"), figures.size, max
    ),
    "replay_paused": Figure("replay paused", ("pg_replication_replay_paused",), fold=max),
    "slot_bytes": Figure("kept for slots", ("pg_replication_slots_pg_wal_lsn_diff",), figures.size, max),
    "dead_tuples": Figure("dead rows", ("pg_stat_user_tables_n_dead_tup",), every="1m"),
    "dead_share": Figure(
        "dead rows of order_items for each that autovacuum tolerates", ("pg_table_dead_tuples_ratio",),
        fold=max, holds="order_items", every="1m",
    ),
    "rows_scanned": Figure(
        "rows scanned per second in order_items", ("pg_stat_user_tables_seq_tup_read",),
        holds="order_items", pace=_TABLES, every="1m",
    ),
    "blocked": Figure("blocked sessions", ("pg_blocked_sessions", "pg_lock_waiting_connections"), fold=max),
    "idle_in_transaction": Figure("idle in transaction", ("pg_idle_in_transaction_connections",), fold=max),
    "longest_query": Figure("longest query", ("pg_longest_query_seconds",), figures.seconds, max),
    "oldest_transaction": Figure(
        "oldest transaction", ("pg_long_running_transactions_oldest_timestamp_seconds",), figures.seconds, max
    ),
    "xid_age": Figure("xid age", ("pg_database_wraparound_age_datfrozenxid_seconds",), fold=max),
    "deadlocks": Figure("deadlocks so far", ("pg_stat_database_deadlocks",)),
    "disk_free": Figure(
        "free on the small disk", ("node_filesystem_avail_bytes",), figures.size, min,
        holds="/pg_tblspc/", every="30s",
    ),
}  # fmt: skip
_COUNTERS = {name: one.pace for one in FIGURES.values() for name in one.metrics if one.pace}
_SEVERITIES = ("critical", "warning", "info")
_NAMES = {name for one in FIGURES.values() for name in one.metrics}


@dataclass(frozen=True, slots=True)
class Sight:
    """One target as the daemon sees it."""

    name: str
    engine: str
    up: bool | None
    """None before the daemon's first look."""
    cause: str
    message: str
    role: str
    version: str
    numbers: Mapping[str, float]
    """By key of `FIGURES`; what the daemon does not know is absent."""

    def text(self, key: str) -> str:
        """Return a number as people read it."""
        return FIGURES[key].text(self.numbers.get(key))

    @property
    def cache_hit(self) -> float | None:
        """Share of blocks found in the cache lately, 0 to 1."""
        hit, read = self.numbers.get("blocks_hit"), self.numbers.get("blocks_read")
        return hit / (hit + read) if hit is not None and read is not None and hit + read > 0 else None


@dataclass(frozen=True, slots=True)
class Told:
    """An alert of the daemon."""

    name: str
    severity: str
    target: str
    state: str
    summary: str


class Looking:
    """Asks the daemon again and again, and remembers what rates need."""

    def __init__(self, client: Client) -> None:
        self.alerts: tuple[Told, ...] = ()
        """As they stood at the last look: what fires first, the severe before the others."""
        self._client = client
        self._rates: dict[str, Rates] = {}

    async def look(self) -> dict[str, Sight]:
        """Return every target by name; raise `CannotAsk`."""
        answer = await self._client.json("/api/v1/targets")
        alerts = await self._client.json("/api/v1/alerts")
        try:
            self.alerts = tuple(sorted(map(_told, alerts["data"]["alerts"]), key=_order))
            return {one["name"]: await self._sight(one) for one in answer["targets"]}
        except (KeyError, TypeError) as error:
            raise CannotAsk(f"the daemon's answer about its targets is not as expected: {error!r}") from None

    async def _sight(self, target: Mapping[str, Any]) -> Sight:
        name = target["name"]
        text = await self._client.text("/metrics", {"target": name})
        reading = parse(text, time.monotonic(), _NAMES)
        # A rate counts from one answer of the server to the next, not from look to look.
        reading.data_at = {
            probe["name"]: probe["last_success"] for probe in target["probes"] if probe["last_success"]
        }
        reading.data_at_in = {
            (probe["name"], database): at
            for probe in target["probes"]
            for database, at in probe["answered"].items()
        }
        rates = self._rates.setdefault(name, Rates())
        rates.learn(reading, _COUNTERS)
        found = {key: _number(one, reading, rates) for key, one in FIGURES.items()}
        return Sight(
            numbers={key: number for key, number in found.items() if number is not None},
            **{key: target[key] for key in ("name", "engine", "up", "cause", "message", "role", "version")},
        )


def _told(alert: Mapping[str, Any]) -> Told:
    labels = alert["labels"]
    return Told(
        labels["alertname"],
        labels.get("severity", ""),
        labels.get("target", ""),
        alert["state"],
        alert["annotations"].get("summary", ""),
    )


def _order(told: Told) -> tuple[bool, int, str, str]:
    severity = _SEVERITIES.index(told.severity) if told.severity in _SEVERITIES else len(_SEVERITIES)
    return (told.state != "firing", severity, told.name, told.target)


def _number(figure: Figure, reading: Reading, rates: Rates) -> float | None:
    for name in figure.metrics:
        series = rates.of(name) if figure.pace else reading.series(name)
        chosen = [value for labels, value in series.items() if _fits(labels, figure.holds)]
        if chosen:
            return figure.fold(chosen)
    return None


def _fits(labels: Labels, text: str) -> bool:
    return not text or any(text in value for _, value in labels)
