"""Carries what the snapshot shows into the window, as a Prometheus that scrapes would see it.

Two halves: `Reader` looks at the snapshot on the event loop and notes what changed, `Writer` turns the
notes into samples in the judge's thread. Blocks never change what they show, so handing one over is safe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from collectors.engine import Engine
from collectors.model import LabelValues, MetricDef, Number
from daemon.block import Block, Layout
from daemon.judge.sight import Sight, sight_of
from daemon.known import TargetState
from daemon.snapshot import Snapshot
from rules.labels import Labels, labels_of, schema
from rules.promql.values import ABSENT, Floats
from rules.window import Window

REPEAT_MS = 60_000
"""A slow probe's answer is written again so often while it holds: ranges of minutes see it then."""
TOGETHER_ROWS = 32
"""The metrics of a frame with no more rows share a sheet: there are thousands of such frames in a fleet, and
each sheet has its cost."""
SELF = "self"
Place: TypeAlias = tuple[str, str, str, str, int]
"""Target, probe, database, the first metric, and which one of several such frames."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The labels that all series of one target carry."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Notes:
    """What changed since the last look."""

    shown: list[tuple[Place, Origin, Block, int]] = field(default_factory=list)
    """With the time of the sample, Unix milliseconds."""
    up: list[tuple[str, Origin, float, int]] = field(default_factory=list)
    ended: list[Place] = field(default_factory=list)
    targets_gone: list[str] = field(default_factory=list)
    own: list[tuple[MetricDef, LabelValues, Number]] = field(default_factory=list)
    """Process-wide metrics of the daemon itself."""
    at_ms: int = 0
    sight: Sight = field(default_factory=Sight)
    """What could not be seen."""


class Reader:
    """Looks at the snapshot; belongs to the event loop."""

    def __init__(self, snapshot: Snapshot, engines: Mapping[str, Engine]) -> None:
        self._snapshot = snapshot
        self._engines = engines
        self._seen: dict[Place, tuple[Block, int]] = {}
        self._origins: dict[str, tuple[TargetState, Origin]] = {}

    def look(self, now_ms: int) -> Notes:
        """Return what is new, what is to be repeated, and what is no longer there."""
        states = self._snapshot.states()
        notes = Notes(at_ms=now_ms, sight=sight_of(states.values(), now_ms / 1000))
        there: dict[Place, tuple[Block, int]] = {}
        for state in states.values():
            origin = self._origin(state)
            if state.up is not None:
                notes.up.append((state.name, origin, float(state.up.up), now_ms))
            for place, block in _blocks(state):
                there[place] = self._note(place, block, origin, notes)
        notes.ended = [place for place in self._seen if place not in there]
        self._seen = there
        for name in [name for name in self._origins if name not in states]:
            del self._origins[name]
            notes.targets_gone.append(name)
        return notes

    def _note(self, place: Place, block: Block, origin: Origin, notes: Notes) -> tuple[Block, int]:
        block_ms = math.floor(block.at * 1000)
        before = self._seen.get(place)
        if before is None:
            at_ms = min(block_ms, notes.at_ms)
        elif before[0] is not block:
            at_ms = block_ms if before[1] < block_ms <= notes.at_ms else notes.at_ms
        elif notes.at_ms - before[1] >= REPEAT_MS:
            at_ms = notes.at_ms
        else:
            return before
        notes.shown.append((place, origin, block, at_ms))
        return block, at_ms

    def _origin(self, state: TargetState) -> Origin:
        held = self._origins.get(state.name)
        if held is not None and held[0] is state:
            return held[1]
        target = state.target
        engine = self._engines.get(target.engine)
        pairs = dict(state.origin.pairs)
        pairs.setdefault("job", target.engine)
        pairs.setdefault("instance", engine.address(target) if engine else target.name)
        origin = Origin(tuple((name, value) for name, value in pairs.items() if value))
        self._origins[state.name] = (state, origin)
        return origin


def _blocks(state: TargetState) -> Iterator[tuple[Place, Block]]:
    answers = [("up", "", state.up_blocks), (SELF, "", state.own_blocks)]
    answers += [(held.probe, held.database, held.blocks) for held in state.held.values()]
    for probe, database, blocks in answers:
        count: dict[str, int] = {}
        for block in blocks:
            first = block.layout.metrics[0].name
            nth = count[first] = count.get(first, -1) + 1
            yield (state.name, probe, database, first, nth), block


@dataclass(frozen=True, slots=True)
class _Share:
    """Metrics of a frame that are written into one sheet."""

    key: int | str
    metrics: tuple[tuple[int, str, tuple[str, ...]], ...]
    """Column, name, and label names of each."""


@dataclass(slots=True)
class _Written:
    """How the frames of one place are written."""

    apart: bool
    """Each metric into a sheet of its own: a value that comes or goes then names no other metric anew."""
    layout: Layout
    measure: int
    shares: tuple[_Share, ...]
    held: dict[int | str, tuple[Sequence[LabelValues], bytes, Sequence[Labels]]] = field(default_factory=dict)
    """By the share's key: the rows, which cells of them have values, and the series that these are."""


