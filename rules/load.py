"""Reads rule files: text in, groups out, or every mistake at once with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import itemgetter

import yaml

from collectors.strict_yaml import InvalidFile, Problem
from rules.errors import ParseError
from rules.labels import NAME
from rules.model import Group, Place, Rule, Templated
from rules.offsets import place_within
from rules.promql import Expression
from rules.template import LONGEST_TEMPLATE, TemplateError
from rules.template import parse as parse_template
from rules.yaml_nodes import Field, YamlFile

_FILE = ("groups",)
_GROUP = ("name", "interval", "query_offset", "limit", "labels", "rules")
_RULE = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LETTERS = "letters, digits and underscores, and no digit first"


def load(sources: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups of all files, given as file name and text.

    Raises InvalidFile with the mistakes of all files. What `promtool check rules` accepts is accepted.
    """
    groups: list[Group] = []
    problems: list[Problem] = []
    for name, text in sources.items():
        file = YamlFile(name, text)
        groups += _Groups(file).read()
        problems += file.problems
    if problems:
        raise InvalidFile(problems)
    return tuple(groups)


class _Groups:
    """Reads the groups of one file."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._seen: dict[str, int] = {}

    def read(self) -> list[Group]:
        root = self._file.root()
        if root is not None and _is_test_file(root):
            hint = "run it with `dbarchitect rules test`"
            self._file.problem(root, "this is no rule file but one of unit tests", hint)
            return []
        top = self._file.fields(root, "a rule file", _FILE)
        return [self._group(each) for each in self._file.items(_value(top, "groups"), "groups")]

    def _group(self, node: yaml.Node) -> Group:
        file = self._file
        fields = file.fields(node, "a group", _GROUP)
        name = file.string(_value(fields, "name"), "name")
        place = file.place(_value(fields, "name") or node)
        self._check_name(name, place)
        labels = self._labels(fields, "labels")
        offset = file.duration(_value(fields, "query_offset"), "query_offset")
        rules = [
            _RuleReader(file, each, labels).read()
            for each in file.items(_value(fields, "rules"), f"rules of group {name!r}")
        ]
        return Group(
            name=name,
            file=file.file,
            place=place,
            rules=tuple([rule for rule in rules if rule is not None]),
            interval_ms=file.duration(_value(fields, "interval"), "interval") or None,
            limit=file.integer(_value(fields, "limit"), "limit"),
            query_offset_ms=offset,
            labels=tuple(sorted((each, file.string(value, each)) for each, (_, value) in labels.items())),
        )

    def _check_name(self, name: str, place: Place) -> None:
        if not name:
            self._file.problem(place, "a group must have a name")
        elif name in self._seen:
            first = f"the first is in line {self._seen[name]}"
            self._file.problem(place, f"there are two groups named {name!r} in this file", first)
        self._seen.setdefault(name, place.line)

    def _labels(self, fields: Mapping[str, Field], what: str) -> dict[str, Field]:
        labels = self._file.strings(_value(fields, what), what)
        check_names(self._file, labels, "label")
        return labels


class _RuleReader:
    """Reads one rule."""

    def __init__(self, file: YamlFile, node: yaml.Node, group_labels: Mapping[str, Field]) -> None:
        self._file = file
        self._node = node
        self._group_labels = group_labels
        self._fields = file.fields(node, "a rule", _RULE)
        self._alert = file.string(self._value("alert"), "alert")
        self._record = file.string(self._value("record"), "record")
        self._name = self._alert or self._record or "without a name"

    def read(self) -> Rule | None:
        """Return the rule; None when it has mistakes, which are noted."""
        if not isinstance(self._node, yaml.MappingNode) and not self._file.is_null(self._node):
            return None  # said already
        before = len(self._file.problems)
        self._check_kind()
        expression = self._expression()
        is_alert = bool(self._alert)
        for_ms = self._file.duration(self._value("for"), "for") or 0
        keep_ms = self._file.duration(self._value("keep_firing_for"), "keep_firing_for") or 0
        labels = self._texts("labels", parsed=is_alert)
        annotations = self._texts("annotations", parsed=is_alert)
        if self._record:
            self._check_recording(for_ms=for_ms, keep_ms=keep_ms)
        if expression is None or len(self._file.problems) > before:
            return None
        return Rule(
            name=self._name,
            is_alert=is_alert,
            expression=expression[0],
            place=self._file.place(self._value("alert" if is_alert else "record") or self._node),
            expression_place=expression[1],
            for_ms=for_ms,
            keep_firing_for_ms=keep_ms,
            labels=labels,
            annotations=annotations,
        )

    def _value(self, name: str) -> yaml.Node | None:
        return _value(self._fields, name)

    def _check_kind(self) -> None:
        if self._alert and self._record:
            self._file.problem(
                self._value("alert") or self._node, "a rule has either 'alert' or 'record', not both"
            )
        elif not self._alert and not self._record:
            self._file.problem(self._node, "a rule must have 'alert' or 'record'")

    def _expression(self) -> tuple[Expression, Place] | None:
        node = self._value("expr")
        if node is not None and not isinstance(node, yaml.ScalarNode):
            self._file.problem(node, f"{self._name}: 'expr' must be text")
            return None
        text = self._file.string(node, "expr")
        if node is None or not text:
            self._file.problem(node or self._node, f"{self._name}: 'expr' must be set")
            return None
        try:
            return Expression(text), place_within(self._file.file, self._file.text, node, 1, 1)
        except ParseError as error:
            self._problem_within(node, error.line, error.column, error.message)
        return None

    def _texts(self, what: str, *, parsed: bool) -> tuple[tuple[str, Templated], ...]:
        """Return labels or annotations, sorted by name."""
        own = self._file.strings(self._value(what), what)
        check_names(self._file, own, what.removesuffix("s"))
        fields = {**self._group_labels, **own} if what == "labels" else own
        found = [
            (name, self._text(value, parsed=parsed))
            for name, (_, value) in fields.items()
            if isinstance(value, yaml.ScalarNode)
        ]
        return tuple(sorted(found, key=itemgetter(0)))

    def _text(self, node: yaml.ScalarNode, *, parsed: bool) -> Templated:
        text = self._file.string(node, "text")
        if not parsed or ("{{" not in text and 4 * len(text) <= LONGEST_TEMPLATE):
            return Templated(text, None)
        try:
            template = parse_template(text, self._alert)
        except TemplateError as error:
            self._problem_within(node, error.line, error.column, f"template: {error.message}")
            return Templated(text, None)
        return Templated(text, template)

    def _check_recording(self, *, for_ms: int, keep_ms: int) -> None:
        has = {
            "annotations": bool(self._file.strings(self._value("annotations"), "annotations")),
            "for": for_ms > 0,
            "keep_firing_for": keep_ms > 0,
        }
        for field, there in has.items():
            if there:
                self._file.problem(
                    self._fields[field][0], f"{field!r} is for alerts, not for recording rules"
                )
        if not _METRIC_NAME.fullmatch(self._record):
            message = f"{self._record!r} is not a metric name"
            self._file.problem(
                self._value("record") or self._node, message, f"{_LETTERS}; colons may be among them"
            )

    def _problem_within(self, node: yaml.ScalarNode, line: int, column: int, message: str) -> None:
        place = place_within(self._file.file, self._file.text, node, line, column)
        self._file.problem(place, f"{self._name}: {message}")


def _is_test_file(root: yaml.Node) -> bool:
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    return "groups" not in keys and bool({"rule_files", "tests"} & keys)


def check_names(file: YamlFile, fields: Mapping[str, Field], what: str) -> None:
    """Note labels or annotations whose names are none."""
    for name, (key, _) in fields.items():
        if not _LABEL_NAME.fullmatch(name):
            file.problem(key, f"{name!r} is not a name of {_an(what)}", _LETTERS)
        elif name == NAME and what == "label":
            file.problem(
                key, f"the label {NAME} cannot be set: it is the metric's name", "use 'record' for it"
            )


def _an(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def _value(fields: Mapping[str, Field], name: str) -> yaml.Node | None:
    found = fields.get(name)
    return None if found is None else found[1]
