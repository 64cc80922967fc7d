"""Opens acting sessions at targets, by the configuration in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from actions.errors import NotDone
from actions.model import Identity
from actions.ports import ActingSession, Tag
from actions.postgresql.client import Credentials, connect
from collectors.model import Target
from collectors.postgresql.options import PostgresOptions

Targets = Callable[[], Mapping[str, Target]]
Who = Callable[[str], Credentials | None]
"""Says who acts at a target; None: nobody may, so the watching role looks on."""


class TargetHands:
    """Opens sessions at watched targets; others are not reachable through it, whatever they are called."""

    def __init__(self, targets: Targets, who: Who) -> None:
        self._targets = targets
        self._who = who

    def open(self, target: str, database: str, tag: Tag) -> AbstractAsyncContextManager[ActingSession]:
        """Open a session; without `act` in the target's configuration it can only read."""
        return self._open(target, database, tag)

    @asynccontextmanager
    async def _open(self, name: str, database: str, tag: Tag) -> AsyncIterator[ActingSession]:
        target = self._targets().get(name)
        if target is None:
            raise NotDone(f"{name}: there is no such target in the configuration")
        if isinstance(target.options, PostgresOptions):
            async with connect(target.options, self._who(name), database, tag) as session:
                yield session
        else:
            yield NoSession(name)


class NoSession:
    """Stands where an engine has no acting sessions: for actions that need none.

    It has no fence: what such an action does must itself be refused when it is begun twice.
    """

    def __init__(self, target: str) -> None:
        self.target = target

    async def identity(self) -> Identity:
        """Say nothing: nobody was asked."""
        return Identity()

    async def fence(self, scope: str, within_seconds: float) -> None:
        """Hold nothing."""

    async def fenced(self) -> bool:
        """Tell that nothing was lost."""
        return True
