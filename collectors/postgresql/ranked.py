"""Which statements get series of their own, and what all the others add up to.

The input is a growing and shrinking table of cumulative counters (pg_stat_statements and its like). The
output is a bounded, stable choice of its rows and a *rest* that only ever grows, so that the sum of the
rates over chosen rows and rest is the rate of everything: a row's increase goes into the rest unless the
row was exported both in the last run and in this one. The rest counts from the first run on; it does not
begin with the past, because then a restart of the daemon would look like a burst.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.keep import Keeper
from collectors.model import Number

Key = tuple[int, int, int]
"""userid, dbid, queryid: the first three columns of every row."""
Row = Sequence[Any]
RUNS_BEFORE_ENTRY = 2
"""A row enters a full choice only when it was active in this many runs: what runs once makes no series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What stands in which column of a row."""

    counters: tuple[int, ...]
    activity: tuple[int, ...]
    """Counters of which at least one moves whenever any moves."""
    ranks: Mapping[str, tuple[int, ...]]
    """Dimension -> its counters; a row ranks by its largest share in any dimension."""
    smallest: tuple[int, ...] = ()
    """Where rows of one key are merged: columns of which the least counts,"""
    largest: tuple[int, ...] = ()
    """and those of which the greatest does. What is neither becomes unknown."""
    since: int = -1
    """Column with the time at which the row began to count; -1 when there is none."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the rows of one run stand, without those that are hidden, one for each key."""

    parts: tuple[list[Any], ...]
    """userid, dbid and queryid of all rows as the server gave them."""
    keys: list[Key]
    at: dict[Key, int]
    first: list[int] | None = None
    """For each key the first row that has it; None when every row has a key of its own."""
    again: Sequence[tuple[int, int]] = ()
    """(place, row) of rows whose key was there before."""

    @property
    def hidden(self) -> int:
        """Number of rows whose statement the server does not tell us."""
        return len(self.parts[0] if self.parts else ()) - len(self.keys) - len(self.again)


