"""What tests found, in the words and the form of promtool."""

from __future__ import annotations

from collections.abc import Sequence

from rules.durations import duration_text
from rules.labels import Labels
from rules.template.floats import format_float
from rules.template.quoting import quote
from rules.template.times import Duration
from rules.testing.model import AlertTest, ExpectedAlert, ExpressionTest

_NANOSECONDS = 1_000_000


def rule_failed(rule: str, passed_ms: int, reason: str) -> str:
    """Say that a rule could not be evaluated."""
    return f"    rule: {rule}, time: {Duration(passed_ms * _NANOSECONDS)}, err: {reason}"


def alerts_differ(
    test_name: str, test: AlertTest, expected: Sequence[ExpectedAlert], found: Sequence[ExpectedAlert]
) -> str:
    """Say which alerts were expected, and which fired."""
    name = f"    name: {test_name},\n" if test_name else ""
    what = f"    alertname: {test.name}, time: {duration_text(test.at_ms)}, \n"
    return f"{name}{what}        exp:{_alerts(expected)}, \n        got:{_alerts(found)}"


def samples_differ(
    test: ExpressionTest, expected: Sequence[tuple[Labels, float]], found: Sequence[tuple[Labels, float]]
) -> str:
    """Say which samples were expected, and which the expression gave."""
    return f"{_expression(test)},\n        exp: {_samples(expected)}\n        got: {_samples(found)}"


def expression_failed(test: ExpressionTest, reason: str) -> str:
    """Say that an expression gives no samples."""
    return f"{_expression(test)}, err: {reason}"


def _expression(test: ExpressionTest) -> str:
    return f"    expr: {quote(test.expr)}, time: {duration_text(test.at_ms)}"


def _alerts(alerts: Sequence[ExpectedAlert]) -> str:
    if not alerts:
        return "[]"
    lines = ["["]
    for place, alert in enumerate(alerts):
        comma = "," if place < len(alerts) - 1 else ""
        annotations = ", ".join(f"{name}={quote(text)}" for name, text in alert.annotations)
        lines += [f"{place}:", f"  Labels:{alert.labels}", f"  Annotations:{{{annotations}}}{comma}"]
    return "\n            ".join([*lines, "]"])


def _samples(samples: Sequence[tuple[Labels, float]]) -> str:
    return ", ".join(f"{labels} {format_float(value, 'E')}" for labels, value in samples) or "nil"
