"""The only module that acts on PostgreSQL servers: direct sessions that wait for nobody's lock for long.

Driver errors become NotDone or OutcomeUnknown here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from actions.errors import NotDone, OutcomeUnknown
from actions.model import Identity
from actions.ports import Tag
from actions.postgresql import fence
from actions.postgresql.answers import not_connected, refused
from collectors import errors as seen
from collectors.postgresql import tls
from collectors.postgresql.options import PostgresOptions
from collectors.secret import Secret, redact
from collectors.secret_ref import SecretError, SecretRef

CONNECT_SECONDS = 10.0
READ_SECONDS = 5.0
LOCK_SECONDS = 0.5
LATE_SECONDS = 5.0
"""How long after the server's own timeout we wait for it to say so."""
LET_GO_SECONDS = 10.0
"""How long a cancelled statement may take to end before the session is dropped."""
ORPHAN_SECONDS = 5.0
"""After so long a server notices that the client of a running statement is gone (14 and later)."""

# Whoever waits for a lock as long as deadlock_timeout makes the server cancel the autovacuum that holds it.
_BEFORE_DEADLOCK = 0.8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who acts; the watching role must not be able to."""

    user: str
    password: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a server said besides its answer."""

    severity: str
    """WARNING, NOTICE, INFO, ... in English."""
    sqlstate: str
    message: str
    """In the server's language."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a statement that has an effect."""

    rows: Sequence[Any]
    notices: Sequence[Notice]


