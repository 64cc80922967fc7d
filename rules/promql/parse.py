"""Text to tree: `promql-parser` reads the language; what we do not do is refused here, with the reason."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import promql_parser as parser

from rules.errors import ParseError
from rules.labels import NAME, quoted
from rules.promql import tree
from rules.promql.matchers import BadPattern, Matcher, MatchOp
from rules.promql.scan import line_column, scanned
from rules.promql.tree import Card, Kind, Matching, Node
from rules.promql.unexpected import NOT_ONE, unexpected
from rules.promql.unsupported import EXPERIMENTAL, NATIVE_HISTOGRAMS

DEPTH_MAX = 200
"""How deep a tree may be: walking it takes some calls for each level."""
_KINDS = {"Scalar": Kind.SCALAR, "Vector": Kind.VECTOR, "Matrix": Kind.MATRIX, "String": Kind.STRING}
_OPS = {
    "Equal": MatchOp.EQUAL,
    "NotEqual": MatchOp.NOT_EQUAL,
    "Re": MatchOp.REGEX,
    "NotRe": MatchOp.NOT_REGEX,
}
_CARDS = {
    "OneToOne": Card.ONE_TO_ONE,
    "ManyToOne": Card.MANY_TO_ONE,
    "OneToMany": Card.ONE_TO_MANY,
    "ManyToMany": Card.MANY_TO_MANY,
}
_SET_OPS = ("and", "or", "unless")
_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")


def parse(text: str) -> Node:
    """Return the tree of an expression; raise ParseError with line and column within the text."""
    ready = scanned(text)
    try:
        parsed = parser.parse(ready)
    except ValueError as error:
        message = str(error)
        if NOT_ONE in message and ready == text:
            raise _unexpected(text) from None
        raise ParseError(_worded(message), *_position(text, message)) from None
    try:
        return _Reader(text).node(parsed)
    except (OverflowError, ValueError):
        raise ParseError("a duration or a time in it is out of range") from None


class _Reader:
    """Turns the parser's nodes into ours."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._depth = 0

    def node(self, node: Any) -> Node:  # noqa: ANN401 - the parser's union has no name
        read = getattr(self, f"_{type(node).__name__}", None)
        if read is None:
            raise self._refused(type(node).__name__, "is not supported")
        if self._depth == DEPTH_MAX:
            raise ParseError(f"it is more than {DEPTH_MAX} deep; record parts of it by rules of their own")
        self._depth += 1
        made: Node = read(node)
        self._depth -= 1
        return made

    def _NumberLiteral(self, node: parser.NumberLiteral) -> Node:  # noqa: N802 - named after the parser's
        return tree.Number(float(node.val))

    def _StringLiteral(self, node: parser.StringLiteral) -> Node:  # noqa: N802
        return tree.Text(node.val)

    def _ParenExpr(self, node: parser.ParenExpr) -> Node:  # noqa: N802
        return self.node(node.expr)

    def _UnaryExpr(self, node: parser.UnaryExpr) -> Node:  # noqa: N802
        inner = self.node(node.expr)
        return tree.Negation(inner, inner.kind)

    def _VectorSelector(self, node: parser.VectorSelector) -> tree.Selector:  # noqa: N802
        if node.matchers.or_matchers:
            raise self._refused(
                " or ", "between label matchers is not supported; write two selectors joined by `or`"
            )
        found = [self._matcher(each) for each in node.matchers.matchers]
        if node.name:
            found.insert(0, Matcher(NAME, MatchOp.EQUAL, node.name))
        return tree.Selector(tuple(found), _ms(node.offset), _at(node.at))

    def _MatrixSelector(self, node: parser.MatrixSelector) -> Node:  # noqa: N802
        return tree.Range(self._VectorSelector(node.vector_selector), _ms(node.range))

    def _SubqueryExpr(self, node: parser.SubqueryExpr) -> Node:  # noqa: N802
        step = None if node.step is None else _ms(node.step)
        return tree.Subquery(self.node(node.expr), _ms(node.range), step, _ms(node.offset), _at(node.at))

    def _Call(self, node: parser.Call) -> Node:  # noqa: N802
        name = node.func.name
        if name in NATIVE_HISTOGRAMS:
            raise self._refused(name, "is for native histograms, which are not supported")
        if node.func.experimental or name in EXPERIMENTAL:
            raise self._refused(name, "is experimental in Prometheus and not supported")
        return tree.Call(name, tuple(map(self.node, node.args)), _KINDS[_word(node.func.return_type)])

    def _AggregateExpr(self, node: parser.AggregateExpr) -> Node:  # noqa: N802
        op = str(node.op)
        if op in EXPERIMENTAL:
            raise self._refused(op, "is experimental in Prometheus and not supported")
        labels = frozenset(node.modifier.labels) if node.modifier else frozenset()
        without = node.modifier is not None and _word(node.modifier.type) == "Without"
        param = None if node.param is None else self.node(node.param)
        return tree.Aggregate(op, self.node(node.expr), param, labels, without)

    def _BinaryExpr(self, node: parser.BinaryExpr) -> Node:  # noqa: N802
        op, lhs, rhs = str(node.op), self.node(node.lhs), self.node(node.rhs)
        sides = {lhs.kind, rhs.kind}
        returns_bool = bool(node.modifier and node.modifier.return_bool)
        if sides == {Kind.SCALAR} and op in _COMPARISONS and not returns_bool:
            raise self._refused(op, "comparisons between scalars must use BOOL modifier")
        kind = Kind.VECTOR if Kind.VECTOR in sides else Kind.SCALAR
        matching = self._matching(node, op) if sides == {Kind.VECTOR} else None
        return tree.Binary(op, lhs, rhs, kind, returns_bool, matching)

    def _matching(self, node: parser.BinaryExpr, op: str) -> Matching:
        card = Card.MANY_TO_MANY if op in _SET_OPS else Card.ONE_TO_ONE
        modifier = node.modifier
        if modifier is None:
            return Matching(card, frozenset(), on=False)
        fill = modifier.fill_values
        if fill.lhs is not None or fill.rhs is not None:
            raise self._refused("fill", "is experimental in Prometheus and not supported")
        if card is not Card.MANY_TO_MANY:
            card = _CARDS[_word(modifier.card)]
        labels = frozenset(modifier.matching.labels) if modifier.matching else frozenset()
        on = modifier.matching is not None and _word(modifier.matching.type) == "Include"
        return Matching(card, labels, on, tuple(modifier.group_labels or ()))

    def _matcher(self, each: parser.Matcher) -> Matcher:
        try:
            return Matcher(each.name, _OPS[_word(each.op)], each.value)
        except BadPattern as error:
            raise self._refused(each.value, f"is not a regular expression: {error}") from None

    def _refused(self, word: str, why: str) -> ParseError:
        shown = word.strip() if len(word) < 100 else word[:100] + "..."  # noqa: PLR2004 - a line of a terminal
        message = why if why.startswith("comparisons") else f"`{shown}` {why}"
        return ParseError(message, *_place(self.text, word))


