"""The only module that speaks to exporters: a bounded GET, whose mishaps become CollectErrors."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from collectors import errors
from collectors.exporter.guard import GuardedResolver, Refused
from collectors.exporter.options import ExporterOptions
from collectors.secret import redact
from collectors.secret_ref import SecretError

_CHUNK = 64 * 1024
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_TRY_LATER = (429, 503)
_HEADERS = {
    "Accept": "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5",
    "Accept-Encoding": "gzip",
    "User-Agent": "database-architect",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, decompressed."""

    body: bytes
    open_metrics: bool


class Client:
    """Asks one exporter; keeps its connection. Raises only CollectErrors."""

    def __init__(self, options: ExporterOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    @property
    def connected(self) -> bool:
        """Tell whether a connection is kept."""
        return self._session is not None

    async def get(self) -> Answer:
        """Return what the exporter gives; the caller sets the deadline."""
        with _translated(self._options):
            session = await self._open()
            headers = await asyncio.to_thread(_credentials, self._options)
            async with session.get(self._options.url, headers=headers, allow_redirects=False) as response:
                _check(response, self._options)
                packed = response.headers.get("Content-Encoding", "").strip().lower()
                body = await _body(response.content, packed, self._options)
                kind = response.headers.get("Content-Type", "").lower()
        if kind.startswith("text/html"):
            raise errors.NotSupported(
                f"{self._options.address}: it answers with a web page, not with metrics"
            )
        return Answer(body, kind.startswith("application/openmetrics-text"))

    async def close(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = await asyncio.to_thread(_tls_context, self._options)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=GuardedResolver(), ssl=context, limit=1, use_dns_cache=False
                ),
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _tls_context(options: ExporterOptions) -> ssl.SSLContext | bool:
    if not options.url.startswith("https:"):
        return True
    ca_file = options.tls.ca_file
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise errors.TlsFailed(f"{options.address}: tls.ca_file {ca_file} cannot be used: {reason}") from None
    if options.tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _credentials(options: ExporterOptions) -> dict[str, str]:
    if options.bearer_token:
        return {"Authorization": f"Bearer {options.bearer_token.resolve().reveal()}"}
    if options.password:
        pair = f"{options.user}:{options.password.resolve().reveal()}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {}


def _check(response: aiohttp.ClientResponse, options: ExporterOptions) -> None:
    status = response.status
    if status == _OK:
        return
    said = f"{options.address}: it answers {status}"
    if status == _UNAUTHORIZED:
        raise errors.BadCredentials(f"{said}: it does not take our credentials")
    if status == _FORBIDDEN:
        raise errors.NotAllowed(f"{said}: it does not let us in")
    if status in _TRY_LATER:
        raise errors.Busy(f"{said}: it has no time for us")
    if response.headers.get("Location"):
        raise errors.NotSupported(f"{said}, a redirect, which is not followed: give its goal as `url`")
    raise errors.NotSupported(f"{said} where 200 was expected")


async def _body(content: aiohttp.StreamReader, packed: str, options: ExporterOptions) -> bytes:
    """Read with a limit that holds for what comes in and for what it unpacks to."""
    most = options.max_bytes
    if packed not in ("", "identity", "gzip"):
        raise errors.NotSupported(f"{options.address}: it packs its answer with something we did not offer")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed == "gzip" else None
    pieces: list[bytes] = []
    size = 0
    async for chunk in content.iter_chunked(_CHUNK):
        piece = unpack.decompress(chunk, most - size + 1) if unpack else chunk
        size += len(piece)
        if size > most:
            raise errors.NotSupported(
                f"{options.address}: its answer is larger than {most} bytes: raise max_bytes"
            )
        pieces.append(piece)
    if unpack and not unpack.eof:
        raise errors.Unreachable(f"{options.address}: its packed answer is cut short")
    return b"".join(pieces)


@contextlib.contextmanager
def _translated(options: ExporterOptions) -> Iterator[None]:
    where = options.address
    try:
        yield
    except errors.CollectError:
        raise
    except SecretError as error:
        raise errors.BadCredentials(f"{where}: {error}") from None
    except aiohttp.ClientSSLError as error:
        raise errors.TlsFailed(f"{where}: {_tls_sentence(error)}") from None
    except zlib.error:
        raise errors.NotSupported(f"{where}: its packed answer is damaged") from None
    except aiohttp.ClientResponseError:
        raise errors.NotSupported(f"{where}: it does not answer in HTTP") from None
    except (aiohttp.ClientError, OSError) as error:
        raise _lost(error, where) from None
    except ValueError as error:
        raise errors.CollectError(f"{where}: {redact(str(error))}") from None


def _tls_sentence(error: aiohttp.ClientSSLError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "not valid"
        return f"the certificate is refused: {reason}"
    return f"TLS failed: {error.strerror or 'there may be no TLS at the other end'}"


def _lost(error: Exception, where: str) -> errors.CollectError:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, Refused):
        return errors.NotAllowed(f"{where}: {inner}")
    text = getattr(inner, "strerror", "") or str(inner) or type(inner).__name__
    return errors.Unreachable(f"{where}: {redact(text)}")
