"""A daemon that may not act, waits for people, or has lost its journal - over what it says of itself."""

from __future__ import annotations

from daemon.acting.metrics import ActingMetrics, Standing
from tests.fixtures.courts import Court
from tests.fixtures.proofs import replayed

PACK = "dbarchitect"


@replayed(
    "DbarchitectActionsStopped",
    "DbarchitectNeedsHuman",
    "DbarchitectApprovalsWaiting",
    "DbarchitectActingStoreUnavailable",
)
async def test_what_keeps_the_daemon_from_acting_and_who_is_waited_for_is_told(court: Court) -> None:
    now = Standing(enabled=True, leader=True, store=True, pending=0, human=0, running=0)
    court.own.registry.register(ActingMetrics(lambda: now))
    court.hold(10)
    assert court.names() == set()
    now.human, now.pending, now.pending_oldest_seconds, now.store = 1, 1, 3700.0, False
    court.hold(7)
    assert court.told("DbarchitectNeedsHuman") == [{"severity": "warning"}]
    assert court.told("DbarchitectApprovalsWaiting") == [{"severity": "info"}]
    assert court.told("DbarchitectActingStoreUnavailable") == [{"severity": "critical"}]
    now.human, now.pending, now.pending_oldest_seconds, now.store, now.enabled = 0, 0, 0.0, True, False
    court.hold(25 * 60, 300)
    assert court.told("DbarchitectActionsStopped") == [{"severity": "warning"}]