def _places(parts: tuple[list[Any], ...]) -> _Places:
    all_keys = list(zip(*parts, strict=True))
    at = {key: index for index, key in enumerate(all_keys)}
    if len(at) == len(all_keys) and None not in parts[2]:
        return _Places(parts, all_keys, at)
    at = {}
    first: list[int] = []
    again: list[tuple[int, int]] = []
    for index, key in enumerate(all_keys):
        if key in at:
            again.append((at[key], index))
        elif key[2] is not None:
            at[key] = len(first)
            first.append(index)
    return _Places(parts, list(at), at, first, again)


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of one run in the order of `places.keys`."""

    places: _Places
    rows: Sequence[Row]

    def aligned(self, later: _Table) -> Iterable[Row | None]:
        """Return the rows in the order of a later table, None for those that were not there."""
        if later.places is self.places:
            return self.rows
        where = self.places.at
        return [None if (at := where.get(key)) is None else self.rows[at] for key in later.places.keys]


@dataclass(slots=True)
class Choice:
    """What one run chose."""

    members: list[Key]
    """The same object as in the last run when nothing changed."""
    rows: Sequence[Row]
    """In the order of `members`."""
    rest: tuple[Number, ...]
    """In the order of `Layout.counters`."""
    dropped: int
    hidden: int
    """Rows whose key the server does not tell us."""


class Ranked:
    """Chooses rows, run after run. `most` 0 means all."""

    def __init__(self, layout: Layout, most: int) -> None:
        self._layout = layout
        self._most = most
        self._keeper: Keeper[Key] = Keeper(most)
        self._identity = ""
        self._table = _Table(_Places((), [], {}), [])
        self._members: list[Key] = []
        self._member_set: frozenset[Key] = frozenset()
        self._positions: tuple[object, object, list[int]] = (None, None, [])
        self._active_runs: dict[Key, int] = {}
        self._rest: list[Number] = [0] * len(layout.counters)
        self._counters = _tuple_of(layout.counters)
        self._activity = operator.itemgetter(*layout.activity)
        self.resets_total = 0
        """Rows whose counters went back, so that their increase is not known."""

    def choose(self, rows: Sequence[Row], identity: str) -> Choice:
        """Take the rows of one run; `identity` tells servers and their restarts apart."""
        before = self._table
        table = self._table = self._read(rows, before)
        same_server, self._identity = identity == self._identity, identity
        if same_server:
            keys, deltas = self._deltas(table, before)
            ranks = self._shares(keys, deltas)
        else:
            keys, deltas = [], []
            ranks = self._shares_so_far(table)
        exported = self._member_set if same_server else frozenset()
        self._choose(table, ranks, fresh=not same_server)
        self._add_rest(keys, deltas, exported)
        return Choice(
            self._members,
            self._member_rows(table),
            tuple(self._rest),
            len(table.places.keys) - len(self._members),
            table.places.hidden,
        )

    def refresh(self, rows: Sequence[Row], identity: str) -> Choice | None:
        """Take newer rows of the members alone; the choice and the rest stay those of the last full run.

        Return None when that cannot be: a member is gone, or this is not the server of the last full run.
        """
        newer = self._read(rows, _Table(_Places((), [], {}), []))
        if identity != self._identity or not self._member_set <= newer.places.at.keys():
            return None
        at = newer.places.at
        return Choice(
            self._members,
            [newer.rows[at[key]] for key in self._members],
            tuple(self._rest),
            len(self._table.places.keys) - len(self._members),
            self._table.places.hidden,
        )

    def _read(self, rows: Sequence[Row], before: _Table) -> _Table:
        """Index the rows. The server gives them in the same order until one comes or goes."""
        parts = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        places = before.places if parts == before.places.parts else _places(parts)
        if places.first is not None:
            merged = [rows[index] for index in places.first]
            for at, index in places.again:
                merged[at] = self._merge(merged[at], rows[index])
            rows = merged
        return _Table(places, rows)

    def _merge(self, one: Row, other: Row) -> Row:
        row: list[Any] = [*one[:3], *[None] * (len(one) - 3)]
        for index in self._layout.counters:
            row[index] = one[index] + other[index]
        for index in self._layout.smallest:
            row[index] = min(one[index], other[index])
        for index in (*self._layout.largest, *([self._layout.since] if self._layout.since >= 0 else [])):
            row[index] = max(one[index], other[index])
        return row

    def _deltas(self, table: _Table, before: _Table) -> tuple[list[Key], list[list[Number]]]:
        """Return the rows that moved and, for each counter, their increases."""
        keys, now, then = [], [], []
        zero = (0,) * len(self._layout.counters)
        activity, counters = self._activity, self._counters
        for key, row, old in zip(table.places.keys, table.rows, before.aligned(table), strict=True):
            if old is None:
                if table.places.hidden or before.places.hidden:
                    continue  # perhaps not new, only visible now
            elif activity(row) == activity(old):
                continue
            keys.append(key)
            now.append(counters(row))
            then.append(zero if old is None or self._began_anew(row, old) else counters(old))
        if not keys:
            return [], []
        deltas = [
            list(map(operator.sub, new, old))
            for new, old in zip(zip(*now, strict=True), zip(*then, strict=True), strict=True)
        ]
        return self._without_resets(keys, deltas)

    def _began_anew(self, row: Row, old: Row) -> bool:
        since = self._layout.since
        return since >= 0 and row[since] != old[since]

    def _without_resets(
        self, keys: list[Key], deltas: list[list[Number]]
    ) -> tuple[list[Key], list[list[Number]]]:
        """Drop the whole row when any of its counters went back: nothing about it is known then."""
        bad = {index for column in deltas if min(column) < 0 for index, one in enumerate(column) if one < 0}
        if not bad:
            return keys, deltas
        self.resets_total += len(bad)
        good = [index for index in range(len(keys)) if index not in bad]
        return [keys[index] for index in good], [[column[index] for index in good] for column in deltas]

    def _shares(self, keys: Sequence[Key], deltas: Sequence[Sequence[Number]]) -> dict[Key, float]:
        """Return each row's largest share of what all rows did, over the dimensions."""
        if not keys:
            return {}
        position = {column: at for at, column in enumerate(self._layout.counters)}
        best = [0.0] * len(keys)
        for columns in self._layout.ranks.values():
            done = [sum(one) for one in zip(*(deltas[position[column]] for column in columns), strict=True)]
            total = sum(done)
            if total > 0:
                best = [max(share, one / total) for share, one in zip(best, done, strict=True)]
        return dict(zip(keys, best, strict=True))

    def _shares_so_far(self, table: _Table) -> dict[Key, float]:
        """Rank by everything that was ever counted: all that is known in a first run."""
        columns = zip(*map(self._counters, table.rows), strict=True)
        return self._shares(table.places.keys, [list(column) for column in columns])

    def _choose(self, table: _Table, ranks: Mapping[Key, float], *, fresh: bool) -> None:
        if not self._most or len(table.places.keys) <= self._most:
            if table.places.at.keys() != self._member_set:
                self._set_members(frozenset(table.places.keys), table)
            return
        members = [key for key in self._members if key in table.places.at]
        ripe = ranks if fresh else self._ripe(table, ranks)
        best = heapq.nlargest(self._most, ripe, key=ranks.__getitem__)
        candidates = list(dict.fromkeys([*members, *best]))
        wanted = self._keeper.choose(candidates, [ranks.get(key, 0.0) for key in candidates])
        if wanted != self._member_set:
            self._set_members(frozenset(wanted), table)

    def _set_members(self, wanted: frozenset[Key], table: _Table) -> None:
        staying = [key for key in self._members if key in wanted]
        known = self._member_set
        self._members = staying + [key for key in table.places.keys if key in wanted and key not in known]
        self._member_set = wanted

    def _member_rows(self, table: _Table) -> Sequence[Row]:
        if self._positions[0] is not self._members or self._positions[1] is not table.places.at:
            self._positions = (
                self._members,
                table.places.at,
                [table.places.at[key] for key in self._members],
            )
        rows = table.rows
        return [rows[index] for index in self._positions[2]]

    def _ripe(self, table: _Table, ranks: Mapping[Key, float]) -> list[Key]:
        runs = self._active_runs
        for key in ranks:
            runs[key] = runs.get(key, 0) + 1
        if len(runs) > 2 * len(table.places.keys):
            self._active_runs = {key: count for key, count in runs.items() if key in table.places.at}
        return [key for key in ranks if runs[key] >= RUNS_BEFORE_ENTRY]

    def _add_rest(
        self, keys: Sequence[Key], deltas: Sequence[Sequence[Number]], exported: frozenset[Key]
    ) -> None:
        now = self._member_set
        outside = [index for index, key in enumerate(keys) if key not in exported or key not in now]
        if outside:
            for at, column in enumerate(deltas):
                self._rest[at] += sum([column[index] for index in outside])


def _tuple_of(columns: Sequence[int]) -> Callable[[Row], tuple[Any, ...]]:
    if len(columns) == 1:
        return lambda row: (row[columns[0]],)
    return operator.itemgetter(*columns)
