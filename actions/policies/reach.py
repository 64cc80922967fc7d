"""Finds policies that no alert can ever reach: by themselves, or because an earlier one takes all they would.

Only what is certain is said: an earlier policy is compared on its own, not several of them together.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from actions.policies.matchers import implied, values_of
from actions.policy import Policy


def contradiction(policy: Policy) -> str:
    """Return the label on which a policy's own matchers leave nothing over; empty when there is none."""
    for label in dict.fromkeys(match.label for match in policy.matches):
        if values_of(policy.matches, label) == frozenset():
            return label
    return ""


class Earlier:
    """Policies so far, found by a value that they list, so that thousands of them are compared in seconds."""

    def __init__(self) -> None:
        self._listing: dict[tuple[str, str], list[tuple[int, Policy]]] = {}
        self._others: list[tuple[int, Policy]] = []
        self._count = 0

    def add(self, policy: Policy) -> None:
        """Remember one more."""
        self._count += 1
        for label, values in _listed(policy):
            for value in values:
                self._listing.setdefault((label, value), []).append((self._count, policy))
            return
        self._others.append((self._count, policy))

    def hiding(self, policy: Policy) -> Policy | None:
        """Return the first that takes every alert a policy matches; None: there is none for certain."""
        # Whatever lists values of a label takes all only of what lists no others.
        near = [
            one for label, values in _listed(policy) for one in self._listing.get((label, min(values)), ())
        ]
        found = [one for one in (*self._others, *near) if takes_all(one[1], policy)]
        return min(found, key=lambda one: one[0])[1] if found else None


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


def _listed(policy: Policy) -> Iterator[tuple[str, frozenset[str]]]:
    """Give the labels of which a policy lists the values, with these."""
    for label in dict.fromkeys(match.label for match in policy.matches):
        values = values_of(policy.matches, label)
        if values:
            yield label, values
