"""Runs a recording rule: gives the elements of its expression their new name and labels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np

from rules.errors import EvalError
from rules.labels import Labels, distinct
from rules.model import Rule
from rules.promql.values import NO_ROWS, Floats, Rows, Vector


class Sink(Protocol):
    """Where the series that rules make are written; `rules.window.Window` is one."""

    def write(self, key: Hashable, series: Sequence[Labels], at_ms: int, values: Floats) -> None:
        """Take one sample of each series; those written under this key before and not now have ended."""

    def end(self, key: Hashable, at_ms: int) -> None:
        """Mark all series written under this key as ended."""


class Recorder:
    """Writes what one rule gives. What was worked out from labels is kept as long as they stay the same."""

    def __init__(self, rule: Rule, key: Hashable) -> None:
        self.rule = rule
        self._changes = {name: each.text for name, each in rule.labels}
        self.key = key
        self._rows: Rows = NO_ROWS
        self._named: Sequence[Labels] = ()
        self._mask = b""
        self._series: Sequence[Labels] = ()

    def record(self, vector: Vector, at_ms: int, limit: int, sink: Sink) -> int:
        """Write a result and return how many series it has; raise EvalError, and write nothing then."""
        series = self._renamed(vector)
        if 0 < limit < len(series):
            raise EvalError(f"exceeded limit of {limit} with {len(series)} series")
        sink.write(self.key, series, at_ms, vector.values[vector.present])
        return len(series)

    def end(self, at_ms: int, sink: Sink) -> None:
        """Say that the rule's series are over."""
        sink.end(self.key, at_ms)

    def _renamed(self, vector: Vector) -> Sequence[Labels]:
        mask = np.packbits(vector.present).tobytes()
        if vector.rows is self._rows and mask == self._mask:
            return self._series
        if vector.rows is not self._rows:
            self._named = [self._one(labels) for labels in vector.rows]
        series = tuple([self._named[int(row)] for row in np.flatnonzero(vector.present)])
        if not distinct(series):
            raise EvalError("vector contains metrics with the same labelset after applying rule labels")
        self._rows, self._mask, self._series = vector.rows, mask, series
        return series

    def _one(self, labels: Labels) -> Labels:
        if self._changes:
            labels = labels.having(self._changes)
        return Labels(self.rule.name, labels.schema, labels.values)
