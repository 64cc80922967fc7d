"""Which series come together: each such set has a number, and the series that share sets share a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rules.labels import Labels

SHARD_SERIES = 2048
"""A shard is packed at once: this bounds the memory that it takes."""


@dataclass(slots=True)
class Layout:
    """The series of a sheet."""

    id: int
    shard: int
    series: tuple[Labels, ...]
    slot: int
    """The newest slot that it was used in."""
    given: Sequence[Labels]
    """The object that the writer last gave for it: the same object means the same series."""


class Layouts:
    """All sets of series that are in use."""

    def __init__(self) -> None:
        self.by_id: dict[int, Layout] = {}
        self._by_series: dict[tuple[Labels, ...], Layout] = {}
        self._by_object: dict[int, Layout] = {}
        self._homes: dict[Labels, int] = {}
        self._sizes: dict[int, int] = {}

    def find(self, series: Sequence[Labels]) -> Layout | None:
        """Return the layout of these series, if it is known."""
        layout = self._by_object.get(id(series))
        if layout is None:
            layout = self._by_series.get(tuple(series))
            if layout is not None:
                self._remember(layout, series)
        return layout

    def shard_for(self, series: Sequence[Labels]) -> int:
        """Return where the series belong: with those that are known, else where there is room."""
        for labels in series:
            if (home := self._homes.get(labels)) is not None:
                return home
        newest = max(self._sizes, default=0)
        return newest if self._sizes.get(newest, 0) < SHARD_SERIES else newest + 1

    def learn(self, layout: Layout) -> None:
        """Take in a layout."""
        self.by_id[layout.id] = self._by_series[layout.series] = layout
        self._remember(layout, layout.given)
        before = len(self._homes)
        for labels in layout.series:
            self._homes.setdefault(labels, layout.shard)
        self._sizes[layout.shard] = self._sizes.get(layout.shard, 0) + len(self._homes) - before

    def without_before(self, slot: int) -> Layouts:
        """Return the layouts that were used in this slot or later."""
        kept = Layouts()
        for layout in self.by_id.values():
            if layout.slot >= slot:
                kept.learn(layout)
        return kept

    def _remember(self, layout: Layout, series: Sequence[Labels]) -> None:
        # The object is kept, so that no other can get its id while we know it.
        self._by_object.pop(id(layout.given), None)
        layout.given = series
        self._by_object[id(series)] = layout
