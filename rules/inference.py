"""Works out which labels the series of an expression can have, and must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rules.labels import NAME
from rules.promql import tree
from rules.promql.tree import Card, Kind, Matching, Node

_KEEPING = frozenset(["topk", "bottomk"])


@dataclass(frozen=True, slots=True)
class Shape:
    """The labels of an expression's series, the metric name apart."""

    must: frozenset[str]
    """Every series has them."""
    may: frozenset[str]
    """No series has others; those that must be are among them."""

    def only(self, names: frozenset[str]) -> Shape:
        """Return what `by (names)` keeps."""
        return Shape(self.must & names, self.may & names)

    def without(self, names: frozenset[str]) -> Shape:
        """Return what `without (names)` keeps."""
        return Shape(self.must - names, self.may - names)


NOTHING = Shape(frozenset(), frozenset())
Lookup = Callable[[str], Shape | None]
"""Tells the shape of a metric by its name; None: nothing is known of it."""


def shape_of(node: Node, lookup: Lookup) -> Shape | None:  # noqa: PLR0911 - one for each kind of node
    """Return the labels of an expression; None when they cannot be known."""
    if node.kind in (Kind.SCALAR, Kind.STRING):
        return NOTHING
    match node:
        case tree.Selector():
            return _selected(node, lookup)
        case tree.Range():
            return _selected(node.selector, lookup)
        case tree.Subquery() | tree.Negation():
            return shape_of(node.expr, lookup)
        case tree.Aggregate():
            return _aggregated(node, lookup)
        case tree.Call():
            return _called(node, lookup)
        case tree.Binary():
            return _combined(node, lookup)
        case tree.Number() | tree.Text():
            return NOTHING


def never_matches(node: tree.Binary, lookup: Lookup) -> str:
    """Return a label because of which no element of one side matches one of the other; else empty."""
    lhs, rhs = shape_of(node.lhs, lookup), shape_of(node.rhs, lookup)
    if node.matching is None or node.op == "or" or lhs is None or rhs is None:
        return ""
    counts = _counting(node.matching)
    apart = (counts(lhs).must - rhs.may) | (counts(rhs).must - lhs.may)
    return min(apart, default="")


def _counting(matching: Matching) -> Callable[[Shape], Shape]:
    names = matching.labels
    return (lambda shape: shape.only(names)) if matching.on else (lambda shape: shape.without(names))


def _selected(node: tree.Selector, lookup: Lookup) -> Shape | None:
    found = lookup(node.name) if node.name else None
    if found is None:
        return None
    must = set(found.must)
    for each in node.matchers:
        if each.name == NAME:
            continue
        if each.matches(""):
            must.discard(each.name)
        elif each.name in found.may:
            must.add(each.name)
    return Shape(frozenset(must), found.may)


def _aggregated(node: tree.Aggregate, lookup: Lookup) -> Shape | None:
    inner = shape_of(node.expr, lookup)
    if inner is None:
        # Nothing else than what it is grouped by can be left, whatever it was before.
        inner = None if node.without or node.op in _KEEPING else Shape(frozenset(), node.grouping)
    if inner is None or node.op in _KEEPING:
        return inner
    left = inner.without(node.grouping) if node.without else inner.only(node.grouping)
    if node.op == "count_values" and isinstance(node.param, tree.Text):
        name = frozenset([node.param.value])
        return Shape(left.must | name, left.may | name)
    return left


def _called(node: tree.Call, lookup: Lookup) -> Shape | None:
    vectors = [each for each in node.args if each.kind in (Kind.VECTOR, Kind.MATRIX)]
    if not vectors:
        return NOTHING
    if node.function in ("absent", "absent_over_time"):
        return None
    inner = shape_of(vectors[0], lookup)
    if inner is None:
        return None
    if node.function in ("label_replace", "label_join"):
        changed = frozenset(each.value for each in node.args[1:2] if isinstance(each, tree.Text))
        return Shape(inner.must - changed, inner.may | changed)
    if node.function == "histogram_quantile":
        return inner.without(frozenset(["le"]))
    return inner


def _combined(node: tree.Binary, lookup: Lookup) -> Shape | None:
    lhs, rhs = shape_of(node.lhs, lookup), shape_of(node.rhs, lookup)
    if node.matching is None or node.op in ("and", "unless"):
        return rhs if node.lhs.kind is Kind.SCALAR else lhs
    if lhs is None or rhs is None:
        return None
    if node.op == "or":
        return Shape(lhs.must & rhs.must, lhs.may | rhs.may)
    if node.matching.card is Card.ONE_TO_ONE:
        return _counting(node.matching)(lhs)
    many = lhs if node.matching.card is Card.MANY_TO_ONE else rhs
    included = frozenset(node.matching.include)
    return Shape(many.must - included, many.may | included)


def merged(shapes: Mapping[str, Shape], name: str, more: Shape) -> Shape:
    """Return the shape of a metric that comes from more than one place."""
    known = shapes.get(name)
    return more if known is None else Shape(known.must & more.must, known.may | more.may)