def _word(member: object) -> str:
    return str(member).rpartition(".")[2]


def _ms(span: dt.timedelta | None) -> int:
    return 0 if span is None else round(span / dt.timedelta(milliseconds=1))


def _at(modifier: Any) -> tree.At:  # noqa: ANN401 - optional, and its parts too
    if modifier is None:
        return None
    word = _word(modifier.type)
    if word in ("Start", "End"):
        return tree.Edge[word.upper()]
    moment: dt.datetime = modifier.at
    return round((moment - dt.datetime(1970, 1, 1, tzinfo=moment.tzinfo)) / dt.timedelta(milliseconds=1))


_NAMED = re.compile(
    r"function (?:with name )?'([^']+)'|syntax: (\S+)|illegal regex for (.+)|duration string: (\S+)|'([^']+)'"
)
_KINDS_OF_PARSER = re.compile(r"\b(type|got:?|on|or) (vector|matrix)\b(?! selector)")


def _unexpected(text: str) -> ParseError:
    found = unexpected(text)
    if found is None:
        return ParseError("unexpected end of input", *line_column(text, len(text.rstrip())))
    word, offset = found
    return ParseError(f"unexpected {quoted(word)}", *line_column(text, offset))


def _worded(message: str) -> str:
    """Name kinds as Prometheus and its documentation do."""
    names = {"vector": "instant vector", "matrix": "range vector"}
    return _KINDS_OF_PARSER.sub(lambda found: f"{found[1]} {names[found[2]]}", message)


def _position(text: str, message: str) -> tuple[int, int]:
    """Return where the parser's complaint is: it names a word, never a place."""
    if "end of input" in message or "unclosed" in message or "invalid promql query" in message:
        return line_column(text, len(text))
    named = _NAMED.search(message)
    word = next((each for each in named.groups() if each), "") if named else ""
    return _place(text, word)


def _place(text: str, word: str) -> tuple[int, int]:
    found = re.search(rf"(?<![\w:]){re.escape(word)}", text) if word[:1].isalpha() else None
    start = found.start() if found else max(0, text.find(word))
    return line_column(text, start)
