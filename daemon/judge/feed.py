"""Carries what the snapshot shows into the window, as a Prometheus that scrapes would see it.

Two halves: `Reader` looks at the snapshot on the event loop and notes what changed, `Writer` turns the
notes into samples in the judge's thread. Blocks never change what they show, so handing one over is safe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from collectors.engine import Engine
from collectors.model import LabelValues, MetricDef, Number
from daemon.block import Block
from daemon.judge.sight import Sight, sight_of
from daemon.known import TargetState
from daemon.snapshot import Snapshot
from rules.labels import Labels, labels_of, schema
from rules.promql.values import ABSENT, Floats
from rules.window import Window

REPEAT_MS = 60_000
"""A slow probe's answer is written again so often while it holds: ranges of minutes see it then."""
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


class Writer:
    """Writes samples into the window; belongs to the judge's thread."""

    def __init__(self, window: Window, own_labels: Mapping[str, str]) -> None:
        self._window = window
        self._own = dict(own_labels)
        self._named: dict[tuple[Place, str], tuple[Sequence[LabelValues], bytes, list[Labels]]] = {}
        self._sheets: dict[Place, set[str]] = {}

    def write(self, notes: Notes) -> None:
        """Take over what was noted."""
        for place in notes.ended:
            self._end(place, notes.at_ms)
        for name in notes.targets_gone:
            self._window.end(("up", name), notes.at_ms)
        for name, origin, value, at_ms in notes.up:
            self._up(name, origin, value, at_ms)
        for place, origin, block, at_ms in notes.shown:
            for column, metric in enumerate(block.layout.metrics):
                for name in (metric.name, *metric.aliases):
                    if self._window.wants(name):
                        self._column(place, origin, block, column, name, at_ms)
        for metric, values, number in notes.own:
            if self._window.wants(metric.name):
                pairs = zip(metric.labels, values, strict=True)
                labels = labels_of({**self._own, **dict(pairs), "__name__": metric.name})
                self._window.write((SELF, labels), (labels,), notes.at_ms, (float(number),))

    def _up(self, name: str, origin: Origin, value: float, at_ms: int) -> None:
        place = (name, "up", "", "up", 0)
        held = self._named.get((place, ""))
        if held is None:
            held = self._named[place, ""] = ((), b"", [labels_of([*origin.pairs, ("__name__", "up")])])
        self._window.write(("up", name), held[2], at_ms, (value,))

    def _end(self, place: Place, at_ms: int) -> None:
        for name in self._sheets.pop(place, ()):
            self._window.end((place, name), at_ms)
            self._named.pop((place, name), None)

    def _column(self, place: Place, origin: Origin, block: Block, column: int, name: str, at_ms: int) -> None:
        cells = block.columns[column]
        values, pattern = _numbers(cells)
        key = (place, name)
        held = self._named.get(key)
        if held is None or held[1] != pattern or (held[0] is not block.keys and held[0] != block.keys):
            rows = [row for row, cell in zip(block.keys, cells, strict=True) if cell is not None]
            names = [block.origin.label(label) for label in block.layout.metrics[column].labels]
            held = (block.keys, pattern, _labels(name, origin, names, rows))
            self._sheets.setdefault(place, set()).add(name)
        elif held[0] is not block.keys:
            held = (block.keys, pattern, held[2])
        self._named[key] = held
        self._window.write(key, held[2], at_ms, values)


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
