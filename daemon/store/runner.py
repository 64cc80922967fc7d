"""Runs transactions: every one is done for certain, or not at all, or it is said that nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from actions.errors import StoreUnavailable
from daemon.store.book import Book, Head, Now, landed
from daemon.store.trouble import Trouble, understood

T = TypeVar("T")
READING = "reading"
"""Execution option of a transaction that writes nothing."""
_TRIES = 3
_PAUSE_SECONDS = 0.25


class Door(Protocol):
    """How a connection is come by."""

    async def inside(self, work: Callable[[Connection], T]) -> T:
        """Do something on a connection."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Inline:
    """A connection without any thread: the coroutine never waits. For simulations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def inside(self, work: Callable[[Connection], T]) -> T:
        """Do it here and now."""
        with self._engine.connect() as connection:
            return work(connection)

    async def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


class Looped:
    """Connections of the event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def inside(self, work: Callable[[Connection], T]) -> T:
        """Do it while the loop goes on."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class Runner:
    """Runs what reads and what writes; every failure is StoreUnavailable, or StoreDamaged."""

    def __init__(
        self, door: Door, now: Now, where: str, *, one_writer: bool, settle_seconds: float = 0.0
    ) -> None:
        """`settle_seconds`: how long to ask what became of a COMMIT that nobody answered."""
        self.where = where
        self.now = now
        self.head = Head()
        """The last end of the chain that was written here."""
        self._door = door
        self._turn = asyncio.Lock() if one_writer else contextlib.nullcontext()
        self._broken: StoreUnavailable | None = None
        self._settle_seconds = settle_seconds

    async def write(self, work: Callable[[Book], T]) -> T:
        """Run a transaction that writes; when this returns, it is on disk."""
        if self._broken is not None:
            raise self._broken
        async with self._turn:
            return await self._write(work)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """Run a transaction that only reads."""
        return await self._repeated(look, reading=True)

    async def prepare(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction that finds by itself what is left to do."""
        return await self._repeated(work, reading=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._door.close()

    async def _repeated(self, work: Callable[[Connection], T], *, reading: bool) -> T:
        def whole(connection: Connection) -> T:
            connection.execution_options(**{READING: reading})
            with connection.begin():
                return work(connection)

        for left in reversed(range(_TRIES)):
            try:
                return await self._door.inside(whole)
            except Exception as error:  # noqa: BLE001 - a driver may raise anything when it connects
                self._raise_unless_again(error, left)
        raise AssertionError  # pragma: no cover - the last try raises

    async def _write(self, work: Callable[[Book], T]) -> T:
        def whole(connection: Connection) -> _Done[T]:
            return _carry_out(connection, work, Book(connection, self.now, self.head))

        for left in reversed(range(_TRIES)):
            try:
                done = await self._door.inside(whole)
            except _EndNotSeen as lost:
                if not self._note(lost.cause).disk_broken and await self._landed(lost.done):
                    return self._kept(cast("_Done[T]", lost.done))
                self._raise_unless_again(lost.cause, left)
            except Exception as error:  # noqa: BLE001 - a driver may raise anything when it connects
                self._raise_unless_again(error, left)
            else:
                return self._kept(done)
        raise AssertionError  # pragma: no cover - the last try raises

    def _kept(self, done: _Done[T]) -> T:
        if done.first is not None:
            self.head = max(self.head, done.head, key=lambda head: head.seq)
        return done.result

    async def _landed(self, done: _Done[Any]) -> bool:
        """Look whether a transaction was committed; raise StoreUnavailable when that cannot be told."""
        first = done.first
        if first is None:
            # Only the lease: whoever renews it again does no harm.
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settle_seconds
        while True:
            try:
                return await self._door.inside(lambda connection: _look(connection, first))
            except Exception as error:
                if loop.time() >= until:
                    said = understood(error, self.where).error
                    raise StoreUnavailable(
                        f"{said}; whether record {first.seq} was written is not known"
                    ) from error
            await asyncio.sleep(_PAUSE_SECONDS)

    def _raise_unless_again(self, error: BaseException, left: int) -> None:
        trouble = self._note(error)
        if not trouble.again or not left:
            raise trouble.error from error

    def _note(self, error: BaseException) -> Trouble:
        trouble = understood(error, self.where)
        if trouble.disk_broken and isinstance(trouble.error, StoreUnavailable):
            self._broken = trouble.error
        return trouble


class _Done(Generic[T]):
    """What a transaction gave, and what it appended."""

    def __init__(self, result: T, book: Book) -> None:
        self.result = result
        self.first = book.first
        self.head = book.head


class _EndNotSeen(Exception):
    """COMMIT was sent, and no answer came that could be relied on."""

    def __init__(self, done: _Done[Any], cause: Exception) -> None:
        super().__init__()
        self.done = done
        self.cause = cause


def _carry_out(connection: Connection, work: Callable[[Book], T], book: Book) -> _Done[T]:
    transaction = connection.begin()
    try:
        result = work(book)
        book.close()
    except BaseException as error:
        _give_up(connection, transaction, error)
        raise
    done = _Done(result, book)
    if book.first is None and not book.changed:
        transaction.rollback()
        return done
    try:
        transaction.commit()
    except Exception as error:
        _give_up(connection, transaction, error)
        raise _EndNotSeen(done, error) from error
    return done


def _look(connection: Connection, first: Head) -> bool:
    with connection.begin():
        return landed(connection, first)


def _give_up(connection: Connection, transaction: sa.RootTransaction, error: BaseException) -> None:
    """Take everything back; a connection that does not do what it is told is thrown away."""
    try:
        if not isinstance(error, TimeoutError):
            transaction.rollback()
    except Exception:  # noqa: BLE001 - the first error is the one to tell
        connection.invalidate()
    else:
        if isinstance(error, TimeoutError) or understood(error, "").again:
            connection.invalidate()
