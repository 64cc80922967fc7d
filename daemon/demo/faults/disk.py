"""A disk that is nearly full: a tablespace of its own on a small tmpfs, which only root can make."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from actions.scratch.account import Account
from actions.scratch.errors import ScratchError
from actions.scratch.process import run
from daemon.demo.faults.model import CannotBreak, Held, Sign, fault
from daemon.demo.servers import DATABASE, SHOP_USER, Servers

SIZE_MIB = 48
FULL = 0.95
_ROWS = 4000
_MAKE = "SET allow_in_place_tablespaces = on; CREATE TABLESPACE archive OWNER shop LOCATION '';"
_OID = "SELECT oid FROM pg_tablespace WHERE spcname = 'archive'"


@fault(
    "disk-full",
    f"the tablespace archive lies on a disk of {SIZE_MIB} MiB, which is {FULL:.0%} full",
    Sign("host", "disk_free"),
)
async def disk_full(servers: Servers) -> Held:
    """Fill a small disk."""
    if os.geteuid() != 0:
        raise CannotBreak("only root may mount the small disk (tmpfs) that this needs: sudo dbarchitect demo")
    primary = servers.primary
    await primary.psql(_MAKE)
    directory = primary.data / "pg_tblspc" / await primary.psql(_OID)
    try:
        async with _small_disk(directory, servers.place.account):
            await primary.psql(
                "CREATE UNLOGGED TABLE order_archive (line text) TABLESPACE archive", DATABASE, user=SHOP_USER
            )
            while (full := await asyncio.to_thread(_fullness, directory)) < FULL:
                await primary.psql(
                    f"INSERT INTO order_archive SELECT repeat('x', 200) FROM generate_series(1, {_ROWS})",
                    DATABASE, user=SHOP_USER,
                )  # fmt: skip
            yield f"{directory} is {full:.0%} full"
            await primary.psql("DROP TABLE order_archive; CHECKPOINT", DATABASE)
    finally:
        # On the demo's own exit the server may be gone, and the tablespace with it.
        with contextlib.suppress(ScratchError):
            await primary.psql("DROP TABLESPACE IF EXISTS archive")


@contextlib.asynccontextmanager
async def _small_disk(directory: Path, account: Account) -> AsyncIterator[None]:
    versions = [path.name for path in await asyncio.to_thread(lambda: list(directory.iterdir()))]
    options = f"size={SIZE_MIB}m,mode=0700,uid={account.uid},gid={account.gid},nosuid,nodev,noexec"
    try:
        await _as_root("mount", "-t", "tmpfs", "-o", options, "dbarchitect-demo", str(directory))
    except ScratchError as error:
        raise CannotBreak(f"this machine does not let us mount a small disk (tmpfs): {error}") from error
    try:
        for name in versions:
            await asyncio.to_thread(_make_room, directory / name, account)
        yield
    finally:
        # Lazily: a backend may still have a file open there.
        await asyncio.shield(_as_root("umount", "-l", str(directory)))


def _make_room(path: Path, account: Account) -> None:
    path.mkdir(mode=0o700)
    account.give(path)


def _fullness(directory: Path) -> float:
    usage = shutil.disk_usage(directory)
    return usage.used / usage.total


async def _as_root(*argv: str) -> None:
    root = replace(Account.current(), switch=False)
    await run(*argv, account=root, cwd=Path("/"))
