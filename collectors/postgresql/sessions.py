"""The sessions we hold on one server: one in each database, never more than a few."""

from __future__ import annotations

import time
from collections import OrderedDict

from collectors.backoff import Backoff
from collectors.errors import BadCredentials, Busy, CollectError, Unreachable, WrongPassword
from collectors.postgresql.choice import Wants
from collectors.postgresql.client import NOTHING_MORE, PostgresSession, connect
from collectors.postgresql.options import PostgresOptions

FREE_MIN = 5
"""With fewer free slots for ordinary users no further session is opened."""

_FREE = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
  - coalesce(current_setting('reserved_connections', true)::int, 0)
  - (select count(*)::int from pg_catalog.pg_stat_activity where backend_type = 'client backend') as free
"""


class Sessions:
    """Opens sessions when they are needed, keeps them, and closes the one longest unused for another."""

    def __init__(self, options: PostgresOptions, wants: Wants = NOTHING_MORE) -> None:
        self._options = options
        self._wants = wants
        self._main: PostgresSession | None = None
        self._others: OrderedDict[str, PostgresSession] = OrderedDict()
        self._in_use: set[str] = set()
        self._backoff = Backoff()
        self._last_error: CollectError | None = None
        self._closed: dict[str, tuple[Backoff, CollectError]] = {}
        """Databases that could not be entered, though the main one could."""

    @property
    def count(self) -> int:
        """Return how many sessions are open."""
        return sum(not one.closed for one in (self._main, *self._others.values()) if one is not None)

    @property
    def main(self) -> PostgresSession | None:
        """Return the session in the target's own database, if it is open."""
        return self._main if self._main is not None and not self._main.closed else None

    async def get_main(self) -> PostgresSession:
        """Return the main session, connecting when there is none; raise CollectError.

        Between attempts the last error is raised again, without asking the server.
        """
        if self.main is not None:
            return self.main
        self._wait()
        await self.close_others()
        self._closed.clear()
        try:
            self._main = await connect(self._options, self._options.dbname, self._wants)
        except CollectError as error:
            self._failed(error)
            raise
        except (TimeoutError, BaseException) as error:
            self._failed(Unreachable(f"{self._options.address}: no answer to the connection attempt"))
            raise error from None
        self._backoff.succeeded()
        self._last_error = None
        return self._main

    async def get(self, database: str) -> PostgresSession:
        """Return the session in a database, the main one when it is that; raise CollectError."""
        if database in ("", self._options.dbname):
            return await self.get_main()
        session = self._others.get(database)
        if session is not None and not session.closed:
            self._others.move_to_end(database)
            return session
        self._others.pop(database, None)
        main = await self.get_main()
        self._wait(database)
        room = self._options.sessions_max - 1
        if room < 1:
            raise Busy(
                f"{self._options.address}: sessions_max leaves no session for the database {database!r}"
            )
        while len(self._others) >= room:
            _, oldest = self._others.popitem(last=False)
            await oldest.close()
        free = (await main.fetch(_FREE))[0]["free"] if not main.facts.pooled else FREE_MIN
        if free < FREE_MIN:
            raise Busy(f"{self._options.address}: only {free} free sessions are left, not taking one of them")
        return await self._enter(database)

    async def drop_main(self) -> None:
        """End the main session, for instance after it stopped answering."""
        if self._main is not None:
            await self._main.close()
            self._main = None

    async def close_others(self) -> None:
        """End the sessions in other databases."""
        while self._others:
            _, session = self._others.popitem()
            await session.close()

    async def close(self) -> None:
        """End all sessions."""
        await self.close_others()
        await self.drop_main()

    async def _enter(self, database: str) -> PostgresSession:
        try:
            session = await connect(self._options, database, self._wants)
        except WrongPassword as error:
            # It was changed since the main session began: trying it in every database could lock the role.
            self._failed(error)
            raise
        except CollectError as error:
            backoff, _ = self._closed.get(database) or (Backoff(), error)
            backoff.failed(time.monotonic(), refused=isinstance(error, BadCredentials))
            self._closed[database] = (backoff, error)
            raise
        self._backoff.succeeded()
        self._last_error = None
        self._closed.pop(database, None)
        self._others[database] = session
        return session

    def _wait(self, database: str = "") -> None:
        """Raise the last error again while it is too early for another attempt."""
        now = time.monotonic()
        if not self._backoff.ready(now):
            raise self._last_error or Unreachable(f"{self._options.address}: waiting before the next attempt")
        backoff, error = self._closed.get(database, (None, None))
        if backoff is not None and error is not None and not backoff.ready(now):
            raise error

    def _failed(self, error: CollectError) -> None:
        self._last_error = error
        self._backoff.failed(time.monotonic(), refused=isinstance(error, BadCredentials))
