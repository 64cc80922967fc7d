"""The daemon on the shop's servers: the real one, as a child, with a configuration of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

import daemon
from actions.scratch.account import Account
from actions.scratch.errors import ScratchError
from actions.scratch.process import ServerProcess
from daemon.demo.servers import DATABASE, WATCH_USER, Servers
from daemon.terminal.client import Address, CannotAsk, Client, connected

PORT = 8720
INTERVAL = "2s"
_TRIES = 20
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_CONFIG = Template("""\
# Made by `dbarchitect demo`; gone when it ends.
daemon:
  listen: 127.0.0.1:$port
  state_dir: $room/state
  log: {format: console}
defaults:
  interval: $interval
  series_max: 20000
targets:
  - {name: shop-primary, engine: postgresql, cluster: shop, host: 127.0.0.1, port: $primary,
     user: $user, password: {file: $room/password}, dbname: $database}
  - {name: shop-replica, engine: postgresql, cluster: shop, host: 127.0.0.1, port: $replica,
     user: $user, password: {file: $room/password}, dbname: $database}
  - {name: host, engine: host}
""")


@contextlib.asynccontextmanager
async def watching(servers: Servers, room: Path, first_port: int) -> AsyncIterator[tuple[int, ServerProcess]]:
    """Run the daemon; give the port it listens on, `first_port` or the next free one, and its process.

    Raises `ScratchError` with the end of its log when it does not start.
    """
    await asyncio.to_thread(_write, room / "password", servers.watch_password)
    port = first_port
    for _ in range(_TRIES):
        port = free_from(port)
        await asyncio.to_thread(_write, room / "config.yaml", config_text(servers, room, port))
        process = await _launch(room)
        try:
            if await _answers(process, port):
                yield port, process
                return
        finally:
            await process.stop(signal.SIGTERM, _STOP_SECONDS)
        port += 1  # somebody was quicker
    raise ScratchError(
        f"no port from {first_port} to {port} is free on 127.0.0.1; choose another with --port"
    )


def config_text(servers: Servers, room: Path, port: int) -> str:
    """Return the daemon's configuration."""
    return _CONFIG.substitute(
        port=port, room=room, interval=INTERVAL, user=WATCH_USER, database=DATABASE,
        primary=servers.primary.port, replica=servers.replica.port,
    )  # fmt: skip


def free_from(first: int) -> int:
    """Return the first port of 127.0.0.1 from `first` on that nobody listens on; raise `ScratchError`."""
    for port in range(first, min(first + 200, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            return port
    raise ScratchError(f"no port from {first} on is free on 127.0.0.1; choose another with --port")


async def _launch(room: Path) -> ServerProcess:
    ourselves = replace(Account.current(), switch=False)
    environment: Mapping[str, str] = {"PYTHONPATH": str(Path(daemon.__file__).parents[1])}
    return await ServerProcess.start(
        # The environment that we run in ourselves, whether installed or a checkout.
        sys.executable, "-P", "-m", "daemon", "run", room / "config.yaml",
        account=ourselves, cwd=room.parent, log=room / "daemon.log", env=environment,
    )  # fmt: skip


async def _answers(process: ServerProcess, port: int) -> bool:
    """Wait until it answers; return False when the port was taken by somebody else meanwhile."""
    async with connected(Address(url=f"http://127.0.0.1:{port}")) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while process.running:
                    # Another demo's daemon, which was quicker, would answer just as well.
                    if await _alive(client) and await asyncio.to_thread(process.listens, port):
                        return True
                    await asyncio.sleep(0.1)
    if process.code == os.EX_UNAVAILABLE:
        return False
    raise ScratchError(f"the daemon did not start: {process.last_words() or 'it said nothing'}")


async def _alive(client: Client) -> bool:
    try:
        await client.text("/livez")
    except CannotAsk:
        return False
    return True


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
