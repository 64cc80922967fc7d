"""Decides which policy an alert reaches: the first that matches, and how far it may go."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from actions.model import Mode
from actions.policies.matchers import fits, written
from actions.policy import Policies, Policy

MODES = (Mode.OBSERVE, Mode.ADVISE, Mode.APPROVE, Mode.AUTO)
"""From the one that may do nothing to the one that may do all."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A policy that was passed over, and why."""

    policy: Policy
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which policy holds, and how far it goes; without a policy nothing is done, and nothing recorded."""

    policy: Policy | None
    mode: Mode
    """The lower of the policy's and what the target allows."""
    reason: str
    tried: tuple[Tried, ...]
    """Those before it, in order; all of them when none matches."""


def decide(
    policies: Policies,
    labels: Mapping[str, str],
    source: str,
    target: str,
    cap: Mode = Mode.ADVISE,
    cap_from: str = "act.mode of the target",
) -> Decision:
    """Return the first policy that an alert reaches.

    `source` is `rules` or `alertmanager`; `cap` is how far the target lets any policy go, and `cap_from` says
    in messages who set it.
    """
    tried: list[Tried] = []
    for policy in policies.policies:
        why_not = _why_not(policy, labels, source, target)
        if not why_not:
            mode, reason = effective(policy, cap, cap_from)
            return Decision(policy=policy, mode=mode, reason=reason, tried=tuple(tried))
        tried.append(Tried(policy, why_not))
    reason = f"none of {len(tried)} policies matches" if tried else "there are no policies"
    return Decision(policy=None, mode=Mode.OBSERVE, reason=reason, tried=tuple(tried))


def effective(policy: Policy, cap: Mode, cap_from: str = "act.mode of the target") -> tuple[Mode, str]:
    """Return how far a policy goes where `cap` is the most that is allowed, and why."""
    if MODES.index(cap) < MODES.index(policy.mode):
        return cap, f"the policy says {policy.mode}, {cap_from} allows {cap} at the most"
    return policy.mode, f"the policy says {policy.mode}"


def covers(policy: Policy, target: str) -> bool:
    """Tell whether a policy is for a target, by its name."""
    return not policy.targets or any(fnmatch.fnmatchcase(target, _star(name)) for name in policy.targets)


def _why_not(policy: Policy, labels: Mapping[str, str], source: str, target: str) -> str:
    """Return why a policy does not hold for an alert; empty when it does."""
    if policy.schedule is not None:
        return "it has a schedule: no alert asks for it"
    if policy.source not in ("any", source):
        return f"it is for alerts from {policy.source}, this one is from {source}"
    if not covers(policy, target):
        return f"it is for the targets {', '.join(policy.targets)}, not for {target!r}"
    for match in policy.matches:
        if not fits(match, labels):
            value = labels.get(match.label)
            has = f"is {value!r}" if value is not None else "is not there"
            return f"{written(match)} does not match: {match.label} {has}"
    return ""


def _star(name: str) -> str:
    """Return a pattern in which only `*` is special."""
    return name.replace("[", "[[]").replace("?", "[?]")
