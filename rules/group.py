"""Evaluates the rules of one group in order, at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from rules.alerting import Alerter
from rules.errors import EvalError, RulesError
from rules.labels import Labels
from rules.model import Alert, AlertState, Group, Rule
from rules.promql import Expression, Source
from rules.promql.expression import DEFAULTS, Settings
from rules.promql.values import SINGLE, Value, Vector
from rules.recording import Recorder, Sink
from rules.state import Remembered, never
from rules.wording import Moment

KEPT_QUERIES = 64
Run: TypeAlias = Recorder | Alerter
Identity: TypeAlias = tuple[str, tuple[tuple[str, str], ...], int]
"""A rule's name, its labels as written, and which one of several such rules: what a reload goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What the groups of one daemon have in common."""

    promql: Settings = DEFAULTS
    external_url: str = ""
    """What templates know as the address of the daemon."""
    unobserved: Callable[[Rule, Labels], bool] | None = None
    """Tells of an alert of a rule whether its condition could not be observed: it is not resolved then."""
    query_offset_ms: int = 0
    """For groups that say nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule fared. `alerts` are copies: they stay what they were at that time."""

    rule: Rule
    seconds: float
    failure: str = ""
    """Why it gave nothing; empty when all went well."""
    samples: int = 0
    """How many samples it wrote."""
    state: AlertState = AlertState.INACTIVE
    """The worst of its alerts'."""
    alerts: tuple[Alert, ...] = ()
    """Also those resolved at most 15 minutes ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """What one evaluation of a group gave."""

    group: Group
    at_ms: int
    seconds: float
    rules: tuple[RuleResult, ...] = field(default=())

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        """Return the rules that failed."""
        return tuple(each for each in self.rules if each.failure)


class GroupRun:
    """A group with its alerts; belongs to one thread."""

    def __init__(
        self,
        group: Group,
        source: Source,
        sink: Sink,
        external_labels: Mapping[str, str] | None = None,
        settings: RunSettings | None = None,
    ) -> None:
        self.group = group
        self._source = source
        self._sink = sink
        self._external_labels = dict(external_labels or {})
        self._settings = settings or RunSettings()
        self._queries: dict[str, Expression] = {}
        self._runs = _runs(group)

    def evaluate(self, at_ms: int, clock: Callable[[], float] = float) -> GroupResult:
        """Evaluate all rules at a time (Unix milliseconds); a rule that fails does not stop the others.

        `clock` gives seconds of any beginning; without one, everything takes no time.
        """
        begin = clock()
        results = tuple([self._one(run, at_ms, clock) for run in self._runs.values()])
        return GroupResult(group=self.group, at_ms=at_ms, seconds=clock() - begin, rules=results)

    def alerts(self) -> tuple[Alert, ...]:
        """Return copies of all alerts, also of those resolved at most 15 minutes ago."""
        return tuple([alert for run in self._alerters() for alert in run.state.alerts()])

    def restore(self, remembered: Mapping[Labels, Remembered], now_ms: int) -> None:
        """Let the `for` of all rules go on, as `AlertingState.restore` says."""
        for run in self._alerters():
            run.state.restore(remembered, now_ms)

    def export(self) -> list[dict[str, Any]]:
        """Return the alerts of all rules as plain values, for a store."""
        return [
            {"rule": name, "labels": dict(labels), "nth": nth, "alerts": run.state.export()}
            for (name, labels, nth), run in self._runs.items()
            if isinstance(run, Alerter)
        ]

    def take(self, exported: Sequence[Mapping[str, Any]]) -> None:
        """Take over what `export` gave, rule by rule; raise ValueError when it is something else.

        Rules that are no longer there are passed over.
        """
        for each in exported:
            try:
                labels = tuple(sorted((str(name), str(text)) for name, text in each["labels"].items()))
                run = self._runs.get((each["rule"], labels, each["nth"]))
                alerts = each["alerts"]
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"not the state of a group: {error!r}") from None
            if isinstance(run, Alerter):
                run.load(alerts)

    def inherit(self, previous: GroupRun, at_ms: int) -> None:
        """Take over the alerts from before a reload; end the series of rules that are gone."""
        for identity, before in previous._runs.items():
            run = self._runs.get(identity)
            if isinstance(run, Alerter) and isinstance(before, Alerter):
                run.take(before.state.active)
            if type(run) is not type(before):
                before.end(at_ms, self._sink)

    def end(self, at_ms: int) -> None:
        """Say that all series of the group are over: it is no longer evaluated."""
        for run in self._runs.values():
            run.end(at_ms, self._sink)

    def _alerters(self) -> Iterator[Alerter]:
        return (run for run in self._runs.values() if isinstance(run, Alerter))

    def _one(self, run: Run, at_ms: int, clock: Callable[[], float]) -> RuleResult:
        begin = clock()
        samples, failure = 0, ""
        try:
            samples = self._run(run, at_ms)
        except RulesError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - a defect in one function must not stop all other rules
            failure = f"internal error: {type(error).__name__}: {error}"
        alerting = run.state if isinstance(run, Alerter) else None
        return RuleResult(
            rule=run.rule,
            seconds=clock() - begin,
            failure=failure,
            samples=samples,
            state=alerting.state if alerting else AlertState.INACTIVE,
            alerts=alerting.alerts() if alerting else (),
        )

    def _run(self, run: Run, at_ms: int) -> int:
        limit, settings = self.group.limit, self._settings
        offset_ms = self.group.query_offset_ms
        seen_ms = at_ms - (settings.query_offset_ms if offset_ms is None else offset_ms)
        vector = _vector(run.rule.expression.at(self._source, seen_ms, settings.promql))
        if isinstance(run, Recorder):
            return run.record(vector, seen_ms, limit, self._sink)
        moment = Moment(at_ms, self._query, self._external_labels, settings.external_url)
        unobserved = partial(settings.unobserved, run.rule) if settings.unobserved else never
        return run.judge(vector, seen_ms, limit, moment, unobserved, self._sink)

    def _query(self, text: str, at_ms: int) -> list[tuple[Labels, float]]:
        """Answer the function `query` of templates."""
        expression = self._queries.get(text)
        if expression is None:
            if len(self._queries) >= KEPT_QUERIES:
                self._queries.clear()
            expression = self._queries[text] = Expression(text)
        return list(_vector(expression.at(self._source, at_ms, self._settings.promql)).items())


def _runs(group: Group) -> dict[Identity, Run]:
    runs: dict[Identity, Run] = {}
    for rule in group.rules:
        labels = tuple((name, each.text) for name, each in rule.labels)
        identity = next(one for nth in count() if (one := (rule.name, labels, nth)) not in runs)
        key = (*group.key, *identity)
        runs[identity] = Alerter(rule, key) if rule.is_alert else Recorder(rule, key)
    return runs


def _vector(value: Value) -> Vector:
    if isinstance(value, Vector):
        return value
    if isinstance(value, float):
        return Vector(SINGLE, np.array([value]), np.array([True]))
    raise EvalError("rule result is not a vector or scalar")
