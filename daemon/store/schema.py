"""The version of the tables: newer ones are refused, older ones are brought up to date, none are made."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from actions.errors import StoreDamaged, StoreUnavailable

VERSION = "0001"
"""Of the newest migration."""
SCHEMA = "dbarchitect"
"""Where the tables are on PostgreSQL."""
_STEPS = Path(__file__).with_name("migrations")
_TABLE = "alembic_version"
_LOCK = 0x64626172
"""Key of the advisory lock that keeps two daemons from making the tables at once."""


def migrate(connection: Connection, where: str) -> None:
    """Bring the tables to VERSION, inside the caller's transaction; raise StoreUnavailable."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if not sa.inspect(connection).has_schema(SCHEMA):
            connection.execute(sa.schema.CreateSchema(SCHEMA))
    if _found(connection, where) != VERSION:
        _upgrade(connection)


def check_version(connection: Connection, where: str) -> None:
    """Raise StoreUnavailable unless the tables are of this program's version."""
    found = _found(connection, where)
    if found != VERSION:
        raise StoreUnavailable(
            f"{where}: the store is of schema version {found or 'none'}, this program works with {VERSION}: "
            "the daemon brings it up to date when it starts"
        )


def _found(connection: Connection, where: str) -> str:
    """Return the version that is there, empty for none; raise StoreUnavailable for what is not ours."""
    tables = sa.inspect(connection).get_table_names()
    if _TABLE not in tables:
        if tables:
            raise StoreDamaged(
                f"{where}: it holds other tables than ours ({', '.join(sorted(tables)[:3])}): "
                "name a file or database of the daemon's own"
            )
        return ""
    found = str(connection.execute(sa.text(f"SELECT version_num FROM {_TABLE}")).scalar() or "")  # noqa: S608
    if found > VERSION:
        raise StoreUnavailable(
            f"{where}: the store is of schema version {found}, this program knows versions up to {VERSION}: "
            "start the newer program that wrote it"
        )
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - takes a while, and is needed once
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, VERSION)
