"""A store in a PostgreSQL database: durable at every commit, and never waited for without end."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.tls import tls_context
from daemon.store.options import Part, StoreOptions
from daemon.store.runner import Door, Looped
from daemon.store.schema import SCHEMA

_CONNECTIONS = 5
_CONNECT_SECONDS = 5.0


def open_server(options: StoreOptions, server: PostgresOptions, part: Part) -> Door:
    """Return the way to a database; nothing is asked yet."""
    settings = {
        "application_name": f"dbarchitect/store-{part}",
        "search_path": SCHEMA,
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "lock_timeout": _ms(options.wait_seconds),
        "statement_timeout": _ms(options.answer_seconds),
        # A transaction of ours that has lost its way gives the journal free again.
        "idle_in_transaction_session_timeout": _ms(options.answer_seconds),
        "default_transaction_read_only": "on" if part is Part.READER else "off",
        "timezone": "UTC",
    }
    engine = create_async_engine(
        "postgresql+asyncpg://",
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=options.wait_seconds,
        # A connection that a failover has ended is noticed before anything is done on it.
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "database": server.dbname,
            "server_settings": settings,
            "timeout": _CONNECT_SECONDS,
            # The server's own limit comes first, unless it has gone.
            "command_timeout": options.answer_seconds + options.wait_seconds,
            "target_session_attrs": "any" if part is Part.READER else "read-write",
        },
    )

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def on_connect(_dialect: object, _record: object, _args: object, given: dict[str, Any]) -> None:
        # Read anew each time: passwords and certificates change. An empty password keeps the driver from
        # looking into PGPASSWORD and ~/.pgpass.
        given["password"] = server.password.resolve().reveal() if server.password else ""
        given["ssl"] = tls_context(server)

    return Looped(engine)


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))
