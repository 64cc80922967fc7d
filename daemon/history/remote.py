"""How a far Prometheus, Mimir or VictoriaMetrics is spoken to: address, credentials, TLS, what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from collectors.exporter.guard import GuardedResolver
from collectors.secret import redact
from collectors.secret_ref import SecretError, SecretRef
from daemon.history.errors import HistoryError

_SAID_BYTES = 2000
_CHUNK = 64 * 1024


class RemoteFailed(HistoryError):
    """The far side could not be asked, or did not answer as it should; may succeed later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """Where the far side is, and who we are."""

    url: str = field(repr=False)
    """With its path; for reading, up to but without `/api/v1`. Redirects are not followed."""
    bearer_token: SecretRef | None = None
    user: str = ""
    """For basic authentication, with `password`."""
    password: SecretRef | None = None
    ca_file: Path | None = None
    """Certificate authority; left out: those of the system."""
    cert_file: Path | None = None
    """Our own certificate with its chain, where one is asked for; with `key_file`."""
    key_file: Path | None = None
    insecure: bool = False
    """Take any certificate: whoever stands between can read and change everything."""
    tenant: str = ""
    """Sent as X-Scope-OrgID, which tells Mimir whose samples these are."""
    timeout_seconds: float = 30.0
    """Of one request."""

    @property
    def address(self) -> str:
        """Return the URL without its query, which may hold a token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the far side said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the beginning of the body, fit for a message."""
        return redact(" ".join(self.body[:_SAID_BYTES].decode(errors="replace").split()))


class RemoteSession:
    """Keeps a connection to the far side. Raises only RemoteFailed."""

    def __init__(self, options: RemoteOptions) -> None:
        self.options = options
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, path: str, *, data: bytes | Mapping[str, str], max_bytes: int, **headers: str
    ) -> Answer:
        """Send a request to the URL with `path` behind it; more than `max_bytes` of an answer are refused."""
        async with self._translated():
            session = await self._opened()
            ours = await asyncio.to_thread(_credentials, self.options)
            async with session.post(
                self._url(path),
                data=data,
                headers={**{name.replace("_", "-"): value for name, value in headers.items()}, **ours},
                allow_redirects=False,
            ) as response:
                body = await self._body(response, max_bytes)
                return Answer(response.status, response.headers, body)

    async def close(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _url(self, path: str) -> str:
        if not path:
            return self.options.url
        parts = urlsplit(self.options.url)
        return parts._replace(path=parts.path.rstrip("/") + path).geturl()

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = await asyncio.to_thread(_tls_context, self.options)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=GuardedResolver(), ssl=context, limit=4),
                headers={"User-Agent": "database-architect"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=self.options.timeout_seconds),
            )
        return self._session

    async def _body(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_chunked(_CHUNK):
            size += len(piece)
            if size > max_bytes:
                raise RemoteFailed(
                    f"{self.options.address}: its answer is larger than {max_bytes} bytes: ask for less"
                )
            pieces.append(piece)
        return b"".join(pieces)

    @contextlib.asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        where = self.options.address
        try:
            yield
        except TimeoutError:
            seconds = self.options.timeout_seconds
            raise RemoteFailed(f"{where}: no answer within {seconds:g} seconds") from None
        except SecretError as error:
            raise RemoteFailed(f"{where}: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise RemoteFailed(f"{where}: {_why(error)}") from None
        except ValueError:
            # The text of such an error repeats the value.
            raise RemoteFailed(f"{where}: the token or password cannot be sent in a header") from None


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "not valid"
        return f"the certificate is refused: {reason}"
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    # What the event loop makes of a failed connection names the address, but not the reason.
    number = (inner.errno or 0) if isinstance(inner, OSError) else 0
    reason = os.strerror(number) if number > 0 else ""
    return redact(reason or str(inner) or type(inner).__name__)


def _tls_context(options: RemoteOptions) -> ssl.SSLContext | bool:
    if not options.url.startswith("https:"):
        return True
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise RemoteFailed(
            f"{options.address}: the CA file {options.ca_file} cannot be used: {reason}"
        ) from None
    if options.cert_file:
        try:
            # Without an answer of ours OpenSSL would ask on the terminal for the passphrase of a key.
            context.load_cert_chain(options.cert_file, options.key_file, password=lambda: "")
        except OSError as error:
            reason = "it does not fit its key" if isinstance(error, ssl.SSLError) else error.strerror
            raise RemoteFailed(
                f"{options.address}: the certificate {options.cert_file} cannot be used: {reason}"
            ) from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _credentials(options: RemoteOptions) -> dict[str, str]:
    headers = {"X-Scope-OrgID": options.tenant} if options.tenant else {}
    if options.bearer_token is not None:
        headers["Authorization"] = f"Bearer {options.bearer_token.resolve().reveal()}"
    elif options.password is not None:
        pair = f"{options.user}:{options.password.resolve().reveal()}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers
