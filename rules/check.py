"""Advice about rules that are correct and yet cannot do what they are meant to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collectors.model import Kind as MetricKind
from collectors.model import MetricDef
from collectors.strict_yaml import Problem, did_you_mean
from rules.inference import Shape, merged, never_matches, shape_of
from rules.labels import NAME
from rules.model import ALERTS, FOR_STATE, Group, Place, Rule
from rules.promql import tree
from rules.promql.tree import Kind
from rules.template import LONGEST_TEMPLATE, Template
from rules.template.nodes import Variable
from rules.wording import parts_of

EVERYWHERE = frozenset(["target", "cluster", "job", "instance"])
"""Labels that every series of a target may have."""
_FOR_COUNTERS = frozenset(["rate", "irate", "increase"])
_FOR_GAUGES = {"delta": "increase", "idelta": "irate", "deriv": "rate"}
_TYPOS = 2
"""How many letters may differ for an unknown name to be taken for a mistyped one of ours."""


@dataclass(slots=True)
class Known:
    """The metrics that are known, and the labels of their series."""

    kinds: dict[str, MetricKind] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    own_labels: frozenset[str] | None = None
    """Labels that the user gave targets; None: not known."""

    def shape(self, name: str) -> Shape | None:
        """Return the labels of a metric; None when nothing is known of it."""
        return self.shapes.get(name)


def known_of(
    of_targets: Iterable[MetricDef],
    of_the_daemon: Iterable[MetricDef] = (),
    own_labels: Iterable[str] | None = None,
) -> Known:
    """Return what is known by a catalogue; `own_labels` are those that targets have by the configuration."""
    known = Known(own_labels=None if own_labels is None else frozenset(own_labels))
    common = EVERYWHERE | (known.own_labels or frozenset())
    target = frozenset(["target"])
    for metrics, always in ((of_targets, target), (of_the_daemon, frozenset[str]())):
        for metric in metrics:
            labels = frozenset(metric.labels)
            for name in (metric.name, *metric.aliases):
                known.shapes[name] = merged(known.shapes, name, Shape(labels | always, labels | common))
                known.kinds[name] = metric.kind
    known.shapes.setdefault("up", Shape(target, common))
    known.kinds.setdefault("up", MetricKind.GAUGE)
    return known


def advise(groups: Sequence[Group], known: Known, sources: Mapping[str, str]) -> list[Problem]:
    """Return what is doubtful about rules, in the order of the files.

    `sources` are the texts that the groups were loaded from; they tell where in a file a word stands.
    """
    recorded = {rule.name for group in groups for rule in group.rules if not rule.is_alert}
    recorded |= {ALERTS, FOR_STATE, "up"}
    found: list[Problem] = []
    for group in groups:
        found += _twice(group)
        for rule in group.rules:
            source = sources.get(rule.place.file, "")
            found += _Adviser(rule, known, recorded, source).advise()
    return sorted(dict.fromkeys(found), key=lambda one: (one.file, one.line, one.column))


def _twice(group: Group) -> Iterator[Problem]:
    seen: dict[object, int] = {}
    for rule in group.rules:
        key = (rule.name, tuple((name, text.text) for name, text in rule.labels), rule.is_alert)
        first = seen.setdefault((key, rule.expr), rule.place.line)
        if first != rule.place.line:
            yield _problem(rule.place, f"{rule.name}: the same rule is in line {first} already")


class _Adviser:
    """Looks at one rule."""

    def __init__(self, rule: Rule, known: Known, recorded: set[str], source: str) -> None:
        self._rule = rule
        self._known = known
        self._recorded = recorded
        self._source = source

    def advise(self) -> Iterator[Problem]:
        root = self._rule.expression.tree
        if root.kind not in (Kind.VECTOR, Kind.SCALAR):
            message = f"gives a {root.kind}; a rule needs an instant vector or a scalar, so it always fails"
            yield self._problem("", message)
        for node in tree.walk(root):
            match node:
                case tree.Selector():
                    yield from self._selector(node)
                case tree.Call():
                    yield from self._call(node)
                case tree.Aggregate():
                    yield from self._aggregate(node)
                case tree.Binary():
                    yield from self._binary(node)
                case _:
                    pass

        yield from self._templates(root)

    def _templates(self, root: tree.Node) -> Iterator[Problem]:
        """Look for labels in templates that the expression's series do not have."""
        shape = shape_of(root, self._known.shape)
        if shape is None:
            return
        texts = [text.template for _, text in (*self._rule.labels, *self._rule.annotations) if text.template]
        used = dict.fromkeys(name for text in texts for name in labels_in(text))
        for label in used:
            if label not in (NAME, *shape.may):
                place = self._place(f"$labels.{label}", self._rule.place)
                hint = did_you_mean(label, shape.may) or self._there_are(shape)
                message = (
                    f"{self._rule.name}: the expression gives no label {label!r}, so the text stays empty"
                )
                yield _problem(place, message, self._more(hint))

    def _selector(self, node: tree.Selector) -> Iterator[Problem]:
        name = node.name
        if not name or name in self._recorded:
            return
        shape = self._known.shape(name)
        if shape is None:
            near = self._near(name)
            if near:
                yield self._problem(name, f"there is no metric {name}", f"did you mean {near!r}?")
            return
        for each in node.matchers:
            if each.name not in (NAME, *shape.may):
                yield self._no_label(each.name, name, shape)

    def _call(self, node: tree.Call) -> Iterator[Problem]:
        if not node.args or not isinstance(node.args[0], tree.Range):
            return
        name = node.args[0].selector.name
        kind = self._known.kinds.get(name)
        if node.function in _FOR_COUNTERS and kind is MetricKind.GAUGE:
            hint = "use delta() or deriv() for what goes up and down"
            yield self._problem(name, f"{node.function}() of {name}, which is a gauge", hint)
        elif node.function in _FOR_GAUGES and kind is MetricKind.COUNTER:
            hint = f"use {_FOR_GAUGES[node.function]}(), which takes resets into account"
            yield self._problem(name, f"{node.function}() of {name}, which is a counter", hint)

    def _aggregate(self, node: tree.Aggregate) -> Iterator[Problem]:
        if node.without:
            return
        shape = shape_of(node.expr, self._known.shape)
        names = [each.name for each in tree.walk(node.expr) if isinstance(each, tree.Selector)]
        if shape is None or any(name in self._recorded for name in names):
            return
        for label in sorted(node.grouping - shape.may - {NAME}):
            yield self._no_label(label, " or ".join(dict.fromkeys(names)), shape)

    def _binary(self, node: tree.Binary) -> Iterator[Problem]:
        label = never_matches(node, self._known.shape)
        if label and node.matching is not None:
            message = f"the sides of `{node.op}` never match: the label {label!r} is on one side only"
            hint = "say with on(...) or ignoring(...) by which labels they belong together"
            yield self._problem(node.op, message, hint)

    def _no_label(self, label: str, name: str, shape: Shape) -> Problem:
        hint = did_you_mean(label, shape.may) or self._there_are(shape)
        return self._problem(label, f"no series of {name} has the label {label!r}", self._more(hint))

    @staticmethod
    def _there_are(shape: Shape) -> str:
        return f"there are {', '.join(sorted(shape.may))}" if shape.may else "it has no labels at all"

    def _more(self, hint: str) -> str:
        known = self._known.own_labels is not None
        return hint if known else f"{hint}; --config tells which labels your own targets have"

    def _near(self, name: str) -> str:
        """Return the known name that this one is a slip of; empty when there is none."""
        known = self._known.shapes
        for other in (f"{name}_total", name.removesuffix("_total")):
            if other != name and other in known:
                return other
        near = [
            each
            for each in known
            if abs(len(each) - len(name)) <= _TYPOS and _slips(each, name) <= _slack(name)
        ]
        return min(near, key=lambda each: (_slips(each, name), each), default="")

    def _problem(self, word: str, message: str, hint: str = "") -> Problem:
        return _problem(self._place(word), f"{self._rule.name}: {message}", hint)

    def _place(self, word: str, place: Place | None = None) -> Place:
        """Return where a word stands in the file after a place: without one, in the expression."""
        far = LONGEST_TEMPLATE if place else len(self._rule.expr) * 4
        place = place or self._rule.expression_place
        lines = self._source.splitlines(keepends=True)
        begin = sum(map(len, lines[: place.line - 1])) + place.column - 1
        edge = r"(?![\w:])" if word[-1:].isalnum() else ""
        found = (
            re.compile(rf"(?<![\w:]){re.escape(word)}{edge}").search(self._source, begin) if word else None
        )
        if found is None or found.start() - begin > far:
            return place
        at = found.start()
        return Place(
            place.file, self._source.count("\n", 0, at) + 1, at - (self._source.rfind("\n", 0, at) + 1) + 1
        )


def labels_in(template: Template) -> Iterator[str]:
    """Give the labels that a template names as `$labels.x`."""
    for part in parts_of(template):
        if isinstance(part, Variable) and part.names[0] == "$labels":
            yield from part.names[1:2]


def _slack(name: str) -> int:
    return _TYPOS if len(name) > 10 else 1  # noqa: PLR2004 - short names are near to each other by chance


def _slips(one: str, other: str) -> int:
    """Return how many letters must be changed, put in, left out or swapped to make one of the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, mark in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != mark))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == mark:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > _TYPOS:
            return _TYPOS + 1
    return row[-1]


def _problem(place: Place, message: str, hint: str = "") -> Problem:
    return Problem(place.file, place.line, place.column, message, hint)
