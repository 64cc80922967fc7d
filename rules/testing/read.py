"""Reads test files: text in, tests out, or every mistake at once with its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml

from collectors.strict_yaml import InvalidFile
from rules.labels import Labels, labels_of
from rules.model import ALERT_NAME
from rules.testing import notation
from rules.testing.model import (
    AlertTest,
    ExpectedAlert,
    ExpectedSample,
    ExpressionTest,
    Series,
    TestFile,
    TestGroup,
)
from rules.yaml_nodes import Field, YamlFile

EVALUATION_INTERVAL_MS = 60_000
SAMPLES_MAX = 20_000_000
"""In one file."""
_FILE = ("rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests")
_GROUP = (
    "name",
    "interval",
    "start_timestamp",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
)
T = TypeVar("T")


def read(name: str, text: str) -> TestFile:
    """Return the tests of a file; raise InvalidFile with all mistakes."""
    file = YamlFile(name, text)
    tests = _Reader(file).read()
    if file.problems:
        raise InvalidFile(file.problems)
    return tests


class _Reader:
    """Reads one file."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._samples = 0
        self._interval_ms = EVALUATION_INTERVAL_MS

    def read(self) -> TestFile:
        file = self._file
        top = file.fields(file.root(), "a test file", _FILE)
        interval = file.duration(_value(top, "evaluation_interval"), "evaluation_interval")
        self._interval_ms = interval or EVALUATION_INTERVAL_MS
        return TestFile(
            name=file.file,
            rule_files=tuple(
                (file.string(each, "a rule file"), file.place(each))
                for each in file.items(_value(top, "rule_files"), "rule_files")
            ),
            evaluation_interval_ms=self._interval_ms,
            group_order=self._order(_value(top, "group_eval_order")),
            fuzzy=file.truth(_value(top, "fuzzy_compare"), "fuzzy_compare"),
            groups=tuple(map(self._group, file.items(_value(top, "tests"), "tests"))),
        )

    def _order(self, node: yaml.Node | None) -> tuple[str, ...]:
        names: list[str] = []
        for each in self._file.items(node, "group_eval_order"):
            name = self._file.string(each, "a group")
            if name in names:
                self._file.problem(each, f"group name repeated in evaluation order: {name}")
            names.append(name)
        return tuple(names)

    def _group(self, node: yaml.Node) -> TestGroup:
        file = self._file
        fields = file.fields(node, "a test", _GROUP)
        series = {each.labels: each for each in self._list(fields, "input_series", self._series)}
        interval = file.duration(_value(fields, "interval"), "interval")
        return TestGroup(
            name=file.string(_value(fields, "name"), "name"),
            place=file.place(node),
            interval_ms=interval or self._interval_ms,
            start_ms=self._moment(_value(fields, "start_timestamp")),
            series=tuple(series.values()),
            alerts=self._list(fields, "alert_rule_test", self._alert_test),
            expressions=self._list(fields, "promql_expr_test", self._expression_test),
            external_labels=self._texts(fields, "external_labels"),
            external_url=file.string(_value(fields, "external_url"), "external_url"),
        )

    def _list(
        self, fields: Mapping[str, Field], name: str, read: Callable[[yaml.Node], T | None]
    ) -> tuple[T, ...]:
        found = [read(each) for each in self._file.items(_value(fields, name), name)]
        return tuple([each for each in found if each is not None])

    def _texts(self, fields: Mapping[str, Field], name: str) -> tuple[tuple[str, str], ...]:
        found = self._file.strings(_value(fields, name), name)
        return tuple(sorted((key, self._file.string(value, key)) for key, (_, value) in found.items()))

    def _series(self, node: yaml.Node) -> Series | None:
        file = self._file
        fields = file.fields(node, "a series", ("series", "values"))
        labels = self._notation(_value(fields, "series"), node, "series", notation.labels)
        values = self._notation(_value(fields, "values"), node, "values", notation.values)
        if labels is None or values is None:
            return None
        self._samples += len(values)
        if self._samples > SAMPLES_MAX:
            file.problem(node, f"more than {SAMPLES_MAX} samples in one file")
            return None
        return Series(labels=labels, values=values)

    def _notation(
        self, node: yaml.Node | None, parent: yaml.Node, what: str, parse: Callable[[str], T]
    ) -> T | None:
        text = self._file.string(node, what)
        try:
            return parse(text)
        except notation.BadNotation as error:
            self._file.problem(node or parent, f"{what} {text[:60]!r}: {error}")
            return None

    def _alert_test(self, node: yaml.Node) -> AlertTest | None:
        file = self._file
        fields = file.fields(node, "a test of an alert", ("eval_time", "alertname", "exp_alerts"))
        name = file.string(_value(fields, "alertname"), "alertname")
        if not name and isinstance(node, yaml.MappingNode):
            file.problem(node, "an item under alert_rule_test misses required attribute alertname")
        at_ms = file.duration(_value(fields, "eval_time"), "eval_time")
        expected = [
            self._alert(each, name) for each in file.items(_value(fields, "exp_alerts"), "exp_alerts")
        ]
        return AlertTest(at_ms=at_ms or 0, name=name, expected=tuple(expected))

    def _alert(self, node: yaml.Node, name: str) -> ExpectedAlert:
        fields = self._file.fields(node, "an expected alert", ("exp_labels", "exp_annotations"))
        labels = {**dict(self._texts(fields, "exp_labels")), ALERT_NAME: name}
        return ExpectedAlert(labels=labels_of(labels), annotations=self._texts(fields, "exp_annotations"))

    def _expression_test(self, node: yaml.Node) -> ExpressionTest:
        file = self._file
        fields = file.fields(node, "a test of an expression", ("expr", "eval_time", "exp_samples"))
        at_ms = file.duration(_value(fields, "eval_time"), "eval_time")
        return ExpressionTest(
            at_ms=at_ms or 0,
            expr=file.string(_value(fields, "expr"), "expr"),
            expected=self._list(fields, "exp_samples", self._sample),
        )

    def _sample(self, node: yaml.Node) -> ExpectedSample:
        file = self._file
        fields = file.fields(node, "an expected sample", ("labels", "value", "histogram"))
        if "histogram" in fields:
            file.problem(fields["histogram"][0], "native histograms are not supported")
        text = file.string(_value(fields, "labels"), "labels")
        labels: Labels | None = None
        fault = ""
        try:
            labels = notation.labels(text)
        except notation.BadNotation as error:
            fault = str(error)
        return ExpectedSample(
            labels=labels, text=text, value=file.number(_value(fields, "value"), "value"), fault=fault
        )

    def _moment(self, node: yaml.Node | None) -> int:
        text = self._file.string(node, "start_timestamp")
        if node is None or not text:
            return 0
        try:
            return round(float(text) * 1000)
        except (ValueError, OverflowError):
            pass
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self._file.problem(node, f"start_timestamp: {text[:40]!r} is neither Unix seconds nor RFC 3339")
            return 0
        return round(moment.timestamp() * 1000)


def _value(fields: Mapping[str, Field], name: str) -> yaml.Node | None:
    found = fields.get(name)
    return None if found is None else found[1]
