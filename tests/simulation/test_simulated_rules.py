"""Simulations can fail: with one rule taken away, something that was promised is broken."""

from __future__ import annotations

import pytest

from tests.simulation.scenario import rules_without, simulate


@pytest.mark.parametrize(
    ("rule", "sign", "seeds"),
    [
        ("intents", "without an intent", 10),
        ("epochs", "", 60),
        ("fence", "", 60),
        ("kinds", "done", 40),
        ("deadline", "after the lease's own deadline", 60),
        ("stop", "told to stop", 40),
    ],
)
def test_with_one_rule_taken_away_something_breaks(rule: str, sign: str, seeds: int) -> None:
    for seed in range(seeds):
        if any(sign in each for each in simulate(seed, rules_without(rule)).violations):
            return
    pytest.fail(f"without the rule {rule!r} nothing broke in {seeds} seeds: it is not needed, or not watched")
