"""Evaluates an expression at many times and puts the answers side by side: range queries and subqueries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rules.errors import EvalError
from rules.labels import Labels
from rules.promql.context import SAMPLES_MAX, Context
from rules.promql.functions.arguments import Evaluator
from rules.promql.tree import Kind, Node
from rules.promql.values import ABSENT, NO_ROWS, SINGLE, Floats, Ints, Rows, Value, Vector, is_sample

TOO_MANY = "query processing would load too many samples into memory in query execution"


@dataclass(slots=True, eq=False)
class Gathered:
    """Series over time: `values[t, row]` at `times[t]`, ABSENT where there is none."""

    rows: Rows
    times: Ints
    values: Floats

    def items(self) -> Iterator[tuple[Labels, Ints, Floats]]:
        """Give each series that has a point, with its times and values."""
        there = is_sample(self.values)
        for row in np.flatnonzero(there.any(axis=0)):
            which = there[:, row]
            yield self.rows[int(row)], self.times[which], self.values[which, row]


def steps(start_ms: int, end_ms: int, step_ms: int) -> Ints:
    """Return start, start + step, ... up to end."""
    if step_ms <= 0:
        raise EvalError(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    if (end_ms - start_ms) // step_ms >= SAMPLES_MAX:
        raise EvalError(TOO_MANY)
    return np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)


def gather(node: Node, context: Context, times: Ints, evaluate: Evaluator) -> Gathered:
    """Return the node's values at all times."""
    if node.kind not in (Kind.SCALAR, Kind.VECTOR):
        raise EvalError(
            f'invalid expression type "{node.kind}" for range query, must be Scalar or instant Vector'
        )
    wall = _Wall(len(times))
    for place, at_ms in enumerate(times):
        wall.put(place, evaluate(node, context.moved(int(at_ms))))
    return wall.gathered(times)


class _Wall:
    """Collects vectors whose rows may change from one time to the next."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._values: Floats = np.full((height, 0), ABSENT)
        self._places: dict[Labels, int] = {}
        self._labels: list[Labels] = []
        self._last: tuple[Rows, np.ndarray[tuple[int], np.dtype[np.intp]]] | None = None
        self._all: Rows | None = NO_ROWS

    def put(self, at: int, value: Value) -> None:
        if not isinstance(value, Vector):
            if not isinstance(value, float):
                raise EvalError("only scalars and instant vectors can be put side by side")
            value = Vector(SINGLE, np.array([value]), np.array([True]))
        columns = self._columns(value.rows)
        which = value.present
        self._values[at, columns[which]] = value.values[which]

    def _columns(self, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        if self._last is not None and self._last[0] is rows:
            return self._last[1]
        first = not self._labels
        for labels in rows:
            if labels not in self._places:
                self._places[labels] = len(self._labels)
                self._labels.append(labels)
        self._all = rows if first and len(self._labels) == len(rows) else None
        self._widen()
        columns = np.fromiter((self._places[labels] for labels in rows), dtype=np.intp, count=len(rows))
        self._last = (rows, columns)
        return columns

    def _widen(self) -> None:
        more = len(self._labels) - self._values.shape[1]
        if not more:
            return
        if len(self._labels) * self._height > SAMPLES_MAX:
            raise EvalError(TOO_MANY)
        self._values = np.concatenate([self._values, np.full((self._height, more), ABSENT)], axis=1)

    def gathered(self, times: Ints) -> Gathered:
        return Gathered(self._all or Rows(tuple(self._labels)), times, self._values)
