"""Operators that calculate or compare element by element: one-to-one, group_left, group_right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rules.errors import EvalError
from rules.labels import NAME, Labels
from rules.promql.context import Memo
from rules.promql.matching import Match, Places, match, matching_of, signature
from rules.promql.operators import calculated, compared, is_filter
from rules.promql.tree import Binary, Card, Matching
from rules.promql.values import NO_ROWS, Bools, Floats, Rows, Vector, check_apart


def paired(node: Binary, lhs: Vector, rhs: Vector, memo: Memo) -> Vector:
    """Return one element for each pair; raise EvalError where elements do not match as the card says."""
    if not len(lhs.rows) or not len(rhs.rows):
        return Vector(NO_ROWS, np.empty(0), np.empty(0, dtype=np.bool_))
    swapped = matching_of(node).card is Card.ONE_TO_MANY
    many, one = (rhs, lhs) if swapped else (lhs, rhs)
    found = match(node, many.rows, one.rows, memo)
    if many.present.any():
        _check_one_side(node, found, one)
    partners = found.rows_of(one)
    there = many.present & (partners >= 0)
    other = one.values[partners]
    values, kept = _values(node, other, many.values) if swapped else _values(node, many.values, other)
    if kept is not None:
        there &= kept
    _check_many_side(node, found, there)
    chosen = found.partner if found.second.unique else partners
    result = Vector(_rows(node, many.rows, one.rows, chosen, memo), values, there)
    if not result.rows.apart:
        _check_result(result, found)
    return result


def _values(node: Binary, lhs: Floats, rhs: Floats) -> tuple[Floats, Bools | None]:
    if is_filter(node):
        return lhs, compared(node.op, lhs, rhs)
    return calculated(node.op, lhs, rhs), None


def _check_one_side(node: Binary, found: Match, one: Vector) -> None:
    if found.second.unique:
        return
    seen: dict[int, int] = {}
    there = np.flatnonzero(one.present)
    of = found.second.of[there]
    if len(there) < 2 or np.bincount(of).max() == 1:  # noqa: PLR2004 - two can be the same
        return
    for row, place in zip(there.tolist(), of.tolist(), strict=True):
        if place in seen:
            raise _not_unique(node, one.rows[row], one.rows[seen[place]])
        seen[place] = row


def _not_unique(node: Binary, second: Labels, first: Labels) -> EvalError:
    matching = matching_of(node)
    side = "left" if matching.card is Card.ONE_TO_MANY else "right"
    group = signature(second, matching)
    return EvalError(
        f"found duplicate series for the match group {group} on the {side} hand-side of the operation:"
        f" [{second}, {first}];many-to-many matching not allowed: matching labels must be unique on one side"
    )


def _check_many_side(node: Binary, found: Match, there: Bools) -> None:
    if matching_of(node).card is not Card.ONE_TO_ONE or found.first.unique or not there.any():
        return
    if np.bincount(found.first.of[there]).max() > 1:
        raise EvalError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )


def _check_result(result: Vector, found: Match) -> None:
    seen: set[tuple[int, Labels]] = set()
    for row in np.flatnonzero(result.present).tolist():
        key = (int(found.first.of[row]), result.rows[row])
        if key in seen:
            raise EvalError("multiple matches for labels: grouping labels must ensure unique matches")
        seen.add(key)
    check_apart(result)


@dataclass(slots=True)
class _Named:
    """The labels of the results, good for these partners."""

    partners: Places | None = None
    rows: Rows = NO_ROWS


def _rows(node: Binary, many: Rows, one: Rows, partners: Places, memo: Memo) -> Rows:
    """Return the labels of the results, one for each row of the many side."""
    matching = matching_of(node)
    rows = many if is_filter(node) else many.nameless()
    if matching.card is Card.ONE_TO_ONE:
        if not matching.on and not matching.labels:
            return rows
        return memo.of((node, "rows"), (many,), lambda: _reduced(rows, matching))
    if not matching.include:
        return rows
    held = memo.of((node, "rows"), (many, one), _Named)
    if held.partners is None or not np.array_equal(held.partners, partners):
        held.partners, held.rows = partners, _including(rows, one, partners, matching.include)
    return held.rows.nameless() if node.returns_bool else held.rows


def _reduced(rows: Rows, matching: Matching) -> Rows:
    if matching.on:
        return Rows([labels.only(matching.labels) for labels in rows])
    return Rows([_without(labels, matching.labels) for labels in rows])


def _without(labels: Labels, gone: frozenset[str]) -> Labels:
    """Take labels away; other than in `without (...)`, the name stays if it is not named."""
    left = labels.without(gone)
    return left if NAME in gone else Labels(labels.name, left.schema, left.values)


def _including(many: Rows, one: Rows, partners: Places, include: tuple[str, ...]) -> Rows:
    """Take the labels of the one side over; where it lacks them, they go."""
    made = []
    for labels, partner in zip(many, partners.tolist(), strict=True):
        taken = {name: one[partner].get(name) for name in include} if partner >= 0 else {}
        made.append(labels.having(taken))
    return Rows(made)
