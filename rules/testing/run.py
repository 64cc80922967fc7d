"""Runs the tests of a test file: puts series in, evaluates the groups, compares what comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np

from rules.errors import EvalError, RulesError
from rules.group import GroupRun, RunSettings
from rules.labels import Labels
from rules.model import ALERT_NAME, AlertState, Group
from rules.promql import Expression, Vector
from rules.promql.expression import Settings
from rules.promql.values import ABSENT_BITS, SINGLE, STALE_BITS
from rules.template.quoting import quote
from rules.testing import report
from rules.testing.model import AlertTest, ExpectedAlert, ExpressionTest, Series, TestFile, TestGroup
from rules.window import Window

Sample = tuple[Labels, float]


def run(test_file: TestFile, groups: Sequence[Group]) -> list[str]:
    """Return what is not as expected, as promtool prints it; nothing when all tests passed.

    As in promtool: all groups are evaluated every `evaluation_interval`, whatever their own interval is;
    a rule that fails ends its test; series are put in up to the newest evaluation. Alerts of what cannot
    be observed are resolved like all others: there is nobody here who could not observe.
    """
    order = {name: place for place, name in enumerate(test_file.group_order)}
    ordered = sorted(groups, key=lambda group: order.get(group.name, 0))
    return [fault for group in test_file.groups for fault in _Test(test_file, group, ordered).run()]


class _Test:
    """One test with a window of its own."""

    def __init__(self, test_file: TestFile, test: TestGroup, groups: Sequence[Group]) -> None:
        self._file = test_file
        self._test = test
        self._window = Window()
        self._inputs = [_Input(each, test) for each in test.series]
        self._promql = Settings(step_ms=test_file.evaluation_interval_ms)
        settings = RunSettings(promql=self._promql, external_url=test.external_url)
        external = dict(test.external_labels)
        self._runs = [GroupRun(each, self._window, self._window, external, settings) for each in groups]

    def run(self) -> Iterator[str]:
        waiting = sorted(self._test.alerts, key=lambda each: each.at_ms)
        step_ms = self._file.evaluation_interval_ms
        for passed_ms in range(0, self._test.last_ms + 1, step_ms):
            failures = list(self._evaluate(passed_ms))
            if failures:
                yield from failures
                return
            while waiting and waiting[0].at_ms < passed_ms + step_ms:
                fault = self._check_alerts(waiting.pop(0))
                if fault:
                    yield fault
        for expected in self._test.expressions:
            fault = self._check_expression(expected)
            if fault:
                yield fault

    def _evaluate(self, passed_ms: int) -> Iterator[str]:
        at_ms = self._test.start_ms + passed_ms
        for each in self._inputs:
            each.put(self._window, at_ms)
        for run in self._runs:
            for failed in run.evaluate(at_ms).failures:
                yield report.rule_failed(failed.rule.name, passed_ms, failed.failure)

    def _check_alerts(self, test: AlertTest) -> str:
        firing = [
            ExpectedAlert(labels=alert.labels, annotations=tuple(sorted(alert.annotations.items())))
            for run in self._runs
            for alert in run.alerts()
            if alert.state is AlertState.FIRING and alert.labels.get(ALERT_NAME) == test.name
        ]
        found, expected = _sorted(firing), _sorted(test.expected)
        return "" if found == expected else report.alerts_differ(self._test.name, test, expected, found)

    def _check_expression(self, test: ExpressionTest) -> str:
        try:
            found = self._answer(test)
        except RulesError as error:
            return report.expression_failed(test, str(error))
        for each in test.expected:
            if each.labels is None:
                return report.expression_failed(test, f"labels {quote(each.text)}: {each.fault}")
        expected = [(each.labels, each.value) for each in test.expected if each.labels is not None]
        expected.sort(key=itemgetter(0))
        if len(found) == len(expected) and all(map(self._same, expected, found)):
            return ""
        return report.samples_differ(test, expected, found)

    def _answer(self, test: ExpressionTest) -> list[Sample]:
        at_ms = self._test.start_ms + test.at_ms
        value = Expression(test.expr).at(self._window, at_ms, self._promql)
        if isinstance(value, float):
            return [(SINGLE[0], value)]
        if not isinstance(value, Vector):
            raise EvalError("rule result is not a vector or scalar")
        return sorted(value.items(), key=itemgetter(0))

    def _same(self, expected: Sample, found: Sample) -> bool:
        if expected[0] != found[0]:
            return False
        one, other = expected[1], found[1]
        if not self._file.fuzzy or one == other:
            return one == other
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return other in (math.nextafter(one, -math.inf), math.nextafter(one, math.inf))


class _Input:
    """Puts one series into the window, bit by bit."""

    def __init__(self, series: Series, test: TestGroup) -> None:
        bits = series.values.view(np.uint64)
        there = np.flatnonzero(bits != ABSENT_BITS)
        self._series = (series.labels,)
        self._key = ("input", series.labels)
        self._times = test.start_ms + there * test.interval_ms
        self._values = series.values[there]
        self._stale = bits[there] == STALE_BITS
        self._next = 0

    def put(self, window: Window, up_to_ms: int) -> None:
        """Put in the samples up to a time that are not in yet."""
        while self._next < len(self._times) and self._times[self._next] <= up_to_ms:
            at, at_ms = self._next, int(self._times[self._next])
            if self._stale[at]:
                window.end(self._key, at_ms)
            else:
                window.write(self._key, self._series, at_ms, self._values[at : at + 1])
            self._next += 1


def _sorted(alerts: Sequence[ExpectedAlert]) -> list[ExpectedAlert]:
    return sorted(alerts, key=lambda each: (each.labels, each.annotations))
