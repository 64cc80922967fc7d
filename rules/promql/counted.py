"""`count_values`: how many elements have which value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rules.errors import EvalError
from rules.labels import Labels, quoted
from rules.promql.context import Memo
from rules.promql.floats import plain
from rules.promql.groups import Groups, grouped
from rules.promql.tree import Aggregate
from rules.promql.values import NO_ROWS, Rows, Vector


def counted(node: Aggregate, label: str, vector: Vector, memo: Memo) -> Vector:
    """Return one element for each value of each group; the value is in `label`."""
    if not label:
        raise EvalError(f"invalid label name {quoted(label)}")
    rows = vector.rows
    groups = memo.of((node, "groups"), (rows,), lambda: _groups(node, label, rows))
    values = np.where(np.isnan(vector.values), np.nan, vector.values)[vector.present]
    # By their bits: 0 and -0 are written differently.
    bits, which = np.unique(values.view(np.int64), return_inverse=True)
    pairs, counts = np.unique(groups.of[vector.present] * max(1, len(bits)) + which, return_counts=True)
    texts = [plain(value) for value in bits.view(np.float64).tolist()]
    named = node.without and label in node.grouping
    found: dict[Labels, float] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        group, value = divmod(pair, len(bits))
        labels = groups.rows[group]
        labels = labels if named else labels.having({label: texts[value]})
        found[labels] = found.get(labels, 0.0) + count
    held = memo.of((node, "rows"), (rows,), _Held)
    return Vector(
        held.rows_of(tuple(found)), np.array(list(found.values())), np.ones(len(found), dtype=np.bool_)
    )


def _groups(node: Aggregate, label: str, rows: Rows) -> Groups:
    if node.without:
        return grouped(rows, node.grouping | {label}, keep=False)
    return grouped(rows, node.grouping - {label}, keep=True)


@dataclass(slots=True)
class _Held:
    """The labels of the last result: often the next one has the same."""

    labels: tuple[Labels, ...] = ()
    rows: Rows = NO_ROWS

    def rows_of(self, labels: tuple[Labels, ...]) -> Rows:
        if self.labels != labels:
            self.labels, self.rows = labels, Rows(labels)
        return self.rows
