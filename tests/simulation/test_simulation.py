"""Simulations by seed: whatever goes wrong, nothing that was promised is broken."""

from __future__ import annotations

import pytest

from tests.simulation.scenario import Result, simulate

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
