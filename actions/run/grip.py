"""Holds at most one fenced session of an execution, at the server that its plan was made for."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from actions.errors import Fenced, NotDone, OutcomeUnknown
from actions.model import Execution, Identity
from actions.ports import ActingSession, Hands, Tag
from actions.run.attempt import said

log = structlog.get_logger()


class Unreached(Exception):
    """There is no fenced session now; there may be one later."""


class Elsewhere(Exception):
    """What answers is not the server, role or database that the plan was made for."""


class Grip:
    """Opens the session when it is first needed, and anew when it broke."""

    def __init__(
        self, hands: Hands, execution: Execution, *, open_seconds: float, fence_seconds: float
    ) -> None:
        self._hands = hands
        self._execution = execution
        self._open_seconds = open_seconds
        self._fence_seconds = fence_seconds
        self._stack: AsyncExitStack | None = None
        self._session: ActingSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop()

    async def session(self) -> ActingSession:
        """Return the fenced session; raise Unreached or Elsewhere."""
        if self._session is not None and await self._holds(self._session):
            return self._session
        await self.drop()
        try:
            async with asyncio.timeout(self._open_seconds):
                return await self._open(fence=True)
        except TimeoutError:
            await self.drop()
            raise Unreached(f"no session within {self._open_seconds:g} s") from None
        except (NotDone, OutcomeUnknown, Fenced) as error:
            await self.drop()
            raise Unreached(said(error)) from error

    async def look(self) -> ActingSession:
        """Return a session for looking only: no fence. Raise NotDone, OutcomeUnknown or Elsewhere."""
        await self.drop()
        return await self._open(fence=False)

    async def drop(self) -> None:
        """End the session: what it holds is free as soon as the server notices."""
        stack, self._stack, self._session = self._stack, None, None
        if stack is None:
            return
        try:
            async with asyncio.timeout(self._open_seconds):
                await stack.aclose()
        except Exception as error:  # noqa: BLE001 - a session that does not end well is gone all the same
            log.warning("session.not_closed", execution=self._execution.id, reason=said(error))

    async def _holds(self, session: ActingSession) -> bool:
        try:
            async with asyncio.timeout(self._fence_seconds):
                return await session.fenced()
        except (TimeoutError, NotDone, OutcomeUnknown):
            return False

    async def _open(self, *, fence: bool) -> ActingSession:
        plan = self._execution.plan
        self._stack = AsyncExitStack()
        tag = Tag(execution=self._execution.id, epoch=self._execution.epoch)
        session = await self._stack.enter_async_context(
            self._hands.open(plan.target, plan.identity.database, tag)
        )
        if wrong := difference(plan.identity, await session.identity()):
            await self.drop()
            raise Elsewhere(f"{plan.target} is not what the plan was made for: {wrong}")
        if fence:
            await session.fence(str(plan.scope), self._fence_seconds)
        self._session = session
        return session


def difference(planned: Identity, found: Identity) -> str:
    """Say in what a server differs from the plan's; what the plan leaves empty may be anything."""
    differs = [
        f"{field.name} {getattr(found, field.name)!r} instead of {getattr(planned, field.name)!r}"
        for field in dataclasses.fields(Identity)
        if getattr(planned, field.name) and getattr(planned, field.name) != getattr(found, field.name)
    ]
    return ", ".join(differs)
