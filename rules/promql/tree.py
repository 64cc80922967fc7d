"""The parts of a parsed expression. Nodes are compared by identity: what one led to is kept for it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from rules.promql.matchers import Matcher


class Kind(enum.StrEnum):
    """What an expression gives."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "instant vector"
    MATRIX = "range vector"


class Edge(enum.Enum):
    """`@ start()` and `@ end()`."""

    START = "start"
    END = "end"


At: TypeAlias = int | Edge | None
"""The `@` modifier: Unix milliseconds, an edge of the query, or none."""


@dataclass(frozen=True, eq=False, slots=True)
class Number:
    """A number."""

    value: float
    kind = Kind.SCALAR


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """A string."""

    value: str
    kind = Kind.STRING


@dataclass(frozen=True, eq=False, slots=True)
class Selector:
    """`name{a="b"} offset 5m @ 123`."""

    matchers: tuple[Matcher, ...]
    """The metric name among them, as `__name__`."""
    offset_ms: int = 0
    at: At = None
    kind = Kind.VECTOR

    @property
    def name(self) -> str:
        """Return the metric name when it is fixed by an equality; empty otherwise."""
        return next((each.value for each in self.matchers if each.is_name), "")


@dataclass(frozen=True, eq=False, slots=True)
class Range:
    """`selector[5m]`."""

    selector: Selector
    range_ms: int
    kind = Kind.MATRIX


@dataclass(frozen=True, eq=False, slots=True)
class Subquery:
    """`expr[1h:5m]`."""

    expr: Node
    range_ms: int
    step_ms: int | None
    """None: the interval at which rules are evaluated."""
    offset_ms: int = 0
    at: At = None
    kind = Kind.MATRIX


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """`function(arguments)`."""

    function: str
    args: tuple[Node, ...]
    kind: Kind


@dataclass(frozen=True, eq=False, slots=True)
class Aggregate:
    """`sum by (labels) (expr)`."""

    op: str
    expr: Node
    param: Node | None
    grouping: frozenset[str]
    without: bool
    kind = Kind.VECTOR


class Card(enum.Enum):
    """How many elements of one side match how many of the other."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, eq=False, slots=True)
class Matching:
    """By which labels elements of two vectors belong together."""

    card: Card
    labels: frozenset[str]
    on: bool
    """True: just these labels count; False: all but these."""
    include: tuple[str, ...] = ()
    """Labels that group_left and group_right take over from the one side."""


@dataclass(frozen=True, eq=False, slots=True)
class Binary:
    """`lhs op rhs`."""

    op: str
    lhs: Node
    rhs: Node
    kind: Kind
    returns_bool: bool = False
    matching: Matching | None = None
    """Set when both sides are vectors."""


@dataclass(frozen=True, eq=False, slots=True)
class Negation:
    """`-expr`."""

    expr: Node
    kind: Kind


Node: TypeAlias = Number | Text | Selector | Range | Subquery | Call | Aggregate | Binary | Negation


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back an expression looks at a selector's series."""

    selector: Selector
    range_ms: int
    """0 for an instant: the lookback comes on top."""
    past_ms: int
    """Range, offsets and subqueries around it, added up."""
    function: str = field(default="")
    """The innermost function that takes it, empty when none does."""


def children(node: Node) -> tuple[Node, ...]:
    """Return the expressions that a node is made of."""
    if isinstance(node, Call):
        return node.args
    if isinstance(node, Binary):
        return (node.lhs, node.rhs)
    if isinstance(node, Aggregate):
        return (node.expr,) if node.param is None else (node.param, node.expr)
    if isinstance(node, Range):
        return (node.selector,)
    return (node.expr,) if isinstance(node, Subquery | Negation) else ()


def walk(node: Node) -> Iterator[Node]:
    """Give a node and everything in it, outermost first."""
    yield node
    for child in children(node):
        yield from walk(child)


def reaches(node: Node, past_ms: int = 0, function: str = "") -> Iterator[Reach]:
    """Give every selector of an expression and how far back it is looked at."""
    if isinstance(node, Selector):
        yield Reach(node, 0, past_ms + max(0, node.offset_ms), function)
    elif isinstance(node, Range):
        past = past_ms + node.range_ms + max(0, node.selector.offset_ms)
        yield Reach(node.selector, node.range_ms, past, function)
    else:
        if isinstance(node, Subquery):
            past_ms += node.range_ms + max(0, node.offset_ms)
        inner = node.function if isinstance(node, Call) else function
        for child in children(node):
            yield from reaches(child, past_ms, inner)
