"""Speaks to one other service over HTTP: credentials read anew, certificates looked at, answers bounded."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from collectors.secret import redact
from collectors.secret_ref import SecretError
from daemon.config.peer import PeerSettings

SAID_MAX = 300
"""Characters of an error's body that are worth repeating."""
_ANSWER_MAX_BYTES = 64 * 1024


class PeerFailed(Exception):
    """The service cannot be reached, or refuses; the message says where and why, without secrets."""

    def __init__(self, message: str, status: int = 0, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        """What it answered; 0 when it did not."""
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Answered:
    """What the service said."""

    status: int
    body: bytes


class Peer:
    """A connection to one service. Raises only PeerFailed."""

    def __init__(self, settings: PeerSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """Return where it is, for people."""
        return self._settings.url

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Send a body; anything but a 2xx is PeerFailed."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._post(path, body, headers)
        except TimeoutError:
            raise PeerFailed(f"{self.address}: no answer within {self._settings.timeout:g} s") from None
        except SecretError as error:
            raise PeerFailed(f"{self.address}: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise PeerFailed(redact(f"{self.address}: {_reason(error)}")) from None
        except ValueError:
            # The text of such an error repeats the value.
            raise PeerFailed(f"{self.address}: the token or password cannot be sent in a header") from None

    async def close(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        session = await self._open()
        credentials = await asyncio.to_thread(_credentials, self._settings)
        url = f"{self._settings.url}{path}"
        async with session.post(
            url, data=body, headers={**headers, **credentials}, allow_redirects=False
        ) as response:
            said = await response.content.read(_ANSWER_MAX_BYTES)
            if response.ok and response.status < 300:  # noqa: PLR2004 - redirects are not followed
                return Answered(response.status, said)
            text = redact(said.decode("utf-8", "replace").strip()[:SAID_MAX])
            raise PeerFailed(
                f"{self.address}: it answers {response.status}{': ' + text if text else ''}",
                response.status,
                _seconds(response.headers.get("Retry-After", "")),
            )

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = await asyncio.to_thread(_tls_context, self._settings)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=2),
                headers={"User-Agent": "database-architect"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _tls_context(settings: PeerSettings) -> ssl.SSLContext | bool:
    if not settings.url.startswith("https:"):
        return True
    tls = settings.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            # Without an answer of ours OpenSSL would ask on the terminal for the passphrase of a key.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    except OSError as error:
        raise PeerFailed(
            f"{settings.url}: the certificates in tls cannot be used: {_reason(error)}"
        ) from None
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _credentials(settings: PeerSettings) -> dict[str, str]:
    if settings.bearer_token:
        return {"Authorization": f"Bearer {settings.bearer_token.resolve().reveal()}"}
    if settings.password:
        pair = f"{settings.user}:{settings.password.resolve().reveal()}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {}


def _reason(error: Exception) -> str:
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return text or type(error).__name__


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
