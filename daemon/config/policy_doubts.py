"""Finds policies that wait for what does not exist here: an alert, a label, a target. Doubtful, not wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from actions.policies.decide import covers
from actions.policies.matchers import compiled, values_of, written
from actions.policy import Policy
from collectors.definition import RESERVED_LABELS
from collectors.strict_yaml import Problem, did_you_mean
from daemon.config.known import Known
from daemon.config.model import Config
from daemon.config.policy_files import PolicyFiles

_ALWAYS = RESERVED_LABELS | {"alertname", "severity"}


def of_policies(config: Config, found: PolicyFiles, known: Mapping[str, Known]) -> Iterator[Problem]:
    """Give what the policies of people's own files name and nothing has."""
    alerts = {rule.name for group in config.groups for rule in group.rules if rule.is_alert}
    labels = _labels(config, known)
    targets = [target.name for target in config.targets]
    for policy in found.policies.policies:
        if policy.place.file not in found.own:
            continue
        yield from _of_targets(policy, targets)
        # What Alertmanager sends has alerts and labels of its own, which nobody knows here.
        if policy.source == "rules":
            yield from _of_alerts(policy, alerts)
            yield from _of_labels(policy, labels)


def _of_targets(policy: Policy, targets: Collection[str]) -> Iterator[Problem]:
    for name in policy.targets:
        if "*" not in name and name not in targets:
            yield _doubt(policy, f"there is no target {name!r}", did_you_mean(name, targets))
    patterns = [name for name in policy.targets if "*" in name]
    if patterns and not any(covers(policy, name) for name in targets):
        yield _doubt(policy, f"there is no target like {', '.join(patterns)}")


def _of_alerts(policy: Policy, alerts: Collection[str]) -> Iterator[Problem]:
    for name in sorted(values_of(policy.matches, "alertname") or ()):
        if name not in alerts:
            yield _doubt(policy, f"no rule gives an alert {name!r}", did_you_mean(name, alerts))
    patterns = [
        one for one in policy.matches if one.label == "alertname" and values_of((one,), "alertname") is None
    ]
    for match in patterns:
        if not any(compiled(match).matches(name) for name in alerts):
            yield _doubt(policy, f"no rule gives an alert that {written(match)} fits")


def _of_labels(policy: Policy, labels: Collection[str]) -> Iterator[Problem]:
    if not labels:
        return
    for name in dict.fromkeys(match.label for match in policy.matches):
        if name not in labels:
            yield _doubt(
                policy, f"no rule, metric or target has a label {name!r}", did_you_mean(name, labels)
            )


def _labels(config: Config, known: Mapping[str, Known]) -> set[str]:
    """Return every label that an alert of our rules may have; none where that cannot be known."""
    if any(target.engine == "exporter" for target in config.targets):
        return set()
    found = set(_ALWAYS)
    for one in known.values():
        found |= one.labels.keys()
    for target in config.targets:
        found |= target.labels.keys()
    for group in config.groups:
        for rule in group.rules:
            found |= {name for name, _ in rule.labels}
            found |= _made(rule.expr)
    return found


def _made(expression: str) -> set[str]:
    """Return the texts of an expression that may be names of labels, as `label_replace` writes them."""
    if "label_" not in expression and "count_values" not in expression:
        return set()
    return {text for quote in "\"'" for text in expression.split(quote)[1::2] if text.isidentifier()}


def _doubt(policy: Policy, message: str, hint: str = "") -> Problem:
    place = policy.place
    return Problem(place.file, place.line, place.column, f"policy {policy.name!r}: {message}", hint)
