"""Faults of clients: transactions left open, too many connections, a query without an end."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg

from daemon.demo.faults.model import Held, Sign, fault
from daemon.demo.servers import Servers
from daemon.demo.workload import UNAVAILABLE, session

_IDLE = 3
_LEFT_FREE = 3
_LEFT = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int - count(*)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_REPORT = """
SELECT o.status, sum(i.subtotal), (SELECT pg_sleep(86400))
FROM orders o JOIN order_items i ON i.order_id = o.id
GROUP BY o.status
"""


@fault(
    "idle-in-transaction",
    "three reports begin a transaction, read, and never end it: nothing newer can be vacuumed",
    Sign("shop-primary", "idle_in_transaction"),
    Sign("shop-primary", "oldest_transaction"),
)
async def idle_in_transaction(servers: Servers) -> Held:
    """Leave transactions open, with their snapshot."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(_IDLE):
            client = session(servers.shop_dsn(servers.primary), f"demo-forgotten-{number + 1}")
            connection = await stack.enter_async_context(client)
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await connection.fetch("SELECT count(*) FROM categories")
        yield f"{_IDLE} transactions are open and idle"


@fault(
    "connection-flood",
    "clients without a pool take nearly all of max_connections",
    Sign("shop-primary", "connections"),
)
async def connection_flood(servers: Servers) -> Held:
    """Take nearly every connection that is left for ordinary users."""
    async with contextlib.AsyncExitStack() as stack:
        left = int(await servers.primary.psql(_LEFT))
        for number in range(left - _LEFT_FREE):
            client = session(servers.shop_dsn(servers.primary), f"demo-flood-{number + 1}")
            await stack.enter_async_context(client)
        yield f"{left - _LEFT_FREE} more connections are open, {_LEFT_FREE} are left"


@fault(
    "slow-query",
    "a report runs, and runs, and runs",
    Sign("shop-primary", "longest_query"),
    Sign("shop-primary", "oldest_transaction"),
)
async def slow_query(servers: Servers) -> Held:
    """Start a query that does not end by itself."""
    async with (
        session(servers.shop_dsn(servers.primary), "demo-report") as connection,
        asyncio.TaskGroup() as group,
    ):
        pid = connection.get_server_pid()
        query = group.create_task(_run(connection))
        yield f"a report runs in process {pid} and will take a day"
        await servers.primary.psql(f"SELECT pg_cancel_backend({pid})")
        await query


async def _run(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(*UNAVAILABLE):
        await connection.execute(_REPORT)
