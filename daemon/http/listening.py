"""Opens the sockets to listen at, and says in one sentence why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from daemon.config.listen import Listen

_BACKLOG = 128
_SOCKET_MODE = 0o660
_HOW = "set daemon.listen to another one"


class CannotListen(Exception):
    """The address cannot be listened at; the message says which, why, and what to do."""


async def open_sockets(listen: Listen) -> list[socket.socket]:
    """Return sockets bound to the address, a name's every address; raise CannotListen."""
    if listen.path:
        return [_open_unix(Path(listen.path))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(
            f"cannot listen at {listen}: the name {listen.host} has no address ({error.strerror}); {_HOW}"
        ) from error
    addresses = sorted({(family, place) for family, _, _, _, place in found}, key=str)
    opened: list[socket.socket] = []
    refused: OSError | None = None
    for family, place in addresses:
        try:
            opened.append(_open_tcp(family, place, alone=len(addresses) == 1))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(addresses) == 1:
                close_all(opened)
                raise CannotListen(f"cannot listen at {listen}: {_reason(error, listen)}") from error
            refused = error
    if not opened and refused is not None:
        raise CannotListen(f"cannot listen at {listen}: {_reason(refused, listen)}") from refused
    return opened


def close_all(sockets: list[socket.socket]) -> None:
    """Close sockets that were not used."""
    for each in sockets:
        each.close()


def remove_socket_file(listen: Listen) -> None:
    """Remove what a UNIX socket leaves behind."""
    if listen.path:
        with contextlib.suppress(FileNotFoundError):
            Path(listen.path).unlink()


def _open_tcp(family: int, place: tuple[object, ...], *, alone: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(place)
        opened.listen(_BACKLOG)
        opened.settimeout(0)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_unix(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        before = os.umask(0o777 & ~_SOCKET_MODE)
        try:
            opened.bind(str(path))
        finally:
            os.umask(before)
        opened.listen(_BACKLOG)
        opened.settimeout(0)
    except OSError as error:
        opened.close()
        raise CannotListen(
            f"cannot listen at unix:{path}: {_reason(error, Listen(path=str(path)))}"
        ) from error
    except BaseException:
        opened.close()
        raise
    return opened


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at; anything else in the way stays."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise CannotListen(
            f"cannot listen at unix:{path}: a file that is no socket is in the way; remove it, or {_HOW}"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise CannotListen(f"cannot listen at unix:{path}: another process listens there; stop it, or {_HOW}")


def _reason(error: OSError, listen: Listen) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port is taken by another process; stop it (`ss -ltnp 'sport = :{listen.port}'` names it), "
            f"or set daemon.listen to another port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this host has no such address; {_HOW}"
    if error.errno in (errno.EACCES, errno.EPERM):
        where = "ports below 1024 and this directory" if listen.path else "ports below 1024"
        return f"not allowed ({where} may need more rights); {_HOW}"
    return f"{error.strerror or error}; {_HOW}"
