from __future__ import annotations

from typing import Any

import pytest

from actions.guards.sight import Sight
from actions.model import State
from tests.fixtures.sights import (
    DAY,
    NOW,
    a_past,
    a_sight,
    said,
)

MINUTE = 60.0
QUIET = (
    State.PROPOSED, State.AWAITING_APPROVAL, State.APPROVED, State.OBSERVED, State.REJECTED,
    State.REFUSED, State.DENIED, State.EXPIRED, State.CANCELLED,
)  # fmt: skip


OK, FAILED, BACK, CLOSED = State.SUCCEEDED, State.FAILED_CLEAN, State.ROLLED_BACK, State.CLOSED_BY_HUMAN


def tried(
    states: list[State], ago: float = 10 * DAY, acknowledged: float | None = None, **changes: Any
) -> Sight:
    """Return a sight after executions of the action on other targets, oldest first, a minute apart."""
    past = [
        a_past(
            f"p{key:02}",
            **{"action": "postgresql.vacuum", "state": state, "ended": NOW - ago + key * MINUTE, **changes},
        )
        for key, state in enumerate(states)
    ]
    at = {} if acknowledged is None else {"postgresql.vacuum": NOW - acknowledged}
    return a_sight(past=past[::-1], breaker_acknowledged_at=at)


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "postgresql.vacuum works"),
        (tried([FAILED, BACK]), True, "postgresql.vacuum works"),
        (
            tried([FAILED, BACK, CLOSED]),
            False,
            "3 of the last 3 executions of postgresql.vacuum had no success; look at p00, p01, p02, then acknowledge the action",
        ),
        (
            tried([FAILED, State.NEEDS_HUMAN, OK, OK, FAILED]),
            False,
            "3 of the last 5 executions of postgresql.vacuum had no success; look at p00, p01, p04, then acknowledge the action",
        ),
        # The last ten count.
        (
            tried([FAILED, FAILED, FAILED] + [OK] * 7),
            False,
            "3 of the last 10 executions of postgresql.vacuum had no success; look at p00, p01, p02, then acknowledge the action",
        ),
        (tried([FAILED, FAILED, FAILED] + [OK] * 8), True, "postgresql.vacuum works"),
        (tried([OK] * 8 + [FAILED, FAILED]), True, "postgresql.vacuum works"),
        (
            tried([OK] * 20 + [FAILED, FAILED, FAILED]),
            False,
            "3 of the last 10 executions of postgresql.vacuum had no success; look at p20, p21, p22, then acknowledge the action",
        ),
        (
            tried([FAILED, FAILED, FAILED, *QUIET]),
            False,
            "3 of the last 3 executions of postgresql.vacuum had no success; look at p00, p01, p02, then acknowledge the action",
        ),
        (tried([FAILED, FAILED, State.RUNNING]), True, "postgresql.vacuum works"),
        (tried([FAILED, FAILED, FAILED], action="postgresql.analyze"), True, "postgresql.vacuum works"),
        # Until a person says that they have seen it.
        (tried([FAILED, FAILED, FAILED], ago=120.0, acknowledged=0.0), True, "postgresql.vacuum works"),
        (tried([FAILED, FAILED, FAILED], ago=120.0, acknowledged=0.5), True, "postgresql.vacuum works"),
        (
            tried([FAILED, FAILED, FAILED], ago=120.0, acknowledged=DAY),
            False,
            "3 of the last 3 executions of postgresql.vacuum had no success; look at p00, p01, p02, then acknowledge the action",
        ),
        (
            tried([FAILED, FAILED, FAILED, FAILED], ago=180.0, acknowledged=180.0),
            False,
            "3 of the last 3 executions of postgresql.vacuum had no success; look at p01, p02, p03, then acknowledge the action",
        ),
        (
            tried([FAILED, FAILED, FAILED, FAILED], ago=180.0, acknowledged=120.0),
            True,
            "postgresql.vacuum works",
        ),
    ],
)
def test_an_action_that_fails_is_switched_off(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("circuit_breaker", sight)
    assert (result.guard, result.allowed, result.reason) == ("circuit_breaker", allowed, reason)


def test_another_actions_acknowledgement_says_nothing() -> None:
    sight = a_sight(past=tried([FAILED] * 3).past, breaker_acknowledged_at={"postgresql.analyze": NOW})
    assert not said("circuit_breaker", sight).allowed


def test_what_failed_is_kept() -> None:
    looked = {"without_success": ["p00"], "acknowledged_at": None}
    assert said("circuit_breaker", tried([FAILED])).inputs == looked
    result = said("circuit_breaker", tried([FAILED] * 3, ago=60.0, acknowledged=600.0))
    assert result.inputs == {"without_success": ["p00", "p01", "p02"], "acknowledged_at": NOW - 600.0}
    assert (
        said("circuit_breaker", tried([FAILED, FAILED, FAILED], acknowledged=0.0)).inputs["acknowledged_at"]
        == NOW
    )
