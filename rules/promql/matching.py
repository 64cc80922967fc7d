"""Which elements of two vectors belong together: by the labels that count, their *signature*.

What depends on labels alone is worked out once for the rows of both sides and kept; the rest is
index arrays, whatever elements are there at the moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.labels import Labels
from rules.promql.context import Memo
from rules.promql.tree import Binary, Matching
from rules.promql.values import Key, Rows, Vector

Places = NDArray[np.intp]


@dataclass(slots=True, eq=False)
class Side:
    """The signatures of one side's rows."""

    of: Places
    """Which of them each row has."""
    places: dict[Key, int]
    """The different ones, in order of appearance."""

    @property
    def unique(self) -> bool:
        """Tell whether no two rows have the same."""
        return len(self.places) == len(self.of)


@dataclass(slots=True, eq=False)
class Match:
    """How the rows of a first side find those of a second one."""

    first: Side
    second: Side
    partner: Places
    """By row of the first side: the place of its signature among the second's; -1: it has none."""

    def rows_of(self, second: Vector) -> Places:
        """Return for each row of the first side the row of the second that is there, or -1.

        Where the second side has several, one of them.
        """
        at = np.full(len(self.second.places) + 1, -1, dtype=np.intp)
        there = np.flatnonzero(second.present)
        at[self.second.of[there]] = there
        found: Places = at[self.partner]
        return found


def match(node: Binary, first: Rows, second: Rows, memo: Memo) -> Match:
    """Return how the rows of two sides belong together."""
    matching = matching_of(node)
    one, other = _side(first, matching), _side(second, matching)
    return memo.of((node, "match"), (one, other), lambda: _match(one, other))


def matching_of(node: Binary) -> Matching:
    """Return by which labels two vectors are matched."""
    if node.matching is None:
        raise AssertionError(f"{node.op} between vectors has no matching")
    return node.matching


def signature(labels: Labels, matching: Matching) -> Labels:
    """Return the labels that count: those of `on`, or all but the name and those of `ignoring`."""
    if matching.on:
        return labels.only(matching.labels)
    return labels.without(matching.labels) if matching.labels else labels.nameless()


def _side(rows: Rows, matching: Matching) -> Side:
    what = (Side, matching.labels, matching.on)
    return rows.kept(what, lambda: _sided(rows.keys(matching.labels, keep=matching.on)))


def _sided(keys: Sequence[Key]) -> Side:
    places: dict[Key, int] = {}
    of = np.fromiter((places.setdefault(key, len(places)) for key in keys), dtype=np.intp, count=len(keys))
    return Side(of, places)


def _match(first: Side, second: Side) -> Match:
    if first is second or list(first.places) == list(second.places):
        return Match(first, second, first.of)
    among = np.full(len(first.places), -1, dtype=np.intp)
    small, large = (first, second) if len(first.places) < len(second.places) else (second, first)
    for labels, place in small.places.items():
        other = large.places.get(labels)
        if other is not None:
            mine, its = (place, other) if small is first else (other, place)
            among[mine] = its
    return Match(first, second, among[first.of])
