"""Renders the page of all targets once more: what did not change since the last one is not put together anew.

Most probes run more seldom than Prometheus scrapes, and a server has hundreds of settings that nobody
changes. Families that come from the same frames stand in runs; the text of a run is kept, and holds as long
as its frames are those of the last page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from collectors.model import MetricDef
from daemon.block import Block, Layout
from daemon.http.exposition import PIECE_BYTES, Place, Slices, append, family_of, grouped, older_names, order
from daemon.known import TargetState

_END = b"# EOF\n"


class Run(NamedTuple):
    """Families that follow each other and come from the same layouts."""

    groups: tuple[int, ...]
    own: bool
    """Whether lines of the daemon's own are among them, which are new each time."""
    places: tuple[tuple[str, Place], ...]
    """Each under the name that it is shown by."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it was: which blocks, by layout, and the text of each run."""

    runs: Sequence[Run]
    blocks: Sequence[Sequence[Block]]
    texts: Sequence[bytes | None]


class LastPages:
    """Remembers the last page of each format."""

    def __init__(self) -> None:
        self._pages: dict[tuple[bool, bool], _Page] = {}

    def forget(self) -> None:
        """Free the pages."""
        self._pages.clear()

    async def render(
        self,
        states: Iterable[TargetState],
        own: Iterable[tuple[MetricDef, bytes]],
        *,
        openmetrics: bool,
        aliases: bool,
    ) -> AsyncIterator[bytes]:
        """Give the page in pieces, as `exposition.render` does."""
        groups = grouped(states)
        blocks, extra = list(groups.values()), list(own)
        runs, names = _runs(tuple(groups), tuple(metric for metric, _ in extra), aliases)
        last = self._pages.get((openmetrics, aliases))
        kept = _kept(last, runs, blocks)
        clock = Slices()
        texts: list[bytes | None] = []
        out: list[bytes] = []
        size = 0
        for run, known in zip(runs, kept, strict=True):
            lines: list[bytes] = []
            long, whole = 0, not run.own
            for name, place in run.places if known is None else ():
                before = len(lines)
                family = family_of(place, blocks, extra)
                await append(lines, name, family, names, clock, openmetrics=openmetrics)
                long += sum(map(len, lines[before:]))
                if long >= PIECE_BYTES:
                    yield b"".join([*out, *lines])
                    out, size, lines, long = [], 0, [], 0
                    whole = False  # it would be in memory twice, and a frame of that size changes often
            text = b"".join(lines) if known is None else known
            texts.append(text if whole else None)
            out.append(text)
            size += len(text)
            if size >= PIECE_BYTES:
                yield b"".join(out)
                out, size = [], 0
        # In one step: another page may be under way at the same time.
        self._pages[openmetrics, aliases] = _Page(runs, blocks, texts)
        if openmetrics:
            out.append(_END)
        if out:
            yield b"".join(out)


def _kept(last: _Page | None, runs: Sequence[Run], blocks: Sequence[Sequence[Block]]) -> list[bytes | None]:
    """Return the text of each run, None where it is to be rendered."""
    if last is None or last.runs is not runs:
        return [None] * len(runs)
    same = [now == then for now, then in zip(blocks, last.blocks, strict=True)]
    return [
        text if all(same[group] for group in run.groups) else None
        for run, text in zip(runs, last.texts, strict=True)
    ]


@lru_cache(maxsize=32)
def _runs(
    layouts: tuple[Layout, ...], own: tuple[MetricDef, ...], aliases: bool
) -> tuple[Sequence[Run], Collection[str]]:
    """Return the runs in the order of the page, older names at its end; and all names."""
    places = {place.metric.name: place for place in order(layouts, own)}
    older = older_names([place.metric for place in places.values()]) if aliases else {}
    shown = [*places.items(), *((alias, places[name]) for alias, name in older.items())]
    runs = [
        Run(groups, with_own, tuple(members)) for (groups, with_own), members in groupby(shown, key=_source)
    ]
    return runs, frozenset(name for name, _ in shown)


def _source(shown: tuple[str, Place]) -> tuple[tuple[int, ...], bool]:
    place = shown[1]
    return tuple(sorted({group for group, _ in place.columns})), bool(place.lines)
