"""Reads how often a policy may act, and how long it rests; never more often than the hard limits allow."""

from __future__ import annotations

from dataclasses import fields as keys_of

from actions.guards.limits import MAXIMA
from actions.policies.fields import Fields
from actions.policy import Budget, CoolDown

_HARD = "this is the hard limit of the program, which no policy can raise"
_NOTHING = "a policy that should do nothing has mode: observe"
_LEAST_SECONDS, _MOST_SECONDS = 60.0, 30 * 86400.0


def budget(policy: Fields) -> Budget:
    """Return the budget of a policy; keys that are not there keep their defaults."""
    inner = policy.inner("budget")
    if inner is None:
        return Budget()
    usual = Budget()
    names = [key.name for key in keys_of(Budget)]
    inner.only(names)
    found = {
        name: inner.whole(name, getattr(usual, name), 1, getattr(MAXIMA, name), why=_HARD, why_least=_NOTHING)
        for name in names
    }
    return Budget(**found)


def cool_down(policy: Fields) -> CoolDown:
    """Return how long a family rests after each sort of end."""
    inner = policy.inner("cool_down")
    if inner is None:
        return CoolDown()
    usual = CoolDown()
    names = [key.name for key in keys_of(CoolDown)]
    inner.only(names)
    found = {name: inner.span(name, getattr(usual, name), _LEAST_SECONDS, _MOST_SECONDS) for name in names}
    return CoolDown(**found)
