"""The same expressions on the same series at the same time: ours, and a real Prometheus through its HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np

from actions.scratch.place import Place
from actions.scratch.prometheus import ScratchPrometheus
from daemon.history.sheets import Sheet
from daemon.history.wire import write_request
from rules.labels import Labels
from rules.model import Group
from rules.promql import Expression, Vector
from rules.promql.values import Matrix
from rules.window import Window

ROUNDS = 5
SLICE_MS = 10 * 60_000
"""So much is sent at a time: Prometheus takes nothing that is an hour older than what it has."""
BATCH = 20_000
_ENDED = 400


@dataclass(slots=True)
class Compared:
    """One expression; milliseconds, the fastest of some rounds."""

    expression: str
    ours_ms: float
    theirs_ms: float
    """Until the whole answer is here, JSON and all."""
    inside_ms: float
    """What Prometheus itself says that evaluating took."""
    ours_series: int
    theirs_series: int
    error: str = ""


async def compare(
    place: Place, window: Window, groups: Sequence[Group], at_ms: int, say: Callable[[str], None]
) -> list[Compared]:
    """Load the window's series into a Prometheus, then ask both for every rule's expression."""
    texts = list(dict.fromkeys(rule.expression.text for group in groups for rule in group.rules))
    async with ScratchPrometheus((), place=place, receives=True) as server, aiohttp.ClientSession() as http:
        sent = 0
        began = time.perf_counter()
        for body, samples in _requests(window, at_ms):
            await _send(http, server.url, body)
            sent += samples
        say(f"Prometheus has {sent:,} samples, after {time.perf_counter() - began:.0f} s")
        return [await _one(http, server.url, window, text, at_ms) for text in texts]


async def _one(http: aiohttp.ClientSession, url: str, window: Window, text: str, at_ms: int) -> Compared:
    expression = Expression(text)
    ours, mine = float("inf"), 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        value = expression.at(window, at_ms)
        ours = min(ours, time.perf_counter() - began)
        mine = _count(value)
    theirs = inside = float("inf")
    error, its = "", 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        form = {"query": text, "time": f"{at_ms / 1000:.3f}", "stats": "true"}
        async with http.post(f"{url}/api/v1/query", data=form) as answer:
            body = await answer.read()
        theirs = min(theirs, time.perf_counter() - began)
        said = json.loads(body)
        if said["status"] != "success":
            error = said["error"]
            break
        inside = min(inside, said["data"]["stats"]["timings"]["evalTotalTime"])
        its = 1 if said["data"]["resultType"] == "scalar" else len(said["data"]["result"])
    return Compared(text, ours * 1000, theirs * 1000, inside * 1000, mine, its, error)


def _count(value: object) -> int:
    if isinstance(value, Vector):
        return len(value)
    return sum(1 for _ in value.items()) if isinstance(value, Matrix) else 1


def _requests(window: Window, at_ms: int) -> Iterator[tuple[bytes, int]]:
    """Give what the window holds as remote-write requests, earlier samples first."""
    held = list(window.samples())
    first = min((int(times[0]) for _, times, _ in held if len(times)), default=at_ms)
    for begin in range(first, at_ms + 1, SLICE_MS):
        batch: list[Sheet] = []
        size = 0
        for sheet in _between(held, begin, min(begin + SLICE_MS, at_ms + 1)):
            batch.append(sheet)
            size += sheet.values.size
            if size > BATCH:
                yield write_request(batch), size
                batch, size = [], 0
        if batch:
            yield write_request(batch), size


def _between(
    held: Sequence[tuple[Sequence[Labels], np.ndarray, np.ndarray]], begin_ms: int, end_ms: int
) -> Iterator[Sheet]:
    for series, times, values in held:
        first, last = np.searchsorted(times, (begin_ms, end_ms))
        if first < last:
            yield Sheet(series, times[first:last], values[first:last])


async def _send(http: aiohttp.ClientSession, url: str, body: bytes) -> None:
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    async with http.post(f"{url}/api/v1/write", data=body, headers=headers) as answer:
        if answer.status >= _ENDED:
            raise RuntimeError(f"Prometheus does not take the series: {await answer.text()}")
