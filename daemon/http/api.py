"""Answers the JSON API and the two probes of a process manager; shapes in docs/api.md."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web

from collectors.catalogue import CatalogueEntry
from collectors.model import Failure, Number
from daemon.block import Block
from daemon.catalogue import catalogue
from daemon.http.query import Query, refuse_unknown
from daemon.http.text import number
from daemon.known import ProbeState, TargetState
from daemon.own_metrics import own_metrics
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
OFFSET_MAX = 10**9
_REASONS_MAX = 20


class Api:
    """What programs and people may ask besides the metrics."""

    def __init__(
        self, snapshot: Snapshot, selfmetrics: SelfMetrics, stale: Callable[[], Sequence[str]]
    ) -> None:
        self._snapshot = snapshot
        self._selfmetrics = selfmetrics
        self._stale = stale

    async def livez(self, _request: web.Request) -> web.Response:
        """Answer that the loop runs."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer whether what we show can be relied on: every target asked once, nothing stale."""
        reasons = [
            f"target {name}: not asked yet"
            for name, state in self._snapshot.states().items()
            if state.up is None
        ]
        reasons.extend(self._stale())
        if not reasons:
            return web.json_response({"status": "ok"})
        body = {
            "status": "error",
            "error": "not ready",
            "hint": "reasons lists what is missing; /api/v1/targets has the details",
            "reasons": reasons[:_REASONS_MAX],
            "reasons_total": len(reasons),
        }
        return web.json_response(body, status=503)

    async def targets(self, request: web.Request) -> web.Response:
        """Answer with every target and how its probes fare."""
        names = Query(request, ("target",)).all("target")
        states = self._snapshot.states()
        refuse_unknown("target", names, states)
        found = [self._target(state) for name, state in states.items() if not names or name in names]
        return web.json_response({"status": "ok", "now": time.time(), "targets": found})

    async def series(self, request: web.Request) -> web.Response:
        """Answer with series of the snapshot, page by page."""
        query = Query(request, ("target", "match", "limit", "offset"))
        states = self._snapshot.states()
        names = query.all("target")
        refuse_unknown("target", names, states)
        limit = query.whole("limit", LIMIT_DEFAULT, LIMIT_MAX)
        offset = query.whole("offset", 0, OFFSET_MAX)
        await self._selfmetrics.refresh(self._snapshot, names)
        chosen = [state for name, state in states.items() if not names or name in names]
        page = _page(chosen, query.text("match") or "*", offset, limit + 1)
        following = offset + limit if len(page) > limit and limit else None
        return web.json_response({"status": "ok", "series": page[:limit], "next_offset": following})

    async def statements(self, request: web.Request) -> web.Response:
        """Answer with the texts of one target's statements, by the label `queryid` of their series."""
        name = Query(request, ("target",)).text("target")
        states = self._snapshot.states()
        refuse_unknown("target", [name], states)
        target = states[name].target
        engine = self._snapshot.engines.get(target.engine)
        texts = engine.texts(target) if engine and engine.texts else {}
        return web.json_response({"status": "ok", "target": name, "texts": dict(texts)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer with the catalogue: every metric that can be shown, and where it comes from."""
        Query(request, ())
        entries = catalogue(self._snapshot.engines.values(), own_metrics())
        return web.json_response({"status": "ok", "metrics": [_entry(entry) for entry in entries]})

    def _target(self, state: TargetState) -> dict[str, Any]:
        target, up = state.target, state.up
        engine = self._snapshot.engines.get(target.engine)
        failure = up.failure if up else None
        left_out = state.left_out()
        return {
            "name": target.name,
            "engine": target.engine,
            "cluster": target.cluster,
            "labels": dict(target.labels),
            "address": engine.address(target) if engine else "",
            "up": up.up if up else None,
            "cause": failure.cause if failure else "",
            "message": failure.message if failure else "",
            "since": state.since,
            "last_seen": state.last_seen,
            "role": up.role if up else "",
            "version": up.version if up else "",
            "distress": up.distress if up else "",
            "details": dict(up.details) if up else {},
            "interval_seconds": target.interval_seconds,
            "series": state.series,
            "series_dropped": sum(left_out.values()),
            "probes": [_probe(state, probe, left_out) for _, probe in sorted(state.probes.items())],
            "rejections": [
                {"probe": each.probe, "what": each.what, "reason": each.reason, "expected": each.expected}
                for each in state.rejections
            ],
        }


def _probe(state: TargetState, probe: ProbeState, left_out: dict[str, int]) -> dict[str, Any]:
    info = probe.info
    held = [each for each in state.held.values() if each.probe == probe.name]
    return {
        "name": probe.name,
        "every_seconds": (info.every_seconds or state.target.interval_seconds) if info else None,
        "within_seconds": info.within_seconds if info else None,
        "cost": info.cost.value if info else None,
        "scope": info.scope.value if info else None,
        "last_run": probe.last_at,
        "last_success": probe.last_success_at,
        "took_seconds": probe.took_seconds,
        "next_run": probe.next_at,
        "runs": probe.runs,
        "skipped": probe.skipped,
        "failures": [_failure(database, failure) for database, failure in sorted(probe.failures.items())],
        "answered": {each.database: each.blocks[0].at for each in held if each.database and each.blocks},
        "series": sum(block.count for each in held for block in each.blocks),
        "series_dropped": left_out.get(probe.name, 0),
    }


def _failure(database: str, failure: Failure) -> dict[str, str]:
    return {"database": database, "cause": failure.cause, "message": failure.message}


def _entry(entry: CatalogueEntry) -> dict[str, Any]:
    metric = entry.metric
    return {
        "name": metric.name,
        "kind": metric.kind.value,
        "unit": metric.unit,
        "help": metric.help,
        "labels": list(metric.labels),
        "aliases": list(metric.aliases),
        "engine": entry.engine,
        "probe": entry.probe,
        "cost": entry.cost.value,
        "every_seconds": entry.every_seconds,
        "role": entry.role,
        "default": entry.default,
        "needs": list(entry.needs),
    }


def _page(states: Iterable[TargetState], match: str, offset: int, most: int) -> list[dict[str, Any]]:
    """Return some series; whole blocks before `offset` are stepped over without being looked into."""
    page: list[dict[str, Any]] = []
    for block in (block for state in states for block in state.blocks()):
        names = [name for name in block.layout.names if fnmatch.fnmatchcase(name, match)]
        if not names:
            continue
        if len(names) == len(block.layout.names) and block.count <= offset:
            offset -= block.count
            continue
        for name, labels, value in _samples(block, frozenset(names)):
            if offset:
                offset -= 1
                continue
            page.append({"name": name, "labels": labels, "value": _value(value), "at": block.at})
            if len(page) >= most:
                return page
    return page


def _samples(block: Block, names: frozenset[str]) -> Iterator[tuple[str, dict[str, str], Number]]:
    return (sample for sample in block.samples() if sample[0] in names)


def _value(value: Number) -> Number | str:
    """Return a number as JSON can have it: NaN and the infinities are words."""
    return number(value) if isinstance(value, float) and not math.isfinite(value) else value
