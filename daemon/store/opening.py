"""Opens a store: makes it if need be, refuses what is newer, damaged, or another's."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from sqlalchemy import Connection

from actions.errors import StoreUnavailable
from actions.ports import Clock
from daemon.store.anchor import Anchor
from daemon.store.book import Now
from daemon.store.options import Part, StoreOptions
from daemon.store.runner import Runner
from daemon.store.schema import check_version, migrate
from daemon.store.server import open_server
from daemon.store.sqlite import FileLock, make_file, open_file
from daemon.store.store import SqlStore

_SERVER_TIME = sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()).cast(sa.Double))


async def open_store(
    options: StoreOptions,
    clock: Clock,
    part: Part = Part.DAEMON,
    *,
    inline: bool = False,
    holder: str = "",
) -> SqlStore:
    """Open a store; raise StoreUnavailable or StoreDamaged, which say what to do.

    `inline` runs without threads and holds no lock, so that simulations may open one file twice; files and
    memory only. `holder` is the name of this object at the lease, chosen at random when it is not given.
    """
    lock = _prepare_file(options, part, inline=inline)
    try:
        runner = _runner(options, clock, part, inline=inline)
    except BaseException:
        if lock:
            lock.release()
        raise
    store = SqlStore(
        runner,
        holder or secrets.token_hex(8),
        anchor=Anchor(options.anchor, clock) if options.anchor and part is Part.DAEMON else None,
        anchored=options.anchor,
        lock=lock,
        inline=inline,
    )
    try:
        await _ready(runner, part)
        if part is not Part.READER:
            await store.begin()
    except BaseException:
        # The file is not ours to close with a line in its anchor.
        await runner.close()
        if lock:
            lock.release()
        raise
    return store


def _prepare_file(options: StoreOptions, part: Part, *, inline: bool) -> FileLock | None:
    path = options.path
    if path is None:
        return None
    if part is not Part.DAEMON:
        if not path.exists():
            raise StoreUnavailable(f"{path}: there is no journal: no daemon has acted with this one yet")
        return None
    lock = None if inline else FileLock(path)
    try:
        make_file(path)
    except BaseException:
        if lock:
            lock.release()
        raise
    return lock


def _runner(options: StoreOptions, clock: Clock, part: Part, *, inline: bool) -> Runner:
    if options.server is None:
        where = str(options.path or "the store in memory")
        return Runner(open_file(options, part, inline=inline), _now_of(clock), where, one_writer=True)
    return Runner(
        open_server(options, options.server, part),
        _server_now,
        f"postgresql://{options.server.address}",
        one_writer=False,
        settle_seconds=options.answer_seconds,
    )


async def _ready(runner: Runner, part: Part) -> None:
    where = runner.where

    def prepare(connection: Connection) -> None:
        (migrate if part is Part.DAEMON else check_version)(connection, where)

    if part is Part.DAEMON:
        await runner.prepare(prepare)
    else:
        await runner.read(prepare)


def _now_of(clock: Clock) -> Now:
    return lambda _connection: clock.now()


def _server_now(connection: Connection) -> float:
    return float(connection.execute(_SERVER_TIME).scalar_one())
