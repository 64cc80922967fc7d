"""What happens in the shop: visitors browse, orders are made, paid and shipped; a clock tidies up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

from daemon.demo.servers import Servers

CLERKS = 4
VISITORS = 2
ORDERS_KEPT = 60_000
REFRESH_SECONDS = 20.0
_PAUSE = 0.05
_RETRY = 0.5
_WORDS = ("lamp", "chair", "novel", "hammer", "kettle", "record", "ball", "red", "green", "old")
UNAVAILABLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # The driver has read a dying server's last words, and not yet the end of the stream.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a server gives that is down, full, blocked, restarting or just being killed."""

_Day = Callable[["asyncpg.Connection"], Awaitable[None]]

_ITEM = """
INSERT INTO order_items (order_id, product_id, product_name, product_price, quantity, subtotal)
SELECT $1, id, name, price, $3::int, price * $3::int FROM products WHERE id = $2
"""
_QUEUE = """
UPDATE orders SET status = $2, updated_at = now()
WHERE id = (SELECT id FROM orders WHERE status = $1 AND created_at > now() - interval '1 hour'
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
"""


async def run_workload(servers: Servers) -> None:
    """Keep the shop busy until cancelled; whatever goes wrong at a server is tried again."""
    primary, replica = servers.shop_dsn(servers.primary), servers.shop_dsn(servers.replica)
    async with asyncio.TaskGroup() as group:
        for number in range(CLERKS):
            group.create_task(_keep_on(primary, f"shop-clerk-{number + 1}", _sell))
        for number in range(VISITORS):
            group.create_task(_keep_on(replica, f"shop-visitor-{number + 1}", _browse))
        group.create_task(_keep_on(primary, "shop-clock", _tidy))


@contextlib.asynccontextmanager
async def session(dsn: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection that is cut, not closed, at the end: the server may not answer by then."""
    connection = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": name})
    try:
        yield connection
    finally:
        connection.terminate()


async def _keep_on(dsn: str, name: str, work: _Day) -> None:
    while True:
        with contextlib.suppress(*UNAVAILABLE):
            async with session(dsn, name) as connection:
                while True:
                    await work(connection)
        await asyncio.sleep(_RETRY)


async def _sell(connection: asyncpg.Connection) -> None:
    await _search(connection)
    order = await _order(connection)
    await _breathe()
    await connection.fetch("SELECT product_name, subtotal FROM order_items WHERE order_id = $1", order)
    await _breathe()
    await connection.execute(_QUEUE, "pending", "processing")
    await _breathe()
    await connection.execute(_QUEUE, "processing", "shipped")
    await _breathe()


async def _order(connection: asyncpg.Connection) -> int:
    # In the order of their ids: two orders of the same products then never wait for each other in a ring.
    products = sorted(random.sample(range(1, 501), random.randint(1, 3)))
    async with connection.transaction():
        order: int = await connection.fetchval(
            "INSERT INTO orders (user_id, user_created_at, total_amount) "
            "SELECT id, created_at, $2 FROM users WHERE id = $1 RETURNING id",
            random.randint(1, 5000), random.randint(10, 300),
        )  # fmt: skip
        for product in products:
            quantity = random.randint(1, 3)
            await connection.execute(_ITEM, order, product, quantity)
            await connection.execute(
                "UPDATE products SET stock_quantity = CASE WHEN stock_quantity < $2::int THEN 1000 "
                "ELSE stock_quantity - $2::int END, updated_at = now() WHERE id = $1",
                product, quantity,
            )  # fmt: skip
    return order


async def _browse(connection: asyncpg.Connection) -> None:
    await _search(connection)
    await connection.fetch(
        "SELECT o.id, o.created_at, o.total_amount FROM orders o WHERE o.user_id = $1 "
        "ORDER BY o.created_at DESC LIMIT 20",
        random.randint(1, 5000),
    )
    await _breathe()


async def _search(connection: asyncpg.Connection) -> None:
    await connection.fetch(
        "SELECT id, name, price FROM products WHERE search_vector @@ to_tsquery('english', $1) LIMIT 20",
        random.choice(_WORDS),
    )
    await _breathe()
    await connection.fetch(
        "SELECT id, name, price, stock_quantity FROM products WHERE category_id = $1 ORDER BY price LIMIT 20",
        random.randint(1, 10),
    )
    await _breathe()


async def _tidy(connection: asyncpg.Connection) -> None:
    await asyncio.sleep(REFRESH_SECONDS)
    await connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales")
    # Whoever leaves the demo running overnight should not find a full disk.
    await connection.execute(f"DELETE FROM orders WHERE id <= (SELECT max(id) - {ORDERS_KEPT} FROM orders)")


async def _breathe() -> None:
    await asyncio.sleep(random.uniform(0, 2 * _PAUSE))
