"""What could not be seen: which probes of which targets give nothing that can be relied on right now.

An alert whose series are gone because nobody could look is not over. Seen is a target that answers, of
which the probes that a rule depends on have run and given something lately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collectors.catalogue import CatalogueEntry
from daemon.known import ProbeState, TargetState
from rules.labels import Labels
from rules.model import Group, Rule

SLACK_SECONDS = 30.0
PERIODS = 3.0
"""An answer holds for so many periods of its probe, as in the snapshot."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The targets and probes that cannot be seen at one moment."""

    blind: frozenset[str] = frozenset()
    """Targets that do not answer, or were not asked yet."""
    dark: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By target, the probes that fail, have not run yet, or have lost a right."""


def sight_of(states: Iterable[TargetState], now: float) -> Sight:
    """Look at all targets; `now` is Unix time in seconds."""
    blind, dark = set(), {}
    for state in states:
        if state.up is None or not state.up.up:
            blind.add(state.name)
        elif probes := _dark(state, now):
            dark[state.name] = frozenset(probes)
    return Sight(frozenset(blind), dark)


def _dark(state: TargetState, now: float) -> set[str]:
    found = {name for name, probe in state.probes.items() if name != "up" and not _sees(probe, state, now)}
    found.update(each.probe for each in state.rejections if not each.expected and not each.what)
    return found


def _sees(probe: ProbeState, state: TargetState, now: float) -> bool:
    if probe.failures or probe.last_success_at is None:
        return False
    if probe.info is None:
        return True
    every = probe.info.every_seconds or state.target.interval_seconds
    holds = max(PERIODS * every, every + 2 * probe.info.within_seconds) + SLACK_SECONDS
    return now - probe.last_success_at <= holds


class Dependence:
    """Which probes the alerts of a rule rest on, also through recorded series."""

    def __init__(self, groups: Sequence[Group], catalogue: Iterable[CatalogueEntry]) -> None:
        self._probes: dict[str, set[str]] = {}
        for entry in catalogue:
            for name in (entry.metric.name, *entry.metric.aliases):
                if entry.probe:
                    self._probes.setdefault(name, set()).add(entry.probe)
        self._recorded: dict[str, set[str]] = {}
        for rule in (rule for group in groups for rule in group.rules if not rule.is_alert):
            self._recorded.setdefault(rule.name, set()).update(_names(rule))
        self._known: dict[str, frozenset[str]] = {}

    def unobserved(self, rule: Rule, labels: Labels, sight: Sight) -> bool:
        """Tell whether the target of an alert, or a probe that the rule rests on, cannot be seen."""
        target = labels.get("target")
        if not target:
            return False
        if target in sight.blind:
            return True
        return not sight.dark.get(target, frozenset()).isdisjoint(self.probes(rule))

    def probes(self, rule: Rule) -> frozenset[str]:
        """Return the probes that give what a rule's expression asks for."""
        if rule.expr not in self._known:
            names: set[str] = set()
            fresh = _names(rule)
            while fresh:
                names |= fresh
                fresh = {name for each in fresh for name in self._recorded.get(each, ())} - names
            self._known[rule.expr] = frozenset(
                probe for name in names for probe in self._probes.get(name, ())
            )
        return self._known[rule.expr]


def _names(rule: Rule) -> set[str]:
    return {reach.selector.name for reach in rule.expression.reaches() if reach.selector.name}