class PostgresActing:
    """One direct session in one database; statements go one after the other."""

    def __init__(
        self,
        connection: asyncpg.Connection[Any],
        options: PostgresOptions,
        credentials: Credentials | None,
        database: str,
        tag: Tag,
    ) -> None:
        self._connection = connection
        self._options = options
        self._credentials = credentials
        self._turn = asyncio.Lock()
        self._timeouts = (READ_SECONDS, LOCK_SECONDS)
        self._notices: list[Notice] = []
        self._fence: fence.Key | None = None
        self.database = database
        self.tag = tag
        self.pid = connection.get_server_pid()
        self._lock_most = LOCK_SECONDS
        self.version_num = 0
        """`server_version_num`, e.g. 150017."""
        self.read_only = credentials is None
        """It has the watching role, plans, and cannot have an effect."""
        connection.add_log_listener(self._heard)

    @property
    def address(self) -> str:
        """Return host:port/database, for messages."""
        return f"{self._options.address.rpartition('/')[0]}/{self.database}"

    @property
    def closed(self) -> bool:
        """Tell whether the session is gone."""
        return self._connection.is_closed()

    async def identity(self) -> Identity:
        """Say which server, database and role this is, asked now; `system` needs pg_monitor."""
        row = (await self.fetch(_IDENTITY))[0]
        return Identity(
            system=await self._system(),
            timeline=row["timeline"] or 0,
            role="replica" if row["in_recovery"] else "primary",
            database=row["database"],
            database_id=row["oid"],
        )

    async def fence(self, scope: str, within_seconds: float) -> None:
        """Hold the scope's fence until this session ends; raise Fenced, NotDone or OutcomeUnknown."""
        self._fence = await fence.take(self, scope, within_seconds)

    async def fenced(self) -> bool:
        """Tell whether the fence is still held by this very session, asked now."""
        return self._fence is not None and not self.closed and await fence.held(self, self._fence)

    async def fetch(self, sql: str, *args: Any, within: float = READ_SECONDS) -> Sequence[Any]:  # noqa: ANN401
        """Return the rows of one statement that can be rolled back, or only reads.

        A timeout of the server is NotDone: it has rolled back. A lost connection is OutcomeUnknown.
        """
        return await self._ask(sql, args, within, LOCK_SECONDS, transactional=True)

    async def run(
        self,
        sql: str,
        *args: Any,  # noqa: ANN401 - a parameter can be anything
        within: float,
        lock_timeout: float = LOCK_SECONDS,
    ) -> Ran:
        """Do one statement outside of a transaction block, and return what the server said.

        Cancelling the task asks the server to cancel it and waits until it has. A timeout of whatever kind is
        OutcomeUnknown; a lock that is not to be had is NotDone, again.
        """
        if self.read_only:  # VACUUM and some others would run all the same
            raise NotDone(f"{self.address}: this session only looks: the target has no `act` credentials")
        self._notices.clear()
        rows = await self._ask(sql, args, within, lock_timeout, transactional=False)
        await asyncio.sleep(0)  # the driver hands notices over in the loop's next round
        return Ran(rows, tuple(self._notices))

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Set parameters for the rest of this session."""
        for name, value in settings.items():
            await self.fetch("select pg_catalog.set_config($1, $2, false)", name, value)

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[PostgresActing]:
        """Open a second session in the same database, to look on while this one works."""
        async with connect(self._options, self._credentials, self.database, self.tag) as other:
            yield other

    def libpq(self) -> tuple[dict[str, str], Secret | None]:
        """Return the environment in which a program of libpq gets here as the same role, and its password."""
        options, tls_ = self._options, self._options.tls
        who = self._credentials or Credentials(user=options.user, password=options.password)
        environment = {
            "PGHOST": options.host,
            "PGPORT": str(options.port),
            "PGUSER": who.user,
            "PGDATABASE": self.database,
            "PGAPPNAME": fence.application_name(self.tag),
            "PGSSLMODE": options.tls_mode,
            "PGCONNECT_TIMEOUT": str(int(CONNECT_SECONDS)),
        }
        files = {"PGSSLROOTCERT": tls_.ca_file, "PGSSLCERT": tls_.cert_file, "PGSSLKEY": tls_.key_file}
        environment |= {name: path for name, path in files.items() if path}
        return environment, who.password.resolve() if who.password else None

    async def close(self) -> None:
        """End the session; never raises, never waits long."""
        try:
            async with asyncio.timeout(2):
                await self._connection.close()
        except Exception:  # noqa: BLE001 - it is going away in any case
            self._connection.terminate()

    async def check_direct(self) -> None:
        """Raise NotDone unless nothing stands between us and the server; learn its version."""
        row = (await self.fetch(_DIRECT))[0]
        if row["pid"] != self.pid or row["lock_timeout"] != int(LOCK_SECONDS * 1000):
            raise NotDone(
                f"{self.address}: a pooler stands between us and the server, so a fence would not hold; "
                "name the server itself as this target's host and port"
            )
        self.version_num = row["version_num"]
        self._lock_most = row["deadlock_timeout"] / 1000 * _BEFORE_DEADLOCK
        with contextlib.suppress(NotDone):  # some platforms cannot tell that a client is gone
            await self.fetch(_NOTICE_ORPHANS, str(int(ORPHAN_SECONDS * 1000)))

    async def _system(self) -> str:
        try:
            return str((await self.fetch(_SYSTEM))[0]["id"])
        except NotDone:
            return ""

    async def _ask(
        self, sql: str, args: tuple[Any, ...], within: float, lock_timeout: float, *, transactional: bool
    ) -> Sequence[Any]:
        async with self._turn:
            if self.closed:
                raise NotDone(f"{self.address}: the session is gone", again=True)
            await self._bound(within, lock_timeout)
            try:
                # Always the extended protocol: it takes one statement and no more.
                return await self._waiting(self._connection.fetch(sql, *args), within + LATE_SECONDS)
            except asyncpg.PostgresError as error:
                raise refused(self.address, error.sqlstate or "", str(error), transactional) from None
            except TimeoutError:
                raise OutcomeUnknown(f"{self.address}: no answer within {within:g} s") from None
            except _LOST as error:
                text = redact(str(error) or type(error).__name__)
                raise OutcomeUnknown(f"{self.address}: the connection was lost: {text}") from None
            except (ValueError, TypeError) as error:
                raise NotDone(f"{self.address}: {redact(str(error))}") from None

    async def _bound(self, within: float, lock_timeout: float) -> None:
        lock_timeout = min(lock_timeout, self._lock_most)
        if (within, lock_timeout) == self._timeouts:
            return
        try:
            await self._waiting(
                self._connection.fetch(_BOUND, str(int(within * 1000)), str(int(lock_timeout * 1000))),
                READ_SECONDS,
            )
        except (*_LOST, asyncpg.PostgresError, TimeoutError) as error:
            # Nothing with an effect has been sent yet.
            raise NotDone(f"{self.address}: {redact(str(error))}", again=True) from None
        self._timeouts = (within, lock_timeout)

    async def _waiting(self, answer: Awaitable[_T], seconds: float) -> _T:
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except (asyncio.CancelledError, TimeoutError):
            await self._let_go()  # the driver has asked the server to cancel
            raise

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                await self._connection.execute("select 1")
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it is, it is not to be trusted
            self._connection.terminate()

    def _heard(self, _connection: object, message: Any) -> None:  # noqa: ANN401 - the driver's own kind
        severity = getattr(message, "severity_en", None) or message.severity
        self._notices.append(Notice(severity, message.sqlstate or "", redact(str(message.message))))


@contextlib.asynccontextmanager
async def connect(
    options: PostgresOptions, credentials: Credentials | None, database: str, tag: Tag
) -> AsyncIterator[PostgresActing]:
    """Open a session in a database (empty: the target's own); raise NotDone.

    Without credentials it is one of the watching role that cannot write.
    """
    database = database or options.dbname
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await _open(options, credentials, database, tag)
    except TimeoutError:
        raise NotDone(f"{options.address}: no session within {CONNECT_SECONDS:g} s", again=True) from None
    except SecretError as error:
        raise NotDone(f"{options.address}: {error}") from None
    except seen.CollectError as error:
        raise NotDone(str(error)) from None
    except asyncpg.PostgresError as error:
        raise not_connected(options.address, error.sqlstate or "", str(error)) from None
    except ssl.SSLError as error:
        raise NotDone(f"{options.address}: {tls.sentence(error)}") from None
    except (*_LOST, ValueError, TypeError) as error:
        text = redact(str(error) or type(error).__name__)
        raise NotDone(f"{options.address}: {text}", again=True) from None
    session = PostgresActing(connection, options, credentials, database, tag)
    try:
        await session.check_direct()
        yield session
    finally:
        await session.close()


async def _open(
    options: PostgresOptions, credentials: Credentials | None, database: str, tag: Tag
) -> asyncpg.Connection[Any]:
    who = credentials or Credentials(user=options.user, password=options.password)
    return await asyncpg.connect(
        host=options.host,
        port=options.port,
        user=who.user,
        # An empty password keeps the driver from looking into PGPASSWORD and ~/.pgpass.
        password=who.password.resolve().reveal() if who.password else "",
        database=database,
        ssl=tls.tls_context(options),
        server_settings=_settings(tag, read_only=credentials is None),
        statement_cache_size=0,
        timeout=CONNECT_SECONDS,
        command_timeout=None,
    )


def _settings(tag: Tag, *, read_only: bool) -> dict[str, str]:
    return {
        "application_name": fence.application_name(tag),
        "default_transaction_read_only": "on" if read_only else "off",
        "search_path": "pg_catalog",
        "statement_timeout": str(int(READ_SECONDS * 1000)),
        "lock_timeout": str(int(LOCK_SECONDS * 1000)),
        "idle_in_transaction_session_timeout": "10000",
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        "standard_conforming_strings": "on",
        # No function of a row security policy runs in our session: reading such a table fails instead.
        "row_security": "off",
        "jit": "off",
        "DateStyle": "ISO",
        "extra_float_digits": "1",
    }


_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, EOFError)
_BOUND = (
    "select pg_catalog.set_config('statement_timeout', $1, false),"
    " pg_catalog.set_config('lock_timeout', $2, false)"
)
_DIRECT = """
select pg_catalog.pg_backend_pid() as pid,
  (extract(epoch from pg_catalog.current_setting('lock_timeout')::interval) * 1000)::int4 as lock_timeout,
  pg_catalog.current_setting('server_version_num')::int4 as version_num,
  (select s.setting::int4 from pg_catalog.pg_settings s where s.name = 'deadlock_timeout') as deadlock_timeout
"""
_NOTICE_ORPHANS = """
select pg_catalog.set_config(s.name, $1, false) from pg_catalog.pg_settings s
where s.name = 'client_connection_check_interval'
"""
# A promoted server writes its new timeline's files long before a checkpoint tells of it.
_IDENTITY = """
select pg_catalog.pg_is_in_recovery() as in_recovery, d.datname::text as database, d.oid::int8 as oid,
  case when pg_catalog.pg_is_in_recovery()
    then (select r.received_tli from pg_catalog.pg_stat_wal_receiver r)
    else ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8)
      )::bit(32)::int4
  end as timeline
from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
"""
_SYSTEM = "select system_identifier::text as id from pg_catalog.pg_control_system()"
