"""Asks a Prometheus, Mimir or VictoriaMetrics for what it has: the query API, in our shapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collectors.secret import redact
from daemon.history.planes import Ints
from daemon.history.remote import Answer, RemoteFailed, RemoteOptions, RemoteSession
from daemon.history.sheets import Samples
from rules.labels import Labels, labels_of
from rules.promql.matchers import Matcher
from rules.promql.values import Floats

_SECOND_MS = 1000
_OK = 200


class RemoteReader:
    """Asks one far side. Raises only RemoteFailed, which says what it answered.

    Far sides give no staleness markers: a series that ended just has no more samples.
    """

    def __init__(self, options: RemoteOptions, *, max_bytes: int = 100_000_000) -> None:
        """Answers of more than `max_bytes`, after decompression, are refused as a whole."""
        self._session = RemoteSession(options)
        self._address = options.address
        self._max_bytes = max_bytes

    async def query(self, expression: str, at_ms: int) -> list[Samples]:
        """Evaluate at one time. A scalar comes as one series without labels, a range with all its samples."""
        return _samples(await self._ask("query", query=expression, time=_seconds(at_ms)))

    async def query_range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> list[Samples]:
        """Evaluate at `start_ms` and every step after it up to `end_ms`."""
        edges = {"start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)}
        return _samples(await self._ask("query_range", query=expression, **edges))

    async def read(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Samples]:
        """Return the samples of each series from `start_ms` to `end_ms`, both ends included, as they came."""
        # One millisecond more: some leave out what is exactly at the left edge of a range.
        expression = f"{_selector(matchers)}[{end_ms - start_ms + 1}ms]"
        return [
            Samples(one.labels, one.times[rows], one.values[rows])
            for one in await self.query(expression, end_ms)
            if (rows := (one.times >= start_ms) & (one.times <= end_ms)).any()
        ]

    async def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """Return the series that have samples in a range, sorted."""
        edges = {"start": _seconds(start_ms), "end": _seconds(end_ms)}
        found = await self._ask("series", **{"match[]": _selector(matchers)}, **edges)
        return sorted(labels_of(one) for one in found)

    async def close(self) -> None:
        """End the connection."""
        await self._session.close()

    async def _ask(self, what: str, **form: str) -> Any:  # noqa: ANN401 - JSON
        answer = await self._session.post(f"/api/v1/{what}", data=form, max_bytes=self._max_bytes)
        said = await asyncio.to_thread(_said, answer)
        if said.get("status") == "success" and "data" in said:
            return said["data"]
        reason = said.get("error") or answer.text or "nothing"
        raise RemoteFailed(f"{self._address}: {what} answers {answer.status}: {redact(str(reason))}")


def _said(answer: Answer) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and (answer.status == _OK or "error" in said) else {}


def _samples(data: Any) -> list[Samples]:  # noqa: ANN401 - JSON
    if not isinstance(data, Mapping):
        raise RemoteFailed("the far side's answer is not what its API promises")
    kind = data.get("resultType")
    result: Any = data.get("result") or ()
    try:
        if kind == "scalar":
            return [_one({}, [(result[0], result[1])])]
        if kind == "vector":
            return [_one(each["metric"], [each["value"]]) for each in result]
        if kind == "matrix":
            return [_one(each["metric"], each["values"]) for each in result]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RemoteFailed(f"the far side's answer is not what its API promises: {error}") from None
    raise RemoteFailed(f"the far side answers with a {kind}, which is neither numbers nor series")


def _one(metric: Mapping[str, str], pairs: Sequence[tuple[float, str]]) -> Samples:
    times: Ints = np.array([round(float(at) * _SECOND_MS) for at, _ in pairs], dtype=np.int64)
    values: Floats = np.array([float(value) for _, value in pairs])
    return Samples(labels_of(metric), times, values)


def _selector(matchers: Sequence[Matcher]) -> str:
    return "{" + ",".join(map(str, matchers)) + "}"


def _seconds(at_ms: int) -> str:
    return f"{at_ms / _SECOND_MS:.3f}"
