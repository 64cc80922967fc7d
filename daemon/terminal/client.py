"""Asks a running daemon over HTTP; the only part of the command line that does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from daemon.config.listen import Listen, parse_listen

DEFAULT_URL = "http://127.0.0.1:8720"
WITHIN_SECONDS = 5.0
_UNIX = "unix:"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a daemon that listens everywhere is met


class CannotAsk(Exception):
    """The daemon gave no answer that we can use; the message says what, where, and what to do."""


class Declined(Exception):
    """The daemon has understood and did not do it; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a daemon is and how to speak to it."""

    url: str
    """http(s)://host:port, or unix:/path."""
    token: str = ""
    ca_file: Path | None = None

    def __repr__(self) -> str:
        """Show the address without the token."""
        return f"Address({self.url})"

    @property
    def base(self) -> str:
        """Return what a path is appended to."""
        return "http://localhost" if self.url.startswith(_UNIX) else self.url.rstrip("/")


def url_of(listen: Listen, *, tls: bool) -> str:
    """Return the URL at which a daemon that listens there is met from the same host."""
    if listen.path:
        return str(listen)
    met = Listen(host=_ANY.get(listen.host, listen.host), port=listen.port)
    return f"{'https' if tls else 'http'}://{met}"


def checked_url(text: str) -> str:
    """Return a URL as `Address` wants it; `host:port` means http. Raise ValueError."""
    if text.startswith(_UNIX):
        return str(parse_listen(text))
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        scheme, rest = "http", text
    if scheme not in ("http", "https"):
        raise ValueError("the address begins with http://, https:// or unix:/")
    if not rest.strip("/") or "@" in rest:
        raise ValueError("write the address as http://127.0.0.1:8720, and a token into --token-file")
    return f"{scheme}://{rest}".rstrip("/")


class Client:
    """A connection to one daemon. Raises CannotAsk; `ask` raises Declined too."""

    def __init__(self, address: Address, session: aiohttp.ClientSession) -> None:
        self.address = address
        self._session = session

    async def json(self, path: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON is
        """Return the answer to a GET of the API."""
        text = await self.text(path, params)
        try:
            return json.loads(text)
        except ValueError:
            raise CannotAsk(self.stranger(path, "its answer is not JSON")) from None

    async def text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """Return the body of a GET."""
        try:
            async with self._session.get(self.address.base + path, params=params) as answer:
                if answer.status != HTTPStatus.OK:
                    raise CannotAsk(self._refusal(path, answer.status, await _reason(answer)))
                return await answer.text("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError, ValueError) as error:
            raise CannotAsk(self._trouble(error)) from None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        within: float = WITHIN_SECONDS,
    ) -> Mapping[str, Any]:
        """Return the answer to a question, or to a wish in `body`; raise Declined when the daemon says no."""
        timeout = aiohttp.ClientTimeout(total=within)
        try:
            async with self._session.request(
                method, self.address.base + path, params=params, json=body, timeout=timeout
            ) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    reason = await _reason(answer)
                    if answer.status != HTTPStatus.UNAUTHORIZED and reason:
                        raise Declined(reason)
                    raise CannotAsk(self._refusal(path, answer.status, reason))
                said = json.loads(await answer.text("utf-8", "replace"))
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise CannotAsk(self._trouble(error, within)) from None
        except ValueError:
            raise CannotAsk(self.stranger(path, "its answer is not JSON")) from None
        if not isinstance(said, dict):
            raise CannotAsk(self.stranger(path, "its answer has another form"))
        return said

    def _trouble(self, error: Exception, within: float = WITHIN_SECONDS) -> str:
        where = self.address.url
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
            return (
                f"{where}: the secure connection failed: {_plain(error)}. If the daemon's certificate has an "
                "authority of its own, name that authority's file with --ca-file."
            )
        if isinstance(error, TimeoutError):
            return (
                f"{where}: no answer within {within:g} s. What listens there is stuck, or packets "
                "are lost on the way; the daemon's log may tell more."
            )
        if isinstance(error, aiohttp.ClientConnectorError | OSError):
            return (
                f"no daemon at {where}: {_plain(error)}. Start it with `dbarchitect run CONFIG`, or say "
                "where it listens with --url URL or --config FILE."
            )
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
            other = "http" if where.startswith("https") else "https"
            return (
                f"{where}: the connection was closed without an answer. If the daemon is set up "
                f"{'without' if other == 'http' else 'with'} TLS, the address begins with {other}://."
            )
        return f"{where}: {_plain(error)}"

    def _refusal(self, path: str, status: int, reason: str) -> str:
        where = self.address.url
        if status == HTTPStatus.UNAUTHORIZED:
            what = "does not know this token" if self.address.token else "wants a token"
            return (
                f"{where} {what}: put one with the scope that this needs (`read` to look) into a file and "
                "name it with --token-file."
            )
        if status == HTTPStatus.FORBIDDEN:
            return f"{where} refuses {path}: {reason or 'the token has no right to it'}."
        if status == HTTPStatus.NOT_FOUND:
            return self.stranger(path, "HTTP 404")
        return f"{where}: {path} failed with HTTP {status}{': ' + reason if reason else ''}."

    def stranger(self, path: str, what: str) -> str:
        """Return what to say of an answer that no daemon of ours gives; `what` is odd about it."""
        return (
            f"what answers at {self.address.url} is not dbarchitect, or another version of it ({what} for "
            f"{path}); say where the daemon listens with --url URL or --config FILE."
        )


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Client]:
    """Give a client; raise CannotAsk when the CA file is no such thing."""
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    timeout = aiohttp.ClientTimeout(total=WITHIN_SECONDS)
    session = aiohttp.ClientSession(connector=_connector(address), headers=headers, timeout=timeout)
    try:
        yield Client(address, session)
    finally:
        await session.close()


def _connector(address: Address) -> aiohttp.BaseConnector:
    if address.url.startswith(_UNIX):
        return aiohttp.UnixConnector(path=address.url.removeprefix(_UNIX))
    if address.ca_file is None:
        return aiohttp.TCPConnector()
    try:
        return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(address.ca_file)))
    except (OSError, ssl.SSLError) as error:
        raise CannotAsk(
            f"--ca-file {address.ca_file}: {error.strerror or 'not a certificate'}; it should be a PEM file"
        ) from None


async def _reason(answer: aiohttp.ClientResponse) -> str:
    """Return what an error says in its body, if it is short and plain."""
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            body = json.loads(await answer.content.read(20_000))
    except (ValueError, TimeoutError, aiohttp.ClientError):
        return ""
    if not isinstance(body, dict):
        return ""
    return ": ".join(text for key in ("error", "hint") if isinstance(text := body.get(key), str) and text)


def _plain(error: BaseException) -> str:
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number).lower()
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text).strip().rstrip(".")
