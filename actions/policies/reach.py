"""Finds policies that no alert can ever reach: by themselves, or because an earlier one takes all they would.

Only what is certain is said: an earlier policy is compared on its own, not several of them together.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from actions.policies.matchers import implied, values_of
from actions.policy import Policy


def contradiction(policy: Policy) -> str:
    """Return the label on which a policy's own matchers leave nothing over; empty when there is none."""
    for label in dict.fromkeys(match.label for match in policy.matches):
        if values_of(policy.matches, label) == frozenset():
            return label
    return ""


def hidden_by(policy: Policy, earlier: Sequence[Policy]) -> Policy | None:
    """Return an earlier policy that takes every alert this one matches; None: there is none for certain."""
    return next((other for other in earlier if takes_all(other, policy)), None)


def takes_all(earlier: Policy, later: Policy) -> bool:
    """Tell whether every alert that `later` matches is one that `earlier` matches."""
    if earlier.schedule or later.schedule:
        return False
    if earlier.source not in ("any", later.source):
        return False
    if not _names_all(earlier.targets, later.targets):
        return False
    return all(implied(match, later.matches) for match in earlier.matches)


def _names_all(earlier: tuple[str, ...], later: tuple[str, ...]) -> bool:
    """Tell whether a list of targets has all that another has; an empty list has every target."""
    if not earlier or "*" in earlier:
        return True
    return bool(later) and all(_named(name, earlier) for name in later)


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    if name in patterns:
        return True
    # The `*` of a later pattern is taken for a letter here: only the `*` of a wider pattern fits it.
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
