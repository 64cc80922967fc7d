"""Faults of locks: a queue behind one transaction, and clients that wait for each other."""

from __future__ import annotations

import asyncio
import contextlib

from daemon.demo.faults.model import Held, Sign, fault
from daemon.demo.servers import Servers
from daemon.demo.workload import UNAVAILABLE, session

_WAITERS = 5
_PAUSE = 1.0
_LOCK = "SELECT name FROM categories WHERE id = $1 FOR UPDATE"


@fault(
    "lock-pile-up",
    "a forgotten migration holds ACCESS EXCLUSIVE on orders: the shop and five reports queue behind it",
    Sign("shop-primary", "blocked"),
    Sign("shop-primary", "oldest_transaction"),
)
async def lock_pile_up(servers: Servers) -> Held:
    """Lock a table that everybody needs."""
    dsn = servers.shop_dsn(servers.primary)
    async with asyncio.TaskGroup() as group, session(dsn, "demo-migration") as holder:
        await holder.execute("SET lock_timeout = '10s'")
        await holder.execute("BEGIN")
        await holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        waiters = [group.create_task(_report(dsn, number + 1)) for number in range(_WAITERS)]
        yield f"process {holder.get_server_pid()} holds orders, {_WAITERS} reports and the shop wait for it"
        await holder.execute("ROLLBACK")
        await asyncio.wait(waiters, timeout=10)
        for waiter in waiters:
            waiter.cancel()


@fault(
    "deadlock",
    "two clients change the same two rows in opposite order, again and again",
    Sign("shop-primary", "deadlocks"),
)
async def deadlock(servers: Servers) -> Held:
    """Let two clients wait for each other until the server ends one of them."""
    dsn = servers.shop_dsn(servers.primary)
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(_lock_both(dsn, f"demo-deadlock-{first}", first, second))
            for first, second in ((1, 2), (2, 1))
        ]
        yield "two clients run into a deadlock about every two seconds"
        for client in clients:
            client.cancel()


async def _report(dsn: str, number: int) -> None:
    with contextlib.suppress(*UNAVAILABLE):
        async with session(dsn, f"demo-report-{number}") as connection:
            await connection.fetch("SELECT status, count(*) FROM orders GROUP BY status")


async def _lock_both(dsn: str, name: str, first: int, second: int) -> None:
    while True:
        with contextlib.suppress(*UNAVAILABLE):
            async with session(dsn, name) as connection, connection.transaction():
                await connection.fetch(_LOCK, first)
                await asyncio.sleep(_PAUSE / 2)
                await connection.fetch(_LOCK, second)
        await asyncio.sleep(_PAUSE)
