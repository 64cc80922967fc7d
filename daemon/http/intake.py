"""Answers POST /api/v1/alertmanager: the webhook that Alertmanager calls."""

from __future__ import annotations

from aiohttp import web

from daemon.http.gate import Refused
from daemon.received.desk import Desk
from daemon.received.notice import NotANotice
from daemon.received.store import StoreFailed

PATH = "/api/v1/alertmanager"
SIZE_MAX_BYTES = 8 * 1024 * 1024
_RETRY_SECONDS = "10"


class Intake:
    """Takes alerts. 200: they are on disk; 400: never send this again; 503: send it again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def post(self, request: web.Request) -> web.Response:
        """Take one message."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(413, f"the body has more than {SIZE_MAX_BYTES} bytes", "set max_alerts") from None
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
            "refused": notice.problems,
            "truncated": notice.truncated,
        }
        return web.json_response({"status": "success", "data": data})
