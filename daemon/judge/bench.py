"""The judge's desk: window, groups and alert state. Everything here belongs to the judge's thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collectors.catalogue import CatalogueEntry
from daemon.history.sheets import Samples, Sheet
from daemon.judge.feed import Notes
from daemon.judge.needs import Needs
from daemon.judge.sight import Dependence, Sight
from daemon.judge.writer import Writer
from rules.group import GroupResult, GroupRun, RunSettings
from rules.labels import Labels
from rules.model import ALERTS, FOR_STATE, AlertState, Group, Rule
from rules.promql.expression import Settings
from rules.promql.values import Floats, Ints, is_sample
from rules.state import OUTAGE_TOLERANCE_MS, Remembered
from rules.window import Window

GroupKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What the configuration says of judging."""

    interval_seconds: float = 15.0
    """For groups that say nothing themselves."""
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    own_labels: Mapping[str, str] = field(default_factory=dict)
    """Of the daemon's process-wide series: job and instance."""
    catalogue: Sequence[CatalogueEntry] = ()
    """Every metric that targets can have, and the probe that gives it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one evaluation of a group gave."""

    result: GroupResult
    interval_seconds: float
    at: float
    """Unix time, seconds."""

    @property
    def key(self) -> GroupKey:
        """Return the group's file and name."""
        return self.result.group.key


class Bench:
    """Takes in notes, evaluates groups, keeps alerts."""

    def __init__(self, groups: Sequence[Group], options: BenchOptions) -> None:
        self._options = options
        expressions = [rule.expression for group in groups for rule in group.rules]
        needs = Needs(expressions, always=("up", ALERTS, FOR_STATE))
        self.window = Window(needs.keep)
        self.window.keeper = self._keep
        self._kept: list[Sheet] = []
        self._needs = needs
        self._writer = Writer(self.window, options.own_labels)
        self._sight = Sight()
        self._looked_ms = 0
        self._remembered: Mapping[Labels, Remembered] = {}
        self._begun: set[GroupKey] = set()
        self._dependence = Dependence(groups, options.catalogue)
        self._runs = {group.key: self._run(group) for group in groups}

    def intervals(self) -> dict[GroupKey, float]:
        """Return how often each group is evaluated, seconds."""
        return {key: self._interval(run.group) for key, run in self._runs.items()}

    def load(self, past: Sequence[Sheet]) -> None:
        """Take samples of before a restart."""
        for sheet in past:
            self.window.load(*sheet)

    def past_wanted(self) -> dict[str, int]:
        """Return the metrics whose past is of use, and how far back, in milliseconds."""
        return self._needs.named()

    def handed_on(self) -> list[Sheet]:
        """Return the samples taken since the last call, staleness markers among them."""
        kept, self._kept = self._kept, []
        return kept

    def judge(self, notes: Notes, due: Sequence[GroupKey], trim: bool) -> list[Verdict]:
        """Take in what changed, then evaluate these groups in order."""
        if notes.at_ms < self._looked_ms:
            self.window.cut(notes.at_ms)
        self._looked_ms = notes.at_ms
        self._writer.write(notes)
        self._sight = notes.sight
        if trim:
            self.window.trim(notes.at_ms)
        return [
            self._verdict(key, run, notes.at_ms) for key in due if (run := self._runs.get(key)) is not None
        ]

    def remember(self, samples: Sequence[Samples]) -> None:
        """Let `for` go on by the last samples of ALERTS_FOR_STATE, where no state of alerts was kept."""
        self._remembered = {
            one.labels.nameless(): Remembered(
                round(float(one.values[rows[-1]]) * 1000), int(one.times[rows[-1]])
            )
            for one in samples
            if len(rows := np.flatnonzero(is_sample(one.values)))
        }

    def inherit(self, previous: Bench, at_ms: int) -> None:
        """Go on with the samples and the alerts of the bench before a reload."""
        self.window, self._writer = previous.window, previous._writer
        self.window.keep_by(self._needs.keep)
        self.window.keeper = self._keep
        self._kept = previous.handed_on()
        self._sight = previous._sight
        self._remembered, self._begun = previous._remembered, previous._begun
        self._runs = {key: self._run(run.group) for key, run in self._runs.items()}
        for key, before in previous._runs.items():
            if key in self._runs:
                self._runs[key].inherit(before, at_ms)
            else:
                before.end(at_ms)

    def export(self) -> list[dict[str, Any]]:
        """Return all alerts as plain values, for a store."""
        return [
            {"file": file, "group": name, "rules": run.export()} for (file, name), run in self._runs.items()
        ]

    def take(self, exported: Sequence[Mapping[str, Any]], saved_ms: int, now_ms: int) -> None:
        """Go on with the alerts of before a restart; raise ValueError when they are something else.

        The time in between does not count for `for`, and after an hour what was pending begins anew:
        nobody knows whether the condition held.
        """
        for each in exported:
            try:
                run, rules = self._runs.get((each["file"], each["group"])), each["rules"]
            except (KeyError, TypeError) as error:
                raise ValueError(f"not the state of rules: {error!r}") from None
            if run is not None:
                run.take([_moved(rule, max(0, now_ms - saved_ms)) for rule in rules])

    def _verdict(self, key: GroupKey, run: GroupRun, at_ms: int) -> Verdict:
        result = run.evaluate(at_ms, time.perf_counter)
        if key not in self._begun:
            self._begun.add(key)
            if self._remembered:
                run.restore(self._remembered, at_ms)
        return Verdict(result, self._interval(run.group), at_ms / 1000)

    def _keep(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        self._kept.append(Sheet(series, times, values))

    def _unobserved(self, rule: Rule, labels: Labels) -> bool:
        return self._dependence.unobserved(rule, labels, self._sight)

    def _interval(self, group: Group) -> float:
        return group.interval_ms / 1000 if group.interval_ms else self._options.interval_seconds

    def _run(self, group: Group) -> GroupRun:
        settings = RunSettings(
            promql=Settings(step_ms=round(self._options.interval_seconds * 1000)),
            external_url=self._options.external_url,
            unobserved=self._unobserved,
        )
        return GroupRun(group, self.window, self.window, self._options.external_labels, settings)


def _moved(rule: Mapping[str, Any], away_ms: int) -> dict[str, Any]:
    alerts = []
    for alert in rule["alerts"]:
        if alert["state"] != AlertState.PENDING:
            alerts.append(alert)
        elif away_ms <= OUTAGE_TOLERANCE_MS:
            alerts.append({**alert, "active_at_ms": alert["active_at_ms"] + away_ms})
    return {**rule, "alerts": alerts}
