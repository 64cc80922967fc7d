"""The simple query protocol of PostgreSQL (version 3), the only one pgBouncer's console speaks.

asyncpg has no way to read rows with it. What is read here is bounded, may hold any bytes, and a
cancelled caller leaves no half-read session behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import NoReturn

from collectors.pgbouncer.scram import MECHANISM, Scram
from collectors.secret import Secret

MESSAGE_MAX_BYTES = 1024 * 1024
ANSWER_MAX_BYTES = 64 * 1024 * 1024
_PROTOCOL = 196608
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12


class ServerSaid(Exception):
    """The server answered with an error."""

    def __init__(self, severity: str, state: str, text: str) -> None:
        super().__init__(text)
        self.severity, self.state, self.text = severity, state, text


class NotTheProtocol(Exception):
    """The other side does not speak PostgreSQL's protocol, or breaks its rules."""


class NoTls(Exception):
    """TLS is asked for, and the server offers none; or a password would go out in the clear."""


class PasswordNeeded(Exception):
    """The server asks for a password, and there is none."""


@dataclass(frozen=True, slots=True)
class Table:
    """An answer: text in columns, None for NULL."""

    columns: tuple[str, ...]
    rows: list[tuple[str | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to connect, and as whom."""

    host: str
    """Name, address, or the directory of a UNIX socket."""
    port: int
    user: str
    database: str
    password: Secret | None
    context: ssl.SSLContext | None
    """None: no TLS."""
    tls_required: bool

    @property
    def on_socket(self) -> bool:
        """Tell whether this is a UNIX socket."""
        return self.host.startswith("/")


class Wire:
    """One session. Raises OSError, EOFError, ssl.SSLError and the exceptions of this module."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.parameters: dict[str, str] = {}
        """What the server told of itself: `server_version`, ..."""

    @classmethod
    async def connect(cls, place: Place) -> Wire:
        """Connect and log in. The caller sets the deadline."""
        sock = await _socket(place)
        try:
            secured = await _secured(sock, place)
            reader, writer = await asyncio.open_connection(
                sock=sock,
                ssl=place.context if secured else None,
                server_hostname=place.host if secured else None,
            )
        except BaseException:
            sock.close()
            raise
        wire = cls(reader, writer)
        try:
            await wire._log_in(place, private=secured or place.on_socket or _is_loopback(sock))
        except BaseException:
            wire.abort()
            raise
        return wire

    @property
    def closed(self) -> bool:
        """Tell whether the session is gone."""
        return self._writer.is_closing() or self._reader.at_eof()

    @property
    def encrypted(self) -> bool:
        """Tell whether the session is under TLS."""
        return self._writer.get_extra_info("ssl_object") is not None

    async def query(self, sql: str) -> Table:
        """Run one statement. When it does not end in an answer or an error, the session is ended."""
        try:
            self._send(b"Q", sql.encode() + b"\0")
            await self._writer.drain()
            return await self._answer()
        except ServerSaid:
            raise
        except BaseException:
            self.abort()
            raise

    async def close(self) -> None:
        """Say goodbye and end the session; never raises for the other side."""
        if not self._writer.is_closing():
            try:
                self._send(b"X", b"")
                self._writer.close()
                async with asyncio.timeout(1):
                    await self._writer.wait_closed()
            except (OSError, TimeoutError):
                pass
        self.abort()

    def abort(self) -> None:
        """End the session at once: what a deadline does."""
        self._writer.transport.abort()

    def _send(self, kind: bytes, body: bytes) -> None:
        self._writer.write(kind + struct.pack("!i", len(body) + 4) + body)

    async def _receive(self) -> tuple[bytes, bytes]:
        """Return the next message that is not mere news."""
        while True:
            head = await self._reader.readexactly(5)
            kind, length = head[:1], struct.unpack("!i", head[1:])[0] - 4
            if not kind.isalpha() or not 0 <= length <= MESSAGE_MAX_BYTES:
                raise NotTheProtocol("it answers with something that is not PostgreSQL's protocol")
            body = await self._reader.readexactly(length)
            if kind == b"S":
                name, _, value = body.partition(b"\0")
                self.parameters[_text(name)] = _text(value.rstrip(b"\0"))
            elif kind not in (b"N", b"A"):
                return kind, body

    async def _log_in(self, place: Place, *, private: bool) -> None:
        pairs = {"user": place.user, "database": place.database, "client_encoding": "UTF8"}
        pairs["application_name"] = "database-architect"
        body = b"".join(f"{key}\0{value}\0".encode() for key, value in pairs.items()) + b"\0"
        self._writer.write(struct.pack("!ii", len(body) + 8, _PROTOCOL) + body)
        scram: Scram | None = None
        while True:
            kind, body = await self._receive()
            match kind:
                case b"E":
                    _raise(body)
                case b"R":
                    scram = await self._authenticate(place, body, scram, private=private)
                case b"Z":
                    return
                case b"K":
                    pass
                case _:
                    raise NotTheProtocol("it sends something unexpected while we log in")

    async def _authenticate(
        self, place: Place, body: bytes, scram: Scram | None, *, private: bool
    ) -> Scram | None:
        if len(body) < 4:  # noqa: PLR2004 - the code itself
            raise NotTheProtocol("its question for a password is cut short")
        code, rest = struct.unpack("!i", body[:4])[0], body[4:]
        if code == _OK:
            return None
        if place.password is None:
            raise PasswordNeeded("it asks for a password, and none is configured")
        if code == _CLEARTEXT:
            if not private:
                raise NoTls("it wants the password in clear text over an open connection, which we refuse")
            self._send(b"p", place.password.reveal().encode() + b"\0")
        elif code == _MD5:
            self._send(b"p", _md5(place.user, place.password.reveal(), rest[:4]) + b"\0")
        elif code == _SASL:
            return self._start_scram(place.password, rest)
        elif code == _SASL_CONTINUE and scram:
            # Thousands of hashes: as long as the server likes.
            self._send(b"p", await asyncio.to_thread(scram.answer, rest))
            return scram
        elif code == _SASL_FINAL and scram:
            scram.check(rest)
        else:
            raise NotTheProtocol(f"it wants a kind of authentication ({code}) that we do not have")
        return None

    def _start_scram(self, password: Secret, offered: bytes) -> Scram:
        if MECHANISM.encode() not in offered.split(b"\0"):
            raise NotTheProtocol(f"it does not offer {MECHANISM}")
        scram = Scram(password.reveal())
        first = scram.first()
        self._send(b"p", MECHANISM.encode() + b"\0" + struct.pack("!i", len(first)) + first)
        return scram

    async def _answer(self) -> Table:
        columns: tuple[str, ...] = ()
        rows: list[tuple[str | None, ...]] = []
        size, error = 0, b""
        while True:
            kind, body = await self._receive_after(error)
            size += len(body)
            if size > ANSWER_MAX_BYTES:
                raise NotTheProtocol(f"its answer is larger than {ANSWER_MAX_BYTES} bytes")
            match kind:
                case b"T":
                    columns, rows = _columns(body), []
                case b"D":
                    rows.append(_row(body, len(columns)))
                case b"E":
                    error = body
                case b"Z":
                    if error:
                        _raise(error)
                    return Table(columns, rows)
                case b"C" | b"I":
                    pass
                case _:
                    raise NotTheProtocol("it sends something unexpected in an answer")

    async def _receive_after(self, error: bytes) -> tuple[bytes, bytes]:
        """Return the next message; a server that ends the session after an error has said why."""
        try:
            return await self._receive()
        except (EOFError, OSError):
            if error:
                self.abort()
                _raise(error)
            raise


async def _socket(place: Place) -> socket.socket:
    loop = asyncio.get_running_loop()
    if place.on_socket:
        targets = [(socket.AF_UNIX, f"{place.host}/.s.PGSQL.{place.port}")]
    else:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        targets = [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]
    failure: OSError = OSError("the name has no address")
    for family, address in targets:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _secured(sock: socket.socket, place: Place) -> bool:
    """Ask for TLS, reading one byte only: what follows must come through TLS itself."""
    if place.context is None:
        return False
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _SSL_REQUEST)
    answer = await loop.sock_recv(sock, 1)
    if answer == b"S":
        return True
    if answer == b"":
        raise EOFError("it closed the connection")
    if answer != b"N":
        raise NotTheProtocol("it answers with something that is not PostgreSQL's protocol")
    if place.tls_required:
        raise NoTls("it offers no TLS, and tls.mode asks for it")
    return False


def _is_loopback(sock: socket.socket) -> bool:
    try:
        return ipaddress.ip_address(sock.getpeername()[0]).is_loopback
    except (OSError, ValueError):
        return False


def _md5(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5(f"{password}{user}".encode()).hexdigest()  # noqa: S324 - the server's choice
    return b"md5" + hashlib.md5(inner.encode() + salt).hexdigest().encode()  # noqa: S324


def _raise(body: bytes) -> NoReturn:
    fields = {part[:1]: _text(part[1:]) for part in body.split(b"\0") if part}
    raise ServerSaid(
        fields.get(b"V", fields.get(b"S", "")), fields.get(b"C", ""), fields.get(b"M", "no reason given")
    )


def _columns(body: bytes) -> tuple[str, ...]:
    try:
        (count,) = struct.unpack_from("!h", body)
        names, at = [], 2
        for _ in range(count):
            end = body.index(b"\0", at)
            names.append(_text(body[at:end]))
            at = end + 19
    except (struct.error, ValueError):
        raise NotTheProtocol("its answer is cut short") from None
    return tuple(names)


def _row(body: bytes, width: int) -> tuple[str | None, ...]:
    try:
        (count,) = struct.unpack_from("!h", body)
        values: list[str | None] = []
        at = 2
        for _ in range(count):
            (length,) = struct.unpack_from("!i", body, at)
            at += 4
            values.append(None if length < 0 else _text(body[at : at + length]))
            at += max(length, 0)
    except struct.error:
        raise NotTheProtocol("its answer is cut short") from None
    if len(values) != width or at > len(body):
        raise NotTheProtocol("a row of its answer has other columns than it said")
    return tuple(values)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
