"""Answers GET /metrics."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from aiohttp import HttpVersion11, hdrs, web
from multidict import istr

from daemon.catalogue import of_engine
from daemon.http.again import LastPages
from daemon.http.exposition import OPENMETRICS, TEXT, families_of, render
from daemon.http.query import Query, refuse_unknown
from daemon.known import TargetState
from daemon.selfmetrics import SelfMetrics
from daemon.snapshot import Snapshot

_SMALL_BYTES = 2048
_THREAD_BYTES = 1 << 15
_GZIP = 31
"""zlib's code for a gzip header around 15 bits of window."""


class MetricsPage:
    """Shows the snapshot to Prometheus."""

    def __init__(self, snapshot: Snapshot, selfmetrics: SelfMetrics, *, aliases: bool) -> None:
        self._snapshot = snapshot
        self._selfmetrics = selfmetrics
        self._aliases = aliases
        self._last = LastPages()

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with everything, or with the targets and probes that are asked for."""
        query = Query(request, ("target", "collect", "collect[]"))
        states = self.chosen(query.all("target"))
        probes = [*query.all("collect"), *query.all("collect[]")]
        if probes:
            refuse_unknown("probe", probes, self._probes(states))
        openmetrics = wants_openmetrics(request.headers.get(hdrs.ACCEPT, ""))
        zipped = wants_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        kind = {hdrs.CONTENT_TYPE: OPENMETRICS if openmetrics else TEXT, hdrs.VARY: "Accept, Accept-Encoding"}
        async with aclosing(
            self.pieces(states, query.all("target"), probes, openmetrics=openmetrics)
        ) as pieces:
            return await _answer(request, pieces, kind, zipped=zipped)

    def chosen(self, names: Sequence[str]) -> list[TargetState]:
        """Return the targets of these names, all if there is none; refuse names that are not there."""
        states = self._snapshot.states()
        refuse_unknown("target", names, states)
        return [state for name, state in states.items() if not names or name in names]

    async def pieces(
        self, states: Sequence[TargetState], names: Sequence[str], probes: Sequence[str], *, openmetrics: bool
    ) -> AsyncGenerator[bytes, None]:
        """Give the page's bytes."""
        chosen = [state.name for state in states]
        if not probes:
            await self._selfmetrics.refresh(self._snapshot, chosen)
        self._snapshot.scraped(chosen)
        own = () if names or probes else self._selfmetrics.process_lines()
        if not self._snapshot.few:
            self._last.forget()
        elif not names and not probes:
            async for piece in self._last.render(states, own, openmetrics=openmetrics, aliases=self._aliases):
                yield piece
            return
        families = families_of(states, frozenset(probes), own)
        async for piece in render(families, openmetrics=openmetrics, aliases=self._aliases):
            yield piece

    def _probes(self, states: Sequence[TargetState]) -> list[str]:
        names: dict[str, None] = {}
        for engine in {state.target.engine for state in states}:
            if engine in self._snapshot.engines:
                entries = of_engine(self._snapshot.engines[engine])
                names.update(dict.fromkeys(entry.probe for entry in entries if entry.probe))
        for state in states:
            names.update(dict.fromkeys(state.probes))
        return sorted(names)


def wants_openmetrics(accept: str) -> bool:
    """Tell whether a client would rather have OpenMetrics 1.0 than the older text format."""
    openmetrics = text = 0.0
    for kind, quality, version in _preferences(accept):
        if kind == "application/openmetrics-text" and version in ("", "1.0.0"):
            openmetrics = max(openmetrics, quality)
        elif kind == "text/plain":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def wants_gzip(accept: str) -> bool:
    """Tell whether a client takes gzip."""
    qualities = {kind: quality for kind, quality, _ in _preferences(accept)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _preferences(header: str) -> list[tuple[str, float, str]]:
    found = []
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = dict(piece.partition("=")[::2] for piece in parameters)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            quality = 0.0
        if kind:
            found.append((kind, quality, given.get("version", "").strip('"')))
    return found


async def _answer(
    request: web.Request, pieces: AsyncIterator[bytes], headers: dict[istr, str], *, zipped: bool
) -> web.StreamResponse:
    """Send a small page whole, a large one piece by piece: it never stands in memory as a whole."""
    first = await anext(pieces, b"")
    second = await anext(pieces, b"")
    zipped = zipped and len(first) + len(second) > _SMALL_BYTES
    if zipped:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    if not second:
        return web.Response(body=await _Zip().all(first) if zipped else first, headers=headers)
    response = web.StreamResponse(headers=headers)
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    zipper = _Zip() if zipped else None
    piece = first
    while piece:
        await response.write(await zipper.some(piece) if zipper else piece)
        piece, second = second or await anext(pieces, b""), b""
    if zipper:
        await response.write(zipper.rest())
    return response


class _Zip:
    """Compresses at the fastest level, larger pieces in a thread."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(1, zlib.DEFLATED, _GZIP)

    async def some(self, piece: bytes) -> bytes:
        if len(piece) < _THREAD_BYTES:
            return self._zlib.compress(piece)
        return await asyncio.to_thread(self._zlib.compress, piece)

    async def all(self, piece: bytes) -> bytes:
        return await self.some(piece) + self.rest()

    def rest(self) -> bytes:
        return self._zlib.flush()
