"""What a fault is: it breaks something on entry, and heals it on exit."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from daemon.demo.servers import Servers

Held = AsyncIterator[str]
"""Yields once, what was done, and goes on when that is to be healed.

On the demo's own exit it is cancelled instead: what must not outlive the servers belongs into a `finally`.
"""


class CannotBreak(Exception):
    """A fault cannot be made here and now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Where a fault shows: a reading of one target, by its key in `daemon.demo.readings`."""

    target: str
    reading: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken."""

    name: str
    summary: str
    signs: tuple[Sign, ...]
    hold: Callable[[Servers], contextlib.AbstractAsyncContextManager[str]]


def fault(name: str, summary: str, *signs: Sign) -> Callable[[Callable[[Servers], Held]], Fault]:
    """Make a fault of an asynchronous generator."""

    def make(body: Callable[[Servers], Held]) -> Fault:
        return Fault(name, summary, signs, contextlib.asynccontextmanager(body))

    return make


def need_replica(servers: Servers) -> None:
    """Raise `CannotBreak` while the replica is down."""
    if not servers.replica.running:
        raise CannotBreak("the replica is down; start it with: dbarchitect demo heal replica-down")
