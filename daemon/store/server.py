"""A store in a PostgreSQL database: durable at every commit, and never waited for without end."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from actions.errors import StoreUnavailable
from collectors.secret import Secret
from daemon.store.options import Part, StoreOptions
from daemon.store.runner import Door, Looped
from daemon.store.schema import SCHEMA

_SCHEMES = ("postgresql", "postgres")
_CONNECTIONS = 5
_CONNECT_SECONDS = 5.0


def open_server(options: StoreOptions, part: Part) -> Door:
    """Return the way to a database; raise StoreUnavailable for a URL that is none."""
    url = _url(options)
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
        url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=options.wait_seconds,
        # A connection that a failover has ended is noticed before anything is done on it.
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "server_settings": settings,
            "timeout": _CONNECT_SECONDS,
            # The server's own limit comes first, unless it has gone.
            "command_timeout": options.answer_seconds + options.wait_seconds,
            "target_session_attrs": "any" if part is Part.READER else "read-write",
        },
    )
    return Looped(engine)


def where_is(url: Secret) -> str:
    """Return host, port and database, for people."""
    found = _parsed(url)
    return f"postgresql://{found.host or 'localhost'}:{found.port or 5432}/{found.database or ''}"


def _url(options: StoreOptions) -> sa.URL:
    return _parsed(options.url or Secret("")).set(drivername="postgresql+asyncpg")


def _parsed(url: Secret) -> sa.URL:
    try:
        found = make_url(url.reveal())
    except (ArgumentError, ValueError):
        found = None
    if found is None or found.drivername not in _SCHEMES:
        raise StoreUnavailable(
            "the store's URL should look like postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    return found


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))
