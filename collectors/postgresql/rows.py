"""Turns the rows of a declared probe into a frame, keeping a bounded and stable choice of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from collectors.choose import Query
from collectors.definition import as_text
from collectors.errors import CollectError
from collectors.keep import Keeper
from collectors.model import Frame, LabelValues, Number

_PLAIN = {int, float, type(None)}
_SHARED_ROWS = 64
"""Keys of longer frames are left out of what all servers share: they would crowd out the others."""


class FrameMaker:
    """Makes the frames of one declared probe in one database, run after run."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._labels = len(query.probe.labels)
        self._keeper: Keeper[LabelValues] = Keeper(query.probe.info.rows_max)
        self._keys: Sequence[LabelValues] = []

    def frame(self, rows: Sequence[Any]) -> tuple[Frame, int]:
        """Return the frame and how many rows were left out; raise CollectError for unusable values."""
        metrics = self._query.metrics
        if not rows:
            return Frame(metrics, [], [[] for _ in metrics]), 0
        columns = self._columns(rows)
        total, given = len(rows), None
        if self._query.cut:
            *columns, given, (total, *_) = columns
        keys = self._make_keys(columns[: self._labels], len(rows))
        values: list[Sequence[Number | None]] = list(columns[self._labels :])
        if self._query.probe.custom:
            values = [_numbers(column, metric.name) for column, metric in zip(values, metrics, strict=True)]
        keys, values, dropped = self._bounded(keys, values, given)
        if keys != self._keys:
            self._keys = _shared(keys)
        # The same object as before, so that a renderer sees at once that no series changed.
        return Frame(metrics, self._keys, values), dropped + total - len(rows)

    def _columns(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        columns = list(zip(*rows, strict=True))
        if not self._query.by_name:
            return columns
        names = list(rows[0].keys())
        lost = [name for name in self._query.by_name if name not in names]
        if lost:
            raise CollectError(f"the query of {self._query.probe.source} has no column {', '.join(lost)}")
        twice = sorted({name for name in self._query.by_name if names.count(name) > 1})
        if twice:
            raise CollectError(
                f"the query of {self._query.probe.source} has two columns named {', '.join(twice)}"
            )
        return [columns[names.index(name)] for name in self._query.by_name]

    def _make_keys(self, columns: Sequence[tuple[Any, ...]], rows: int) -> Sequence[LabelValues]:
        if not columns:
            return [()] * rows
        texts = [
            column if all(type(value) is str for value in column) else tuple(map(as_text, column))
            for column in columns
        ]
        return list(zip(*texts, strict=True))

    def _bounded(
        self,
        keys: Sequence[LabelValues],
        values: list[Sequence[Number | None]],
        given: Sequence[float] | None = None,
    ) -> tuple[Sequence[LabelValues], list[Sequence[Number | None]], int]:
        chosen: list[int] | None = None
        if len(set(keys)) != len(keys):
            # Two rows with the same labels would be one series with two values: the first stays.
            chosen = list({key: index for index, key in reversed(list(enumerate(keys)))}.values())
            chosen.sort()
        kept = keys if chosen is None else [keys[index] for index in chosen]
        if len(kept) > self._keeper.most:
            chosen = list(range(len(keys))) if chosen is None else chosen
            ranks = self._ranks(values, len(keys)) if given is None else given
            members = self._keeper.choose([keys[at] for at in chosen], [ranks[at] for at in chosen])
            chosen = [index for index in chosen if keys[index] in members]
        if chosen is None:
            return keys, values, 0
        return (
            [keys[index] for index in chosen],
            [[column[index] for index in chosen] for column in values],
            len(keys) - len(chosen),
        )

    def _ranks(self, values: Sequence[Sequence[Number | None]], rows: int) -> Sequence[float]:
        """Return the value that rows rank by; of several, the largest share of its sum."""
        columns = [[float(value or 0) for value in values[index]] for index in self._query.ranks]
        if len(columns) < 2:  # noqa: PLR2004 - one needs no comparison
            return columns[0] if columns else [0.0] * rows
        shares = [[value / (sum(column) or 1.0) for value in column] for column in columns]
        return list(map(max, *shares))


def _shared(keys: Sequence[LabelValues]) -> list[LabelValues]:
    """Return keys that take little memory: hundreds of servers have the same settings and lock modes."""
    if len(keys) > _SHARED_ROWS:
        return [tuple(map(sys.intern, key)) for key in keys]
    return list(map(_one, keys))


@lru_cache(maxsize=5000)
def _one(key: LabelValues) -> LabelValues:
    return tuple(map(sys.intern, key))


def _numbers(column: Sequence[Any], metric: str) -> Sequence[Number | None]:
    if _PLAIN.issuperset(map(type, column)):
        return column
    return [_number(value, metric) for value in column]


def _number(value: Any, metric: str) -> Number | None:  # noqa: ANN401 - whatever a user's query gives
    number: Number | None = None
    match value:
        case None:
            return None
        case bool():
            number = int(value)
        case int() | float():
            number = value
        case decimal.Decimal():
            number = float(value)
        case dt.timedelta():
            number = value.total_seconds()
        case dt.datetime():
            number = _moment(value)
        case str():
            with contextlib.suppress(ValueError):
                number = float(value)
        case _:
            pass
    if number is None:
        raise CollectError(f"{metric}: {type(value).__name__} is not a number: cast it in the query")
    return number


def _moment(value: dt.datetime) -> float:
    """Return Unix time, seconds; the driver has the ends of its calendar for the infinities."""
    aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    ends = {
        dt.datetime.max.replace(tzinfo=aware.tzinfo): math.inf,
        dt.datetime.min.replace(tzinfo=aware.tzinfo): -math.inf,
    }
    return ends[aware] if aware in ends else aware.timestamp()
