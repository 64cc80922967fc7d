"""Everything that can be broken in the demo, by name."""

from __future__ import annotations

from daemon.demo.faults.disk import disk_full
from daemon.demo.faults.model import CannotBreak, Fault, Held, Sign
from daemon.demo.faults.replica import lag, replica_down
from daemon.demo.faults.sessions import connection_flood, idle_in_transaction, slow_query
from daemon.demo.faults.tables import bloat, missing_index
from daemon.demo.faults.waiting import deadlock, lock_pile_up

__all__ = ["FAULTS", "CannotBreak", "Fault", "Held", "Sign"]

_ALL = (
    bloat,
    connection_flood,
    deadlock,
    disk_full,
    idle_in_transaction,
    lag,
    lock_pile_up,
    missing_index,
    replica_down,
    slow_query,
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""Faults by name, in the order of the alphabet."""
