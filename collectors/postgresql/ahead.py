"""Asks several light probes in one statement: one answer to wait for, one statement to be kept prepared.

A probe that asks one question without parameters is known after its first run. From then on the questions
of all such probes that are due together go to the server as one, each as an array of records. Whatever goes
wrong with that, each probe asks for itself: a mistake or a missing right stays the matter of one probe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from collectors.errors import CollectError, Unreachable
from collectors.postgresql.client import Asking, PostgresSession, asking
from collectors.postgresql.facts import Facts
from collectors.postgresql.named import Make, row_maker
from collectors.postgresql.probe import Session


@dataclass(slots=True)
class _Question:
    sql: str
    make: Make | None
    """Makes a row; None until the names of the columns are known, from the first row that came."""


class Ahead:
    """What the probes of one server ask first, and the answers that came for several in one."""

    def __init__(self) -> None:
        self._questions: dict[str, _Question | None] = {}
        """By probe; None for one whose question has parameters."""
        self._answers: dict[str, Sequence[tuple[Any, ...]]] = {}
        self._share_seconds: dict[str, float] = {}
        self._broken: set[tuple[str, ...]] = set()
        self._met: set[str] = set()

    def forget(self) -> None:
        """Begin anew: the server may offer something else now."""
        self._questions.clear()
        self._answers.clear()
        self._broken.clear()
        self._met.clear()

    def drop(self) -> None:
        """Forget answers that nobody took: they grow old."""
        self._answers.clear()

    async def ask(
        self, session: PostgresSession, probes: Sequence[str], within_seconds: float, *, kept: bool
    ) -> None:
        """Get what these probes will ask first; never raises for what the server does.

        When one of them is new nothing is asked: statements that change would all be kept prepared.
        """
        new = not self._met.issuperset(probes)
        self._met.update(probes)
        known = {name: question.sql for name in probes if (question := self._questions.get(name))}
        group, questions = tuple(known), tuple(known.values())
        if new or len(group) < 2 or group in self._broken:  # noqa: PLR2004 - one alone gains nothing
            return
        began = time.monotonic()
        asking.set(Asking(within_seconds, kept=kept))
        try:
            async with asyncio.timeout(within_seconds):
                rows = await session.fetch(_together(questions))
        except TimeoutError:
            self._broken.add(group)
            await session.recover()
        except Unreachable:
            pass  # each of them will say so
        except CollectError:
            self._broken.add(group)
        else:
            self._answers.update(zip(group, rows[0], strict=True))
            share = (time.monotonic() - began) / len(group)
            self._share_seconds.update(dict.fromkeys(group, share))

    def told(self, probe: str, session: Session) -> Told:
        """Return the session for one run of a probe: it answers first with what was asked ahead."""
        return Told(self, probe, session)

    def share_seconds(self, probe: str) -> float:
        """Return what the answer that the probe has just taken cost; 0 when it asked for itself."""
        return self._share_seconds.pop(probe, 0.0)

    def take(self, probe: str, sql: str) -> Sequence[Any] | None:
        """Return the rows for a probe's question, once; None when it has to be asked."""
        question, rows = self._questions.get(probe), self._answers.pop(probe, None)
        if rows is None or question is None or question.sql != sql:
            return None
        if not rows:
            return ()
        return None if question.make is None else list(map(question.make, rows))

    def alone(self, probe: str) -> bool:
        """Tell whether the probe goes on asking for itself, so that its statement is worth keeping."""
        return any(probe in group for group in self._broken)

    def learn(self, probe: str, sql: str, args: Collection[Any], rows: Sequence[Any]) -> None:
        """Note what a probe asked first."""
        make = row_maker(tuple(rows[0].keys())) if rows else None
        self._questions[probe] = None if args else _Question(sql, make)


@lru_cache(maxsize=256)
def _together(questions: tuple[str, ...]) -> str:
    """Return the one statement for these: the same object for all servers that are asked the same."""
    arrays = (f"array(select row(q.*) from (\n{sql}\n) q)" for sql in questions)  # noqa: S608 - our own
    return f"select {', '.join(arrays)}"


class Told:
    """A session as one run of a probe sees it."""

    def __init__(self, ahead: Ahead, probe: str, session: Session) -> None:
        self._ahead = ahead
        self._probe = probe
        self._session = session
        self._first = True

    @property
    def facts(self) -> Facts:
        """What the server offers."""
        return self._session.facts

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:  # noqa: ANN401 - a parameter can be anything
        """Return the rows of one statement; raise CollectError."""
        first, self._first = self._first, False
        if not first:
            return await self._session.fetch(sql, *args)
        rows = None if args else self._ahead.take(self._probe, sql)
        if rows is None:
            how = asking.get()
            asking.set(replace(how, kept=how.kept and (bool(args) or self._ahead.alone(self._probe))))
            rows = await self._session.fetch(sql, *args)
            asking.set(how)
            self._ahead.learn(self._probe, sql, args, rows)
        return rows
