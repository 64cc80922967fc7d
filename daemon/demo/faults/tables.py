"""Faults in tables: dead rows that nobody clears, an index that is gone."""

from __future__ import annotations

import asyncpg

from daemon.demo.faults.model import Held, Sign, fault
from daemon.demo.servers import Servers
from daemon.demo.workload import session

_ROUNDS = 3
_TIMEOUT = "SET lock_timeout = '10s'"
INDEX = "idx_order_items_order_id"


@fault(
    "bloat",
    "autovacuum is off for order_items, and its rows are updated three times over",
    Sign("shop-primary", "dead_tuples"),
    Sign("shop-primary", "dead_share"),
)
async def bloat(servers: Servers) -> Held:
    """Fill order_items with dead rows."""
    dsn = servers.shop_dsn(servers.primary)
    async with session(dsn, "demo-bloat") as connection:
        await connection.execute(_TIMEOUT)
        await connection.execute("ALTER TABLE order_items SET (autovacuum_enabled = off)")
        for _ in range(_ROUNDS):
            await connection.execute("UPDATE order_items SET quantity = quantity")
    yield f"autovacuum of order_items is off, and each of its rows was updated {_ROUNDS} times"
    async with session(dsn, "demo-heal") as connection:
        await connection.execute(_TIMEOUT)
        await connection.execute("ALTER TABLE order_items RESET (autovacuum_enabled)")
        try:
            await connection.execute("VACUUM (FULL, ANALYZE) order_items")
        except asyncpg.LockNotAvailableError:
            # Another fault holds the table: what can be freed without locking it is freed.
            await connection.execute("VACUUM (ANALYZE) order_items")


@fault(
    "missing-index",
    f"{INDEX} is dropped: reading the items of an order scans the whole table",
    Sign("shop-primary", "rows_scanned"),
)
async def missing_index(servers: Servers) -> Held:
    """Drop an index that the shop needs."""
    dsn = servers.shop_dsn(servers.primary)
    async with session(dsn, "demo-missing-index") as connection:
        await connection.execute(_TIMEOUT)
        await connection.execute(f"DROP INDEX IF EXISTS {INDEX}")
    yield f"{INDEX} is gone"
    async with session(dsn, "demo-heal") as connection:
        await connection.execute(_TIMEOUT)
        await connection.execute(f"CREATE INDEX IF NOT EXISTS {INDEX} ON order_items (order_id)")
