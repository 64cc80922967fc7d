"""Turns notes of what the snapshot shows into samples of the window, in the judge's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np

from collectors.model import LabelValues, Number
from daemon.block import Block, Layout
from daemon.judge.feed import SELF, Notes, Origin, Place
from rules.labels import Labels, Schema, labels_of, schema
from rules.promql.values import ABSENT, Floats
from rules.window import Window

TOGETHER_ROWS = 32
"""The metrics of a frame with no more rows share a sheet: there are thousands of such frames in a fleet, and
each sheet has its cost."""


@dataclass(frozen=True, slots=True)
class _Share:
    """Metrics of a frame that are written into one sheet."""

    key: int | str
    metrics: tuple[tuple[int, str, tuple[str, ...]], ...]
    """Column, name, and label names of each."""


@dataclass(slots=True)
class _Written:
    """How the frames of one place are written."""

    origin: Origin
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
        self._own_there: set[Labels] = set()
        self._places: dict[Place, _Written] = {}
        self._shared: dict[tuple[str, ...], list[tuple[Schema, tuple[str, ...]]]] = {}
        """By label names: the values that the metrics of the block at hand have in common, row by row."""
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
            written = self._written(place, origin, block, at_ms)
            self._shared.clear()
            for share in written.shares:
                self._share(place, share, written, block, at_ms)
        if notes.own:
            self._write_own(notes)

    def _write_own(self, notes: Notes) -> None:
        there: set[Labels] = set()
        for metric, values, number in notes.own:
            if self._window.wants(metric.name):
                pairs = zip(metric.labels, values, strict=True)
                labels = labels_of({**self._own, **dict(pairs), "__name__": metric.name})
                self._window.write((SELF, labels), (labels,), notes.at_ms, (float(number),))
                there.add(labels)
        for labels in self._own_there - there:
            self._window.end((SELF, labels), notes.at_ms)
        self._own_there = there

    def _up(self, name: str, origin: Origin, value: float, at_ms: int) -> None:
        series = self._ups.get(name)
        if series is None:
            series = self._ups[name] = (labels_of([*origin.pairs, ("__name__", "up")]),)
        self._window.write(("up", name), series, at_ms, (value,))

    def _end(self, place: Place, at_ms: int) -> None:
        written = self._places.pop(place, None)
        for share in written.shares if written else ():
            self._window.end((place, share.key), at_ms)

    def _written(self, place: Place, origin: Origin, block: Block, at_ms: int) -> _Written:
        """Return how a place is written; sheets that it needs no more are left or ended."""
        before, measure = self._places.get(place), self._window.measure
        if before is not None and (before.origin, before.layout, before.measure) == (
            origin,
            block.layout,
            measure,
        ):
            return before
        apart = len(block.keys) > TOGETHER_ROWS if before is None else before.apart
        shares = self._shares(block.layout, apart=apart)
        found = self._places[place] = _Written(origin, apart, block.layout, measure, shares)
        if before is None:
            return found
        if before.shares == shares:
            found.held = before.held if before.origin == origin else {}
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

    def _share(self, place: Place, share: _Share, written: _Written, block: Block, at_ms: int) -> None:
        cells = list(chain.from_iterable(block.columns[column] for column, _, _ in share.metrics))
        values, pattern = _numbers(cells)
        held = written.held.get(share.key)
        if held is None or held[1] != pattern or (held[0] is not block.keys and held[0] != block.keys):
            held = (block.keys, pattern, self._series(share, written.origin, block))
        elif held[0] is not block.keys:
            held = (block.keys, pattern, held[2])
        written.held[share.key] = held
        self._window.write((place, share.key), held[2], at_ms, values)

    def _series(self, share: _Share, origin: Origin, block: Block) -> Sequence[Labels]:
        """Name the series of a frame's cells that have values."""
        found: list[Labels] = []
        for column, name, labels in share.metrics:
            rows = self._shared.get(labels)
            if rows is None:
                names = [block.origin.label(label) for label in labels]
                rows = self._shared[labels] = _named(origin, names, block.keys)
            cells = block.columns[column]
            found += [
                Labels(name, form, values)
                for (form, values), cell in zip(rows, cells, strict=True)
                if cell is not None
            ]
        return found


def _numbers(cells: Sequence[Number | None]) -> tuple[Floats, bytes]:
    """Return the values that are there, and a word for which ones they are."""
    if None not in cells:
        return np.array(cells, dtype=np.float64), b""
    values = np.array([ABSENT if cell is None else cell for cell in cells], dtype=np.float64)
    there = np.array([cell is not None for cell in cells])
    return values[there], np.packbits(there).tobytes()


def _named(
    origin: Origin, names: Sequence[str], rows: Sequence[LabelValues]
) -> list[tuple[Schema, tuple[str, ...]]]:
    """Return the form and the values of each row's labels; rows without an empty value have one form."""
    fixed = dict(origin.pairs)
    order = tuple(sorted({*fixed, *names}))
    form = schema(order)
    places = [names.index(label) if label in names else -1 for label in order]
    constant = [fixed.get(label, "") for label in order]
    found = []
    for row in rows:
        if all(row):
            found.append((form, tuple([row[at] if at >= 0 else constant[i] for i, at in enumerate(places)])))
        else:
            labels = labels_of({**fixed, **dict(zip(names, row, strict=True))})
            found.append((labels.schema, labels.values))
    return found
