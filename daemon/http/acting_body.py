"""Reads the JSON bodies of requests that change something: small, typed, and without unknown keys."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from daemon.http.gate import Refused
from daemon.http.query import refuse_unknown

SIZE_MAX_BYTES = 64 * 1024
BODY_SECONDS = 15.0
TEXT_MAX = 1000
_WITH_LINES = frozenset({"note", "why"})
_CLOSE = {"Connection": "close"}


class Body:
    """The body of one request: an object whose keys are known."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a string; an absent one is empty."""
        value = self._values.get(name, "")
        if not isinstance(value, str):
            raise Refused(422, f"{name} should be text", f'for example {{"{name}": "..."}}')
        if len(value) > TEXT_MAX or not _printable(value, lines=name in _WITH_LINES):
            raise Refused(
                422,
                f"{name} should be at most {TEXT_MAX} printable characters",
                "shorten it, and write plain text",
            )
        if required and not value.strip():
            raise Refused(422, f"{name} is missing", f'send it in the body: {{"{name}": "..."}}')
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Return an object whose values are plain; numbers and booleans as they are written."""
        value = self._values.get(name, {})
        if not isinstance(value, dict):
            raise Refused(
                422, f"{name} should be an object", f'for example {{"{name}": {{"table": "orders"}}}}'
            )
        if wrong := [key for key, each in value.items() if not _plain(key) or not _plain(each)]:
            raise Refused(
                422,
                f"{name}.{ascii(wrong[0][:100])[1:-1]} should be text, a number, true or false",
                f"texts have at most {TEXT_MAX} printable characters",
            )
        return {key: each if isinstance(each, str) else json.dumps(each) for key, each in value.items()}


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_MAX and _printable(value, lines=True)
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _printable(text: str, *, lines: bool) -> bool:
    """Tell whether every store can keep a text, and a terminal show it."""
    return (text.replace("\n", "").replace("\t", "") if lines else text).isprintable()


async def read(request: web.Request, *allowed: str) -> Body:
    """Return the body; raise Refused for whatever is not a small JSON object with these keys."""
    if request.content_type != "application/json":
        raise Refused(
            415, "the body is not JSON", "send it with Content-Type: application/json", headers=_CLOSE
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refused(415, "the body is compressed", "send it as it is", headers=_CLOSE)
    if (request.content_length or 0) > SIZE_MAX_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.content.read(SIZE_MAX_BYTES + 1)
            while len(raw) <= SIZE_MAX_BYTES and not request.content.at_eof():
                raw += await request.content.read(SIZE_MAX_BYTES + 1 - len(raw))
    except TimeoutError:
        raise Refused(
            408, f"the body took more than {BODY_SECONDS:g} s", "send it again", headers=_CLOSE
        ) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(400, "the body is broken off", "send it again", headers=_CLOSE) from None
    if len(raw) > SIZE_MAX_BYTES:
        raise _too_large()
    return Body(_parsed(raw, allowed))


def _parsed(raw: bytes, allowed: tuple[str, ...]) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON", 'send an object, for example {"note": "..."}') from None
    if not isinstance(value, dict):
        raise Refused(422, "the body is no object", 'send an object, for example {"note": "..."}')
    refuse_unknown("key", list(value), allowed)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _too_large() -> Refused:
    return Refused(413, f"the body has more than {SIZE_MAX_BYTES} bytes", "send less", headers=_CLOSE)
