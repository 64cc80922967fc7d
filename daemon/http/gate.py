"""Who may ask what: the checks that every request passes before it is answered."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from daemon.config.listen import Listen
from daemon.http.guard import Door
from daemon.http.options import READ, HttpOptions, Token

log = structlog.get_logger()
WHO = web.RequestKey("who", str)
"""Name of the token that a request showed; absent where none was wanted."""
SCOPES = web.RequestKey("scopes", tuple)
"""What that token allows."""
OPEN_PATH = "/livez"
"""The one path that needs no token."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Server": "dbarchitect",
}
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HINTS = {
    404: "the paths are /metrics, /livez, /readyz and those under /api/v1/ that the page at / lists",
    405: "the header Allow has what this path takes",
}


class Refused(Exception):
    """A request that is not answered; carries what the client is told."""

    def __init__(
        self, status: int, error: str, hint: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.headers = headers or {}

    def response(self) -> web.Response:
        """Return it as every error looks."""
        body = {"status": "error", "error": self.error, "hint": self.hint}
        return web.json_response(body, status=self.status, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Entrance:
    """What is wanted of those who come to one path."""

    scope: str = READ
    or_scopes: tuple[str, ...] = ()
    """Any of these does as well."""
    takes_body: bool = False
    token_always: bool = False
    """Also where reading is free to all: whoever may change something must be known."""


ENTRANCE = Entrance()


class Gate:
    """Checks host, body and token of every request, and makes JSON of every error."""

    def __init__(
        self, options: HttpOptions, listen: Listen, special: Mapping[tuple[str, str], Entrance] | None = None
    ) -> None:
        self._special = dict(special or {})
        self._tokens = tuple(options.tokens)
        self._any_host = bool(listen.path)
        self._any_address = _is_wildcard(listen.host)
        names = {*_LOOPBACK, *options.allowed_hosts, listen.host}
        self._hosts = frozenset(_plain(name) for name in names if name)
        self.door: Door | None = None

    async def add_headers(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Put on every answer what browsers must know."""
        response.headers.update(_HEADERS)

    def middleware(self) -> Middleware:
        """Return the outermost middleware."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.door is not None:
                self.door.asked(request.protocol)
            try:
                self._check(request)
                return await handler(request)
            except Refused as refused:
                return refused.response()
            except web.HTTPException as error:
                headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
                hint = _HINTS.get(error.status, "")
                return Refused(error.status, error.reason.lower(), hint, headers=headers).response()
            except Exception:
                if request.transport is None or request.transport.is_closing():
                    raise
                log.exception("http.broken", path=request.path)
                return Refused(500, "the daemon made a mistake", "its log has the details").response()

        return check

    def _check(self, request: web.Request) -> None:
        if not self._any_host and not self._knows(request.headers.get(hdrs.HOST, "")):
            raise Refused(
                421, "this host name is not ours", "add it to http.allowed_hosts, or ask by address"
            )
        if request.method not in _SAFE and not _from_here(request):
            raise Refused(
                403, "a page of another site asks", "only pages of this address may change anything here"
            )
        entrance = self._special.get((request.method, _pattern(request)), ENTRANCE)
        has_body = (
            request.headers.get(hdrs.CONTENT_LENGTH, "0") != "0" or hdrs.TRANSFER_ENCODING in request.headers
        )
        if has_body and not entrance.takes_body:
            raise Refused(
                413, "no body is wanted", "send the request without one", headers={"Connection": "close"}
            )
        if (self._tokens or entrance.token_always) and request.path != OPEN_PATH:
            token = self._checked(request.headers.getall(hdrs.AUTHORIZATION, []), entrance)
            request[WHO], request[SCOPES] = token.name, tuple(token.scopes)

    def _knows(self, host: str) -> bool:
        name = _host_of(host)
        return name in self._hosts or (self._any_address and _is_address(name))

    def _checked(self, headers: Sequence[str], entrance: Entrance) -> Token:
        challenge: dict[str, str] = {"WWW-Authenticate": 'Bearer realm="dbarchitect"'}
        scheme, _, shown = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not shown.strip():
            hint = "send the header Authorization: Bearer TOKEN"
            if not self._tokens:
                hint = "http.tokens lists none yet: add one with the scope for this, and send it as a bearer"
            raise Refused(401, "a token is needed", hint, headers=challenge)
        token = self._token(shown.strip())
        if token is None:
            raise Refused(
                401, "this token is not known", "http.tokens lists those that are", headers=challenge
            )
        wanted = (entrance.scope, *entrance.or_scopes)
        if not set(wanted) & set(token.scopes):
            scopes = " or ".join(map(repr, wanted))
            raise Refused(403, f"the token {token.name!r} has no scope {scopes}", "add it in http.tokens")
        return token

    def _token(self, shown: str) -> Token | None:
        """Find the token; takes the same time whichever it is, and if it is none."""
        digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(digest, token.sha256.lower()):
                found = token
        return found


def _from_here(request: web.Request) -> bool:
    """Tell whether no page of another site is behind this: browsers name the page's site, programs none."""
    origins = request.headers.getall(hdrs.ORIGIN, [])
    try:
        sites = [urlsplit(origin).netloc.lower() for origin in origins]
    except ValueError:
        return False
    return all(site and site == request.headers.get(hdrs.HOST, "").lower() for site in sites)


def _pattern(request: web.Request) -> str:
    """Return the path as it was declared, `/plans/{id}`; what nobody declared is only itself."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else request.path


def _host_of(header: str) -> str:
    if header.startswith("["):
        return _plain(header[1:].partition("]")[0])
    return _plain(header.partition(":")[0])


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified
