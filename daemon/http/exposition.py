"""Renders the snapshot for Prometheus: text format 0.0.4 and OpenMetrics 1.0."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from collectors.model import Kind, MetricDef
from daemon.block import Block, Layout
from daemon.http.text import help_text
from daemon.known import TargetState

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PIECE_BYTES = 1 << 18
_SLICE_SECONDS = 0.005
"""The loop waits no longer than this for the rest of a page."""
_SLICE_ROWS = 256
"""So many rows between two looks at the clock."""
_SUMMARY_LIKE = ("_count", "_sum", "_bucket")
"""What only histograms and summaries may end in."""


class Part(NamedTuple):
    """A column of some blocks that belongs to one family."""

    blocks: Sequence[Block]
    column: int


@dataclass(slots=True)
class Family:
    """Everything that is shown under one metric name."""

    metric: MetricDef
    parts: list[Part] = field(default_factory=list)
    extra: list[bytes] = field(default_factory=list)
    """Lines that are not the snapshot's: the daemon's own, process-wide ones."""
    mixed: bool = False
    """Targets disagree about what kind of metric it is."""


def families_of(
    states: Iterable[TargetState], probes: Collection[str] = (), own: Iterable[tuple[MetricDef, bytes]] = ()
) -> dict[str, Family]:
    """Return what is shown of these targets, by metric name in order; of some probes only, if named.

    The answer is one consistent view: what is recorded later does not change it.
    """
    groups = grouped(states, probes)
    blocks = list(groups.values())
    extra = list(own)
    places = order(tuple(groups), tuple(metric for metric, _ in extra))
    return {place.metric.name: family_of(place, blocks, extra) for place in places}


def grouped(states: Iterable[TargetState], probes: Collection[str] = ()) -> dict[Layout, list[Block]]:
    """Return the blocks of these targets by what metrics they have."""
    groups: dict[Layout, list[Block]] = {}
    for block in chain.from_iterable(state.blocks(probes) for state in states):
        groups.setdefault(block.layout, []).append(block)
    return groups


class Place(NamedTuple):
    """Where the lines of one family come from."""

    metric: MetricDef
    mixed: bool
    columns: Sequence[tuple[int, int]]
    """(layout, column in it)."""
    lines: Sequence[int]
    """Which of the lines that are not the snapshot's."""


def family_of(
    place: Place, blocks: Sequence[Sequence[Block]], extra: Sequence[tuple[MetricDef, bytes]]
) -> Family:
    """Return the family at a place, of these blocks by layout and these lines."""
    parts = [Part(blocks[group], column) for group, column in place.columns]
    return Family(place.metric, parts, [extra[line][1] for line in place.lines], place.mixed)


@lru_cache(maxsize=32)
def order(layouts: tuple[Layout, ...], own: tuple[MetricDef, ...]) -> list[Place]:
    """Return the families in order: the same from page to page, until a probe comes or goes."""
    found: dict[str, tuple[MetricDef, set[Kind], list[tuple[int, int]], list[int]]] = {}
    for number, layout in enumerate(layouts):
        for column, metric in enumerate(layout.metrics):
            _, kinds, columns, _ = found.setdefault(metric.name, (metric, set(), [], []))
            kinds.add(metric.kind)
            columns.append((number, column))
    for number, metric in enumerate(own):
        _, kinds, _, lines = found.setdefault(metric.name, (metric, set(), [], []))
        kinds.add(metric.kind)
        lines.append(number)
    return [
        Place(metric, len(kinds) > 1, columns, lines)
        for _, (metric, kinds, columns, lines) in sorted(found.items())
    ]


async def render(
    families: Mapping[str, Family], *, openmetrics: bool = False, aliases: bool = False
) -> AsyncIterator[bytes]:
    """Give the page in pieces of about 256 KB, letting the loop do other things every few ms."""
    older = older_names([family.metric for family in families.values()]) if aliases else {}
    names = {*families, *older}
    out: list[bytes] = []
    size = 0
    clock = Slices()
    for name, family in [*families.items(), *((alias, families[name]) for alias, name in older.items())]:
        start = len(out)
        await append(out, name, family, names, clock, openmetrics=openmetrics)
        size += sum(map(len, out[start:]))
        if size >= PIECE_BYTES:
            yield b"".join(out)
            out, size = [], 0
    if openmetrics:
        out.append(b"# EOF\n")
    if out:
        yield b"".join(out)


async def append(
    out: list[bytes],
    name: str,
    family: Family,
    names: Collection[str],
    clock: Slices,
    *,
    openmetrics: bool,
) -> None:
    """Append a family's text under one of its names; nothing when it has no series."""
    start = len(out)
    out.append(header(name, family, names, openmetrics=openmetrics))
    for blocks, column in family.parts:
        for block in blocks:
            if clock.over(1 + block.text(column, out)):
                await asyncio.sleep(0)
    out.extend(family.extra)
    if len(out) == start + 1:
        out.pop()
    elif name != family.metric.name:
        out[start + 1 :] = [_renamed(piece, family.metric.name, name) for piece in out[start + 1 :]]


def header(name: str, family: Family, names: Collection[str], *, openmetrics: bool) -> bytes:
    """Return the HELP and TYPE lines of a family.

    A name that breaks the rules of its type (a counter not ending in `_total`, a gauge that does, or
    that ends like a part of a histogram) is left untyped: so readers and `promtool` take it as it is.
    """
    taken = openmetrics and name.removesuffix("_total") in names
    kind = None if family.mixed else family.metric.kind
    return _header(name, kind, family.metric.help, openmetrics, taken)


@lru_cache(maxsize=20_000)
def _header(name: str, kind: Kind | None, text: str, openmetrics: bool, taken: bool) -> bytes:
    """Return the two lines; they are half the work of a page of few series, and hardly ever change."""
    word = "" if kind is None else _kind(name, kind)
    if openmetrics and word == Kind.COUNTER:
        word, name = ("", name) if taken else (word, name.removesuffix("_total"))
    word = word or ("unknown" if openmetrics else "untyped")
    text = help_text(text, quotes=openmetrics)
    return f"# HELP {name} {text}\n# TYPE {name} {word}\n".encode("utf-8", "replace")


def _kind(name: str, kind: Kind) -> str:
    if kind is Kind.COUNTER:
        return kind.value if name.endswith("_total") and len(name) > len("_total") else ""
    return "" if name.endswith(("_total", *_SUMMARY_LIKE)) else kind.value


def older_names(metrics: Sequence[MetricDef]) -> dict[str, str]:
    """Return older name -> name; one that is taken by another family is left out."""
    names = {metric.name for metric in metrics}
    older: dict[str, str] = {}
    for metric in metrics:
        for alias in metric.aliases:
            if alias not in names:
                older.setdefault(alias, metric.name)
    return dict(sorted(older.items()))


def _renamed(piece: bytes, name: str, alias: str) -> bytes:
    """Return the lines under another name; labels hold no line end, so each of those begins a line."""
    new = b"\n" + alias.encode() + b"{"
    return (b"\n" + piece).replace(b"\n" + name.encode() + b"{", new)[1:]


class Slices:
    """Tells when it is time to let others run."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _SLICE_SECONDS
        self._rows = 0

    def over(self, rows: int) -> bool:
        """Tell whether it is time, so many rows later."""
        self._rows += rows
        if self._rows < _SLICE_ROWS:
            return False
        self._rows = 0
        if (now := time.perf_counter()) < self._until:
            return False
        self._until = now + _SLICE_SECONDS
        return True
