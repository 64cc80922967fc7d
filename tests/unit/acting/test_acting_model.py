"""The rules of the action engine, each needed: without it some interleaving breaks a promise."""

from __future__ import annotations

import pytest

from tests.unit.acting.acting_model import Bounds, Kind, Rules, explore

KINDS: tuple[Kind, ...] = ("idempotent", "checkable", "once")
BOUNDS = (
    Bounds(epochs=3, crashes=1, failures=1),
    Bounds(epochs=4, crashes=3, failures=1),
    Bounds(epochs=3, crashes=1, failures=1, steps=2),
)
TWICE, UNRECORDED = "effect twice", "effect without record"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_with_all_rules_no_interleaving_breaks_a_promise(kind: Kind, bounds: Bounds) -> None:
    found = explore(kind, Rules(), bounds)
    assert (found.violation, found.path) == ("", ())
    assert found.states > 3000


@pytest.mark.parametrize(
    ("without", "kind", "violation"),
    [
        ("compare_and_set", "checkable", TWICE),
        ("compare_and_set", "once", TWICE),
        ("fence", "checkable", TWICE),
        ("intent_first", "idempotent", UNRECORDED),
        ("intent_first", "checkable", UNRECORDED),
        ("intent_first", "once", UNRECORDED),
        ("kinds", "checkable", TWICE),
        ("kinds", "once", TWICE),
        ("fence_before_read", "checkable", TWICE),
        ("own_intent", "checkable", TWICE),
    ],
)
def test_without_a_rule_some_interleaving_breaks_a_promise(without: str, kind: Kind, violation: str) -> None:
    found = explore(kind, Rules(**{without: False}), BOUNDS[0])
    assert found.violation == violation, found
    assert found.path


@pytest.mark.parametrize("without", ["compare_and_set", "fence", "own_intent"])
def test_with_two_steps_a_stale_owner_would_run_one_without_a_record(without: str) -> None:
    found = explore("idempotent", Rules(**{without: False}), BOUNDS[2])
    assert found.violation == UNRECORDED, found
