"""Has one effect, with a deadline, and tells what is known of it. Passing the deadline means unknown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from actions.errors import NotDone
from actions.model import Json, OnStop, Outcome
from actions.run.ledger import plain

LOOK_SECONDS = 0.5
"""How often a step that can be cancelled looks whether everything is told to stop."""

LATE_SHARE = 0.05
"""What ends without an answer in this last part of its time counts as late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of an attempt."""

    outcome: Outcome
    evidence: Mapping[str, Json] = field(default_factory=dict)
    reason: str = ""
    again: bool = False
    late: bool = False
    shutdown: bool = False
    """We were cancelled meanwhile: whoever asked raises CancelledError once this is written down."""

    @property
    def body(self) -> dict[str, Json]:
        """Return it for the journal."""
        told: dict[str, Json] = {"outcome": self.outcome, "evidence": self.evidence}
        for name in ("reason", "again", "late"):
            if getattr(self, name):
                told[name] = getattr(self, name)
        return told


async def perform(
    effect: Coroutine[Any, Any, Mapping[str, Json]],
    *,
    deadline_seconds: float,
    on_stop: OnStop,
    halted: Callable[[], str],
    cancel_seconds: float,
) -> Known:
    """Run an effect to its end, its deadline, or until `halted` says why it must be cancelled.

    A cancellation of ours follows `on_stop` too: FINISH goes on to the end. An effect that is deaf to being
    cancelled is left behind after `cancel_seconds`; its outcome is unknown.
    """
    loop = asyncio.get_running_loop()
    # A task of its own, since our own cancellation must not end what is to be finished. It is always awaited.
    task = loop.create_task(effect)
    until, why, late, shutdown = loop.time() + deadline_seconds, "", False, False
    while not task.done() and not why:
        left = until - loop.time()
        if left <= 0:
            late, why = True, f"no answer within its deadline of {deadline_seconds:g} s"
            continue
        shutdown |= await _interrupted(task, min(left, LOOK_SECONDS) if on_stop is OnStop.CANCEL else left)
        if on_stop is OnStop.CANCEL and not task.done():
            why = "we are shutting down" if shutdown else halted()
    if not task.done():
        task.cancel()
        shutdown |= await _interrupted(task, cancel_seconds)
    # A server that has the same deadline ends it about when we would have.
    late |= loop.time() >= until - deadline_seconds * LATE_SHARE
    return _known(task, why, late=late, shutdown=shutdown)


async def _interrupted(task: asyncio.Task[Any], seconds: float) -> bool:
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        return True
    return False


def _known(task: asyncio.Task[Mapping[str, Json]], why: str, *, late: bool, shutdown: bool) -> Known:
    if not task.done():
        task.add_done_callback(_heard)
        reason = f"{why}; it is deaf to being cancelled"
        return Known(outcome=Outcome.UNKNOWN, reason=reason, late=late, shutdown=shutdown)
    if task.cancelled():
        reason = why or "it was cancelled from within"
        return Known(outcome=Outcome.UNKNOWN, reason=reason, late=late, shutdown=shutdown)
    error = task.exception()
    if error is None:
        return Known(outcome=Outcome.OK, evidence=plain(task.result()), shutdown=shutdown)
    if isinstance(error, NotDone):
        reason = f"{error} ({why})" if why else str(error)
        return Known(outcome=Outcome.FAILED_CLEAN, reason=reason, again=error.again, shutdown=shutdown)
    if not isinstance(error, Exception):
        raise error
    return Known(outcome=Outcome.UNKNOWN, reason=said(error), late=late, shutdown=shutdown)


def said(error: Exception) -> str:
    """Return what an error says, or what it is where it says nothing."""
    return str(error) or type(error).__name__


def _heard(task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
