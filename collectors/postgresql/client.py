"""The only module that speaks to PostgreSQL servers: sessions that cannot hurt them.

A session is read-only, waits for no lock longer than `lock_timeout`, bounds every statement, and has
nothing but `pg_catalog` in its search path. Driver errors become `CollectError`s here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import asyncpg

from collectors import errors
from collectors.postgresql import tls
from collectors.postgresql.choice import Wants
from collectors.postgresql.facts import Facts
from collectors.postgresql.learn import learn
from collectors.postgresql.options import PostgresOptions
from collectors.secret import Secret, redact
from collectors.secret_ref import SecretError

APPLICATION_NAME = "database-architect"
STATEMENT_TIMEOUT_SECONDS = 5.0
LONG_TIMEOUT_SECONDS = 30.0
"""For probes that may take longer than the ordinary ones."""
RECOVER_SECONDS = 2.0
NOTHING_MORE = Wants()


@dataclass(frozen=True, slots=True)
class Asking:
    """How the probe that runs in this task wants its statements treated."""

    within_seconds: float = STATEMENT_TIMEOUT_SECONDS
    """The server's own timeout follows the probe's deadline."""
    kept: bool = True
    """Whether statements stay prepared: worth their memory, kilobytes each, when they come often."""


asking: ContextVar[Asking] = ContextVar("asking", default=Asking())  # noqa: B039 - it cannot be changed
_UNSUPPORTED_STARTUP = ("08P01", "0A000")


def _settings(options: PostgresOptions) -> dict[str, str]:
    return {
        "application_name": APPLICATION_NAME,
        "default_transaction_read_only": "on",
        "search_path": "pg_catalog",
        "statement_timeout": str(int(STATEMENT_TIMEOUT_SECONDS * 1000)),
        "lock_timeout": str(options.lock_timeout_ms),
        "idle_in_transaction_session_timeout": "10000",
        "jit": "off",
        # What somebody may have set for our role: a serializable transaction fails on a replica, a
        # deferrable one waits for others, and without standard strings our SQL means something else.
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        "standard_conforming_strings": "on",
        "DateStyle": "ISO",
        "extra_float_digits": "1",
    }


class PostgresSession:
    """One session in one database; statements of several callers go one after the other."""

    def __init__(
        self,
        connection: asyncpg.Connection[Any],
        options: PostgresOptions,
        facts: Facts,
        wants: Wants = NOTHING_MORE,
    ) -> None:
        self._connection = connection
        self._options = options
        self._wants = wants
        self._statements: dict[str, asyncpg.prepared_stmt.PreparedStatement[Any]] = {}
        self._numbers = itertools.count(1)
        self._timeout_seconds = STATEMENT_TIMEOUT_SECONDS
        self._turn = asyncio.Lock()
        self._interrupted = False
        self.took_seconds = 0.0
        """What the last statement took, without the wait for others of ours."""
        self.facts = facts

    @property
    def closed(self) -> bool:
        """Tell whether the session is gone."""
        return self._connection.is_closed()

    @property
    def waits_for_others(self) -> bool:
        """Tell whether a statement of another caller is under way."""
        return self._turn.locked() and not self._interrupted

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:  # noqa: ANN401 - a parameter can be anything
        """Return the rows of one statement; raise CollectError."""
        async with self._turn:
            began = time.monotonic()
            with translated(self._options):
                try:
                    return await self._fetch(sql, args)
                except asyncio.CancelledError:
                    self._interrupted = True  # the driver has asked the server to cancel
                    raise
                except UnicodeDecodeError:
                    # Names in shared catalogs come in the encoding of whichever database made them.
                    await _take_any_text(self._connection)
                    self._statements.clear()
                    return await self._fetch(sql, args)
                finally:
                    self.took_seconds = time.monotonic() - began

    async def relearn(self, *, anew: bool = False) -> None:
        """Ask again what the server offers, and forget prepared statements; `anew` believes no other."""
        async with self._turn:
            with translated(self._options):
                pooled = self.facts.pooled
                try:
                    async with _short_transaction(self._connection, self._options, on=pooled):
                        self.facts = await learn(
                            self._connection,
                            pooled=pooled,
                            relations=self._wants.relations,
                            settings=self._wants.settings,
                            anew=anew,
                        )
                except asyncio.CancelledError:
                    self._interrupted = True
                    raise
        self._statements.clear()

    async def recover(self) -> None:
        """After a deadline: make sure that the server has let go, or end the session."""
        if not self._interrupted:
            return
        try:
            async with asyncio.timeout(RECOVER_SECONDS), self._turn:
                await self._connection.execute("rollback" if self.facts.pooled else "select 1")
        except (Exception, TimeoutError):  # noqa: BLE001 - whatever it is, the session is not to be trusted
            self._connection.terminate()
        self._interrupted = False

    async def close(self) -> None:
        """End the session; never raises, never waits long."""
        try:
            async with asyncio.timeout(RECOVER_SECONDS):
                await self._connection.close()
        except (Exception, TimeoutError):  # noqa: BLE001 - it is going away in any case
            self._connection.terminate()

    async def _fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Any]:
        how = asking.get()
        # Two steps, not one for each deadline: the client's own deadline cancels in time, this is for
        # the day when the client is gone.
        short = how.within_seconds <= STATEMENT_TIMEOUT_SECONDS
        seconds = STATEMENT_TIMEOUT_SECONDS if short else max(LONG_TIMEOUT_SECONDS, how.within_seconds)
        if self.facts.pooled:
            async with _short_transaction(self._connection, self._options, seconds):
                return await self._connection.fetch(sql, *args)
        if seconds != self._timeout_seconds:
            await self._connection.execute(f"set statement_timeout = {int(seconds * 1000)}")
            self._timeout_seconds = seconds
        if not how.kept:
            return await self._connection.fetch(sql, *args)
        statement = self._statements.get(sql)
        if statement is None:
            # Without a name of its own the driver would have it parsed and planned anew each time.
            name = f"dbarchitect_{next(self._numbers)}"
            statement = self._statements[sql] = await self._connection.prepare(sql, name=name)
        return await statement.fetch(*args)


async def connect(options: PostgresOptions, database: str, wants: Wants = NOTHING_MORE) -> PostgresSession:
    """Open a session; raise CollectError. The caller sets the deadline."""
    with translated(options):
        password = options.password.resolve() if options.password else None
        context = tls.tls_context(options)
        pooled = False
        try:
            connection = await _open(options, database, password, context, _settings(options))
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _UNSUPPORTED_STARTUP or "startup parameter" not in str(error):
                raise
            # pgBouncer refuses startup parameters that it does not track.
            pooled = True
            settings = {"application_name": APPLICATION_NAME}
            connection = await _open(options, database, password, context, settings)
        try:
            pooled = pooled or await _settings_were_ignored(connection, options)
            async with _short_transaction(connection, options, on=pooled):
                facts = await learn(
                    connection, pooled=pooled, relations=wants.relations, settings=wants.settings
                )
            await _survive_bad_text(connection, facts)
        except BaseException:
            connection.terminate()
            raise
    return PostgresSession(connection, options, facts, wants)


async def _open(
    options: PostgresOptions,
    database: str,
    password: Secret | None,
    context: tls.TlsArgument,
    settings: dict[str, str],
) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        host=options.host,
        port=options.port,
        user=options.user,
        # An empty password keeps the driver from looking into PGPASSWORD and ~/.pgpass.
        password=password.reveal() if password else "",
        database=database,
        ssl=context,
        server_settings=settings,
        statement_cache_size=0,
        timeout=60,
        command_timeout=None,
    )


async def _settings_were_ignored(connection: asyncpg.Connection[Any], options: PostgresOptions) -> bool:
    """Tell whether something between us and the server swallowed our settings."""
    async with connection.transaction(readonly=True):
        seen = await connection.fetchval(
            "select (extract(epoch from pg_catalog.current_setting('lock_timeout')::interval) * 1000)::int4"
        )
    return bool(seen != options.lock_timeout_ms)


@contextlib.asynccontextmanager
async def _short_transaction(
    connection: asyncpg.Connection[Any],
    options: PostgresOptions,
    seconds: float = STATEMENT_TIMEOUT_SECONDS,
    *,
    on: bool = True,
) -> AsyncIterator[None]:
    """Keep a pooler on one server connection, with our settings, for one statement."""
    if not on:
        yield
        return
    await connection.execute(
        "begin isolation level read committed, read only, not deferrable;"
        " set local search_path = pg_catalog; set local jit = off;"
        " set local standard_conforming_strings = on;"
        f" set local statement_timeout = {int(seconds * 1000)};"
        f" set local lock_timeout = {options.lock_timeout_ms}"
    )
    try:
        yield
    except asyncpg.PostgresError:
        await connection.execute("rollback")
        raise
    await connection.execute("commit")


async def _survive_bad_text(connection: asyncpg.Connection[Any], facts: Facts) -> None:
    """In a database without an encoding any bytes can be a name: do not fail on them."""
    if facts.settings.get("server_encoding") != "SQL_ASCII":
        return
    # Asked for UTF-8, the server would refuse to send what is not UTF-8.
    await connection.execute("set client_encoding = 'SQL_ASCII'")
    await _take_any_text(connection)


async def _take_any_text(connection: asyncpg.Connection[Any]) -> None:
    for name in ("text", "varchar", "name"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=str.encode,
            decoder=lambda data: bytes(data).decode("utf-8", "replace"),
            format="binary",
        )


@contextlib.contextmanager
def translated(options: PostgresOptions) -> Any:  # noqa: ANN401 - a context manager
    """Turn what the driver raises into CollectErrors, with the place named and secrets masked."""
    try:
        yield
    except (errors.CollectError, asyncio.CancelledError):
        raise
    except SecretError as error:
        raise errors.BadCredentials(f"{options.address}: {error}") from None
    except asyncpg.PostgresError as error:
        kind = _kind(error.sqlstate or "", str(error), options)
        raise kind(f"{options.address}: {_sentence(error)}") from None
    except ssl.SSLError as error:
        raise errors.TlsFailed(f"{options.address}: {tls.sentence(error)}") from None
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError, EOFError) as error:
        raise _lost(options, error) from None
    except (TimeoutError, ValueError, TypeError) as error:
        raise errors.CollectError(
            f"{options.address}: {redact(str(error) or type(error).__name__)}"
        ) from None


_BY_STATE: dict[str, type[errors.CollectError]] = {
    "28P01": errors.WrongPassword,
    "28000": errors.BadCredentials,
    "3D000": errors.Unreachable,
    "42501": errors.NotAllowed,
    "55P03": errors.Locked,
    "57014": errors.TimedOut,
    "53300": errors.Busy,
    "57P01": errors.Unreachable,
    "57P02": errors.Unreachable,
    "57P03": errors.Unreachable,
    "42703": errors.NotSupported,
    "42P01": errors.NotSupported,
    "42883": errors.NotSupported,
    "0A000": errors.NotSupported,
    "3F000": errors.NotSupported,
    "55000": errors.NotSupported,
}


def _kind(state: str, text: str, options: PostgresOptions) -> type[errors.CollectError]:
    # SQLSTATE only: the text comes in the server's language. The one exception is a server that
    # wants TLS where we offer none, which shares its state with every other line of pg_hba.conf.
    plain = options.tls_mode == "disable" and not options.on_socket
    if state == "28000" and plain and "no encryption" in text:
        return errors.TlsFailed
    if state.startswith("08"):
        return errors.Unreachable
    return _BY_STATE.get(state, errors.CollectError)


def _sentence(error: asyncpg.PostgresError) -> str:
    text = redact(str(error).strip())
    return f"{text} (SQLSTATE {error.sqlstate})"


def _lost(options: PostgresOptions, error: BaseException) -> errors.CollectError:
    text = redact(str(error) or type(error).__name__)
    if isinstance(error, ssl.SSLError):
        return errors.TlsFailed(f"{options.address}: {tls.sentence(error)}")
    if "SSL" in text and "reject" in text:
        return errors.TlsFailed(f"{options.address}: the server offers no TLS, and tls.mode asks for it")
    return errors.Unreachable(f"{options.address}: {text}")
