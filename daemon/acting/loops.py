"""Keeps a loop going: neither a store that is away nor a defect of ours ends it, or the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from actions.errors import StoreUnavailable

log = structlog.get_logger()
BROKEN_SECONDS = 5.0


async def again_and_again(name: str, look: Callable[[], Awaitable[None]], every_seconds: float) -> None:
    """Do it until cancelled; after trouble only every few seconds, and say so once."""
    said = ""
    while True:
        pause = every_seconds
        try:
            await look()
        except* StoreUnavailable as group:
            pause, trouble = max(pause, BROKEN_SECONDS), _first(group)
            if trouble != said:
                said = trouble
                log.warning("acting.no_store", loop=name, reason=trouble)
        except* Exception:
            pause = max(pause, BROKEN_SECONDS)
            log.exception("acting.broken", loop=name)
        else:
            said = ""
        await asyncio.sleep(pause)


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
