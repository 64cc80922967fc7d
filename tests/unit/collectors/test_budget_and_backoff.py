"""How much a server is asked, and how often a dead one is tried."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from collectors.backoff import CAP_SECONDS, Backoff
from collectors.budget import Budget
from collectors.model import Cost


def test_light_probes_run_whatever_happens() -> None:
    budget = Budget(1.0)
    budget.spend(Cost.HEAVY, 100.0, now=0.0)

    assert budget.refusal(Cost.LIGHT, 0.0, "connections") == ""


def test_an_overdrawn_budget_refuses_until_time_has_filled_it() -> None:
    budget = Budget(3.0)
    budget.spend(Cost.HEAVY, 4.0, now=0.0)

    assert budget.refusal(Cost.HEAVY, 0.0) == "budget"
    assert budget.refusal(Cost.MEDIUM, 19.0) == "budget"
    assert budget.refusal(Cost.MEDIUM, 21.0) == ""


def test_when_the_server_suffers_heavy_probes_wait_first_and_medium_ones_when_half_is_spent() -> None:
    budget = Budget(2.0)

    assert budget.refusal(Cost.HEAVY, 0.0, "lock_waits") == "distress"
    assert budget.refusal(Cost.MEDIUM, 0.0, "lock_waits") == ""
    budget.spend(Cost.MEDIUM, 1.5, now=0.0)
    assert budget.refusal(Cost.MEDIUM, 0.0, "lock_waits") == "distress"


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2)), max_size=50))
def test_a_minute_never_gives_more_than_a_full_bucket_and_one_overrun(
    runs: list[tuple[float, float]],
) -> None:
    budget, now, spent = Budget(3.0), 0.0, 0.0
    for wait, took in runs:
        now += wait
        if not budget.refusal(Cost.HEAVY, now):
            budget.spend(Cost.HEAVY, took, now)
            spent += took

    assert spent <= 3.0 + now * 3.0 / 60 + 2.0 + 1e-6


def test_three_refused_passwords_a_minute_and_no_more() -> None:
    backoff, attempts, now = Backoff(random.Random(1)), [], 0.0
    while now < 600:
        if backoff.ready(now):
            attempts.append(now)
            backoff.failed(now, refused=True)
        now += 0.25

    for start in attempts:
        assert sum(start <= at < start + 60 for at in attempts) <= 3
    assert len(attempts) > 10


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_waiting_grows_but_never_beyond_the_cap(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed))
    for _ in range(failures):
        backoff.failed(100.0)

    assert 100.0 <= backoff.not_before <= 100.0 + CAP_SECONDS


def test_success_forgets_failures() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(9):
        backoff.failed(0.0, refused=True)
    backoff.succeeded()

    assert backoff.ready(0.0)
