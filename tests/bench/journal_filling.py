"""Fills a store with executions that are over: by the store's own writer, many in one transaction.

Its rows go to the database many at a time, and a text that comes again is not searched for secrets again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any
from unittest import mock

import sqlalchemy as sa
from sqlalchemy import Connection, Executable

from actions.model import Scope, State
from collectors.secret import redact
from daemon.store import masking
from daemon.store.book import Book
from daemon.store.rows import row_of
from daemon.store.store import SqlStore
from daemon.store.tables import execution
from tests.bench.journal_lines import RECORDS, execution_of, records_of

_TRANSACTION = 500
"""Executions of one transaction."""
_EXECUTION = sa.insert(execution)
_EVERY_SECONDS = 300.0
"""Between two executions."""


async def fill(store: SqlStore, records: int) -> int:
    """Write about so many records; return how many bytes the store takes then."""
    count = max(1, records // RECORDS)
    began = time.time() - count * _EVERY_SECONDS
    with mock.patch.object(masking, "redact", lru_cache(10_000)(redact)):
        for first in range(0, count, _TRANSACTION):
            numbers = range(first, min(first + _TRANSACTION, count))
            await store._runner.write(partial(_write, numbers=numbers, began=began))
    return await store._runner.read(_size)


class _Gathering:
    """Stands before a connection: keeps rows until they are sent, all of one statement at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[Executable, list[dict[str, Any]]] = {}

    def execute(self, statement: Executable, row: dict[str, Any]) -> None:
        self._rows.setdefault(statement, []).append(row)

    def send(self) -> Connection:
        for statement, rows in self._rows.items():
            self._connection.execute(statement, rows)
        return self._connection


def _write(book: Book, numbers: Sequence[int], began: float) -> None:
    book.lock()
    gathering: Any = _Gathering(book.connection)
    book.connection = gathering
    for number in numbers:
        # Scopes of the past recur; those that were claimed are over.
        at = began + number * _EVERY_SECONDS
        one = execution_of(
            f"past{number}", State.SUCCEEDED, at, Scope(cluster="bench", part=f"t{number % 50}")
        )
        row = row_of(replace(one, epoch=1), at) | {"claimed": at + 1.0, "since": at + 120.0}
        book.connection.execute(_EXECUTION, row)
        for line in records_of(one):
            book.append(line)
    book.connection = gathering.send()


def _size(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.execute(sa.text("select pg_database_size(current_database())")).scalar_one())
    pages, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in ("page_count", "page_size")
    )
    return pages * size
