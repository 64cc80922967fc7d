"""Answers POST /api/v1/alertmanager: the webhook that Alertmanager calls."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from daemon.http.gate import Refused
from daemon.received.desk import Desk
from daemon.received.notice import NotANotice
from daemon.received.store import StoreFailed

PATH = "/api/v1/alertmanager"
SIZE_MAX_BYTES = 8 * 1024 * 1024
BODY_SECONDS = 15.0
"""How long a client may take to send one message."""
AT_ONCE_MAX = 16
"""Messages that are read at one time: each may have to be held as a whole."""
_RETRY_SECONDS = "10"
_CLOSE = {"Connection": "close"}


class Intake:
    """Takes alerts. 200: they are on disk; 400: never send this again; 503: send it again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def post(self, request: web.Request) -> web.Response:
        """Take one message."""
        # What waits here has not sent more of its body than a buffer holds.
        async with self._places:
            return await self._take(request)

    async def _take(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            notice, counts = await self._desk.take(body, request.remote or "")
        except NotANotice as error:
            raise Refused(400, str(error), "this is for Alertmanager's webhook_config") from None
        except StoreFailed:
            raise Refused(
                503,
                "the alerts could not be stored",
                "send them again; the daemon's log has the reason",
                headers={"Retry-After": _RETRY_SECONDS},
            ) from None
        data = {
            "new": counts.new,
            "resolved": counts.resolved,
            "repeated": counts.repeated,
            "refused": notice.refused,
            "problems": notice.problems,
            "truncated": notice.truncated,
        }
        return web.json_response({"status": "success", "data": data})


async def _body(request: web.Request) -> bytes:
    """Read what is sent, which must not take forever."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refused(415, "the body is compressed", "send it as it is", headers=_CLOSE)
    if (request.content_length or 0) > SIZE_MAX_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except TimeoutError:
        raise Refused(
            408, f"the body took more than {BODY_SECONDS:g} s", "send it again", headers=_CLOSE
        ) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(400, "the body is broken off", "send it again", headers=_CLOSE) from None


def _too_large() -> Refused:
    return Refused(413, f"the body has more than {SIZE_MAX_BYTES} bytes", "set max_alerts", headers=_CLOSE)
