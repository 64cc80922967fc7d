"""Simulations by seed: nothing that was promised is broken; and with one rule taken away, something is."""

from __future__ import annotations

import pytest

from tests.simulation.scenario import Result, rules_without, simulate

SEEDS = 200
GROUP = 20


def told(result: Result) -> str:
    """Say what broke, and how to see it again."""
    again = f".venv/bin/python -m tests.simulation --replay {result.seed}"
    return "\n".join([f"seed {result.seed}:", *result.violations[:10], f"replay it: {again}"])


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_f01_to_f09_f34_f37_f39_whatever_goes_wrong_no_promise_is_broken(first: int) -> None:
    results = [simulate(seed) for seed in range(first, first + GROUP)]
    broken = [told(result) for result in results if result.violations]
    assert not broken, "\n\n".join(broken)
    assert sum(result.counts["effects"] for result in results) > GROUP, (
        "nothing was done, so nothing was shown"
    )
    assert sum(result.counts["kill -9 at a write"] for result in results) > 0


def test_the_same_seed_gives_the_same_again() -> None:
    first, second = simulate(7, trace=True), simulate(7, trace=True)
    assert first.trace == second.trace
    assert len(first.trace) > 50


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