class Writer:
    """Writes samples into the window; belongs to the judge's thread."""

    def __init__(self, window: Window, own_labels: Mapping[str, str]) -> None:
        self._window = window
        self._own = dict(own_labels)
        self._places: dict[Place, _Written] = {}
        self._ups: dict[str, Sequence[Labels]] = {}
        self._planned: WeakKeyDictionary[Layout, dict[tuple[bool, int], tuple[_Share, ...]]] = (
            WeakKeyDictionary()
        )

    def write(self, notes: Notes) -> None:
        """Take over what was noted."""
        for place in notes.ended:
            self._end(place, notes.at_ms)
        for name in notes.targets_gone:
            self._window.end(("up", name), notes.at_ms)
            self._ups.pop(name, None)
        for name, origin, value, at_ms in notes.up:
            self._up(name, origin, value, at_ms)
        for place, origin, block, at_ms in notes.shown:
            written = self._written(place, block, at_ms)
            for share in written.shares:
                self._share(place, share, written, origin, block, at_ms)
        for metric, values, number in notes.own:
            if self._window.wants(metric.name):
                pairs = zip(metric.labels, values, strict=True)
                labels = labels_of({**self._own, **dict(pairs), "__name__": metric.name})
                self._window.write((SELF, labels), (labels,), notes.at_ms, (float(number),))

    def _up(self, name: str, origin: Origin, value: float, at_ms: int) -> None:
        series = self._ups.get(name)
        if series is None:
            series = self._ups[name] = (labels_of([*origin.pairs, ("__name__", "up")]),)
        self._window.write(("up", name), series, at_ms, (value,))

    def _end(self, place: Place, at_ms: int) -> None:
        written = self._places.pop(place, None)
        for share in written.shares if written else ():
            self._window.end((place, share.key), at_ms)

    def _written(self, place: Place, block: Block, at_ms: int) -> _Written:
        """Return how a place is written; sheets that it needs no more are left or ended."""
        before, measure = self._places.get(place), self._window.measure
        if before is not None and before.layout is block.layout and before.measure == measure:
            return before
        apart = len(block.keys) > TOGETHER_ROWS if before is None else before.apart
        shares = self._shares(block.layout, apart=apart)
        found = self._places[place] = _Written(apart, block.layout, measure, shares)
        if before is None:
            return found
        if before.shares == shares:
            found.held = before.held
        elif before.measure != measure:
            for share in before.shares:
                self._window.leave((place, share.key))
        else:
            for key in {share.key for share in before.shares}.difference(share.key for share in shares):
                self._window.end((place, key), at_ms)
        return found

    def _shares(self, layout: Layout, *, apart: bool) -> tuple[_Share, ...]:
        """Return which metrics go into one sheet: those that are kept equally long."""
        measure = self._window.measure
        plans = self._planned.setdefault(layout, {})
        if (apart, measure) not in plans:
            plans.clear()
            found: dict[int | str, list[tuple[int, str, tuple[str, ...]]]] = {}
            for column, metric in enumerate(layout.metrics):
                for name in (metric.name, *metric.aliases):
                    keep = self._window.kept(name)
                    if keep is not None:
                        found.setdefault(name if apart else keep, []).append((column, name, metric.labels))
            plans[apart, measure] = tuple([_Share(key, tuple(metrics)) for key, metrics in found.items()])
        return plans[apart, measure]

    def _share(
        self, place: Place, share: _Share, written: _Written, origin: Origin, block: Block, at_ms: int
    ) -> None:
        cells = list(chain.from_iterable(block.columns[column] for column, _, _ in share.metrics))
        values, pattern = _numbers(cells)
        held = written.held.get(share.key)
        if held is None or held[1] != pattern or (held[0] is not block.keys and held[0] != block.keys):
            held = (block.keys, pattern, _series(share, origin, block))
        elif held[0] is not block.keys:
            held = (block.keys, pattern, held[2])
        written.held[share.key] = held
        self._window.write((place, share.key), held[2], at_ms, values)


def _series(share: _Share, origin: Origin, block: Block) -> Sequence[Labels]:
    """Name the series of a frame's cells that have values."""
    found: list[Labels] = []
    for column, name, labels in share.metrics:
        rows = [row for row, cell in zip(block.keys, block.columns[column], strict=True) if cell is not None]
        found += _labels(name, origin, [block.origin.label(label) for label in labels], rows)
    return found


def _numbers(cells: Sequence[Number | None]) -> tuple[Floats, bytes]:
    """Return the values that are there, and a word for which ones they are."""
    if None not in cells:
        return np.array(cells, dtype=np.float64), b""
    values = np.array([ABSENT if cell is None else cell for cell in cells], dtype=np.float64)
    there = np.array([cell is not None for cell in cells])
    return values[there], np.packbits(there).tobytes()


def _labels(name: str, origin: Origin, names: Sequence[str], rows: Sequence[LabelValues]) -> list[Labels]:
    """Name the series of one metric; rows without an empty value share everything but their values."""
    fixed = dict(origin.pairs)
    order = tuple(sorted({*fixed, *names}))
    form = schema(order)
    places = [names.index(label) if label in names else -1 for label in order]
    constant = [fixed.get(label, "") for label in order]
    found = []
    for row in rows:
        if all(row):
            values = [row[at] if at >= 0 else constant[i] for i, at in enumerate(places)]
            found.append(Labels(name, form, tuple(values)))
        else:
            pairs = {**fixed, **dict(zip(names, row, strict=True))}
            found.append(labels_of({**pairs, "__name__": name}))
    return found
