"""Connections of a few threads: a whole transaction is handed over once, not each of its statements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")


class Threaded:
    """A `Door` to a driver that blocks. Whoever is cancelled leaves what it began to its thread."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def inside(self, work: Callable[[Connection], T]) -> T:
        """Do it in a thread while the loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._do, work)

    async def close(self) -> None:
        """Close all connections, once what was begun has ended."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _do(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return work(connection)
