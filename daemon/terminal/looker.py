"""Looks at one target again and again, and makes screens of what it sees."""

from __future__ import annotations

import time
from dataclasses import replace

from collectors.engine import Engine
from collectors.model import Kind, MetricDef
from collectors.registry import engines
from collectors.strict_yaml import did_you_mean
from daemon.catalogue import of_engine
from daemon.terminal import generic, postgres, postgres_names
from daemon.terminal.client import CannotAsk, Client
from daemon.terminal.figures import seconds
from daemon.terminal.look import Look
from daemon.terminal.postgres_work import STATEMENT_ORDERS, TABLE_ORDERS
from daemon.terminal.rates import Pace, Rates
from daemon.terminal.reading import parse
from daemon.terminal.section import Screen
from daemon.terminal.view import Overview, TargetView, overview, texts

_DATA_AT = "dbarchitect_probe_last_success_timestamp_seconds"
_POSTGRESQL = "postgresql"


class UnknownTarget(CannotAsk):
    """The daemon has no target of this name."""


class Looker:
    """Watches one target through the daemon."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._rates = Rates()
        self._metrics: dict[str, MetricDef] = {}
        self._paces: dict[str, Pace] = {}
        self._counters: set[str] = set()
        self.statement_order = STATEMENT_ORDERS[0]
        self.table_order = TABLE_ORDERS[0]

    async def look(self) -> Look:
        """Ask the daemon; raise CannotAsk, or UnknownTarget with a suggestion."""
        seen = await overview(self._client)
        target = self._chosen(seen)
        self._learn_names(engines().get(target.engine))
        postgresql = target.engine == _POSTGRESQL
        page = await self._client.text("/metrics", {"target": self._name})
        reading = parse(page, time.monotonic(), {*postgres_names.NAMES, _DATA_AT} if postgresql else None)
        reading.data_at = {dict(key).get("probe", ""): at for key, at in reading.series(_DATA_AT).items()}
        reading.data_at_in = target.answered
        # Counters whose names do not end in _total are untyped in the exposition.
        reading.counters |= self._counters & reading.families.keys()
        counters = postgres_names.COUNTERS if postgresql else reading.counters
        self._rates.learn(reading, {name: self._pace(name, target) for name in counters})
        statements = await texts(self._client, self._name) if postgresql else {}
        return Look(target, reading, self._rates, seen.now, statements)

    def settled(self, look: Look, within: float) -> bool:
        """Tell whether looking on for so many seconds shows no more: no rate waits for its second reading."""
        paces = {name: self._pace(name, look.target) for name in look.reading.counters}
        soon = {name for name, pace in paces.items() if pace.every_seconds <= within}
        return look.target.up is False or not any(self._rates.waits(name) for name in soon)

    def screen(self, look: Look) -> Screen:
        """Return what to show of a look."""
        engine = engines().get(look.target.engine)
        if look.target.engine == _POSTGRESQL:
            made = postgres.screen(look, self.statement_order, self.table_order)
        else:
            made = generic.screen(look, engine.title if engine else look.target.engine, self._metrics)
        age = look.age(look.target.newest)
        title = made.title if age is None else (*made.title, f"data {seconds(age)} old")
        return replace(made, title=title, note=_note(look.target, look))

    def next_statement_order(self) -> None:
        """Sort statements by the next of their figures."""
        self.statement_order = _after(self.statement_order, STATEMENT_ORDERS)

    def next_table_order(self) -> None:
        """Sort tables by the next of their figures."""
        self.table_order = _after(self.table_order, TABLE_ORDERS)

    def _chosen(self, seen: Overview) -> TargetView:
        for target in seen.targets:
            if target.name == self._name:
                return target
        names = [target.name for target in seen.targets]
        hint = did_you_mean(self._name, names) or f"there are {', '.join(names) or 'none'}"
        raise UnknownTarget(f"{self._client.address.url} watches no target {self._name!r}: {hint}")

    def _learn_names(self, engine: Engine | None) -> None:
        if engine is None or self._metrics:
            return
        for entry in of_engine(engine):
            self._metrics[entry.metric.name] = entry.metric
            if entry.metric.kind is Kind.COUNTER:
                self._counters.add(entry.metric.name)
            self._paces[entry.metric.name] = Pace(entry.probe, entry.every_seconds)

    def _pace(self, name: str, target: TargetView) -> Pace:
        """Return where a counter comes from; a metric that nobody declared comes from the only probe."""
        pace = self._paces.get(name)
        if pace is None:
            pace = Pace(target.probes[0] if len(target.probes) == 1 else "", 0.0)
        return pace if pace.every_seconds else Pace(pace.probe, target.interval_seconds)


def _note(target: TargetView, look: Look) -> str:
    if target.up is None:
        return "not asked yet"
    if not target.up:
        since = f" for {seconds(look.age(target.since))}" if target.since else ""
        return f"DOWN{since}: {target.message or target.cause}"
    return f"distress: {target.distress.replace('_', ' ')}; slow probes wait" if target.distress else ""


def _after(one: str, all_of_them: tuple[str, ...]) -> str:
    return all_of_them[(all_of_them.index(one) + 1) % len(all_of_them)]
