"""Faults of the replica: it falls behind, or dies."""

from __future__ import annotations

from actions.scratch.errors import ScratchError
from daemon.demo.faults.model import CannotBreak, Held, Sign, fault, need_replica
from daemon.demo.servers import Servers


@fault(
    "lag",
    "the replica receives, and no longer replays: who reads there reads the past",
    Sign("shop-replica", "replay_paused"),
    Sign("shop-primary", "lag_bytes"),
    Sign("shop-replica", "lag_seconds"),
)
async def lag(servers: Servers) -> Held:
    """Pause replay."""
    need_replica(servers)
    await servers.replica.psql("SELECT pg_wal_replay_pause()")
    yield "replay is paused on the replica"
    if servers.replica.running:
        await servers.replica.psql("SELECT pg_wal_replay_resume()")


@fault(
    "replica-down",
    "kill -9 for the replica; its slot keeps the write-ahead log on the primary",
    Sign("shop-replica", "up"),
    Sign("shop-primary", "slot_bytes"),
)
async def replica_down(servers: Servers) -> Held:
    """Kill the replica."""
    need_replica(servers)
    await servers.replica.kill()
    yield "the replica was killed"
    try:
        await servers.replica.start()
    except ScratchError as error:
        raise CannotBreak(f"the replica does not start any more: {error}") from error
