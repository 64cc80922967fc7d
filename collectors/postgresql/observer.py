"""Watches one PostgreSQL server: what it is, what can be asked of it, and the answers."""

from __future__ import annotations

import asyncio
import fnmatch
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors import choose
from collectors.definition import ProbeDef
from collectors.engine import Finding
from collectors.errors import CollectError, NotAllowed, NotSupported, TimedOut, Unreachable
from collectors.model import Cost, Failure, Observation, ProbeInfo, Rejection, Scope, Target, Up
from collectors.postgresql import catalogue
from collectors.postgresql.ahead import Ahead
from collectors.postgresql.choice import chosen, wants_of
from collectors.postgresql.client import Asking, PostgresSession, asking
from collectors.postgresql.facts import Facts, quote_ident
from collectors.postgresql.inspect import inspect
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.probe import CodeProbe, Result, Runner
from collectors.postgresql.rows import FrameMaker
from collectors.postgresql.sessions import Sessions

RELEARN_SECONDS = 600.0
UNSUPPORTED_AGAIN_SECONDS = 60.0
DENIED_AGAIN_SECONDS = 3600.0
SELDOM_SECONDS = 60.0
SLOW_SECONDS = 0.25
"""A server that takes this long over a question that reads nothing is short of processors."""
_NAMED = 5
_ALIVE = """
select pg_catalog.pg_is_in_recovery() as in_recovery,
  extract(epoch from pg_catalog.pg_postmaster_start_time())::float8 as started_at,
  pg_catalog.pg_has_role('pg_monitor', 'USAGE') as monitor,
  pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') as reads_all
"""
_DATABASES = """
select d.datname::text as name, pg_catalog.has_database_privilege(d.oid, 'CONNECT') as open
from pg_catalog.pg_database d
where d.datallowconn and not d.datistemplate
order by 1
"""


@dataclass(slots=True)
class _Declared:
    query: choose.Query
    maker: FrameMaker


class PostgresObserver:
    """Observer of one server. See `collectors.engine.Observer`."""

    def __init__(self, target: Target, custom: Sequence[ProbeDef] = ()) -> None:
        if not isinstance(target.options, PostgresOptions):
            raise TypeError(f"{target.name}: not PostgreSQL options")
        self._target = target
        self._options = target.options
        self._definitions = choose.wanted([*catalogue.declared(), *custom], target)
        self._sessions = Sessions(self._options, wants_of(custom))
        self._sources = {one.name: one.source for one in custom}
        self._code = [one for one in catalogue.in_code() if target.wants(one.info.name, one.default)]
        self._facts: Facts | None = None
        self._plan: dict[str, ProbeInfo] = {}
        self._rejections: tuple[Rejection, ...] = ()
        self._runners: dict[tuple[str, str], _Declared | Runner | Rejection] = {}
        self._absent: dict[tuple[str, str], Rejection] = {}
        self._denied: dict[tuple[str, str], tuple[float, str]] = {}
        self._distress: dict[str, str] = {}
        self._databases: tuple[str, ...] = ()
        self._learned_at = float("-inf")
        self._stale_facts = False
        self._was_slow = False
        self._unsupported_at = float("-inf")
        self._ahead = Ahead()

    @property
    def sessions(self) -> int:
        """Return how many sessions are open on the server."""
        return self._sessions.count

    async def up(self) -> Up:
        """Ask whether the server answers; see `Observer.up`."""
        try:
            async with asyncio.timeout(self._target.deadline_seconds):
                await self._look()
        except CollectError as error:
            return self._down(error)
        except TimeoutError:
            if not await self._lives():
                seconds = self._target.deadline_seconds
                return self._down(TimedOut(f"{self._options.address}: no answer within {seconds:g} s"))
        facts = self._facts
        assert facts is not None  # noqa: S101 - _look learned them or raised, or a look before did
        return Up(
            up=True, at=time.time(), role=facts.role, version=facts.version, identity=facts.identity,
            distress=next(iter(self._distress.values()), ""),
            details={"pooled": "true"} if facts.pooled else {},
        )  # fmt: skip

    def plan(self) -> Sequence[ProbeInfo]:
        """Return the probes that fit the server."""
        return list(self._plan.values())

    def rejections(self) -> Sequence[Rejection]:
        """Return what is not collected, denied probes included."""
        denied = [Rejection(name, "", f"denied: {why}") for (name, _), (_, why) in self._denied.items()]
        return [*self._rejections, *denied, *_absences(self._absent, len(self._databases))]

    def databases(self) -> Sequence[str]:
        """Return the databases for per-database probes, the main one first."""
        return self._databases

    async def ask_ahead(self, probes: Sequence[str]) -> None:
        """Get in a few statements what these probes will ask; see `AsksAhead`."""
        self._ahead.drop()
        session = self._sessions.main
        paces: dict[float, list[ProbeInfo]] = {}
        for name in probes:
            info = self._plan.get(name)
            if info is not None and (name, "") not in self._denied and self._goes_along(info):
                paces.setdefault(info.every_seconds, []).append(info)
        for pace, group in paces.items():
            if session is not None and not session.closed:
                names, within = [info.name for info in group], max(info.within_seconds for info in group)
                await self._ahead.ask(session, names, within, kept=pace < SELDOM_SECONDS)

    async def run(self, probe: str, database: str = "") -> Observation:
        """Run one probe; failures are in the observation."""
        began = time.monotonic()
        info = self._plan.get(probe)
        if info is None:
            return self._failed(
                probe, database, began, Failure("unsupported", f"{probe} is not collected here")
            )
        denied = self._denied.get((probe, database))
        if denied and began - denied[0] < DENIED_AGAIN_SECONDS:
            return self._failed(probe, database, began, Failure("denied", denied[1]))
        session: PostgresSession | None = None
        asking.set(Asking(info.within_seconds, kept=info.every_seconds < SELDOM_SECONDS))
        try:
            async with asyncio.timeout(info.within_seconds):
                session = await self._sessions.get(database)
                result = await self._ask(info, database, session)
        except TimeoutError:
            if session is not None:
                await session.recover()
            why = f"{self._options.address}: {probe} took longer than {info.within_seconds:g} s"
            return self._failed(probe, database, began, Failure("timed_out", self._placed(why, probe)))
        except CollectError as error:
            return self._failed(probe, database, began, self._judge(error, probe, database))
        self._denied.pop((probe, database), None)
        self._distress.pop(probe, None)
        if result.distress:
            self._distress[probe] = result.distress
        return Observation(
            probe=probe, database=database, at=time.time(),
            took_seconds=time.monotonic() - began + self._ahead.share_seconds(probe),
            frames=tuple(result.frames), dropped=result.dropped,
        )  # fmt: skip

    async def inspect(self) -> Sequence[Finding]:
        """Tell a person what works here; see `Observer.inspect`."""
        if self._facts is None:
            return []
        session = self._sessions.main
        return await inspect(self._facts, session, self._options, self.rejections()) if session else []

    def ask_anew(self) -> None:
        """Look again at what the server offers and allows at the next occasion."""
        self._denied.clear()
        self._stale_facts = True

    async def close(self) -> None:
        """End all sessions."""
        await self._sessions.close()

    async def _look(self) -> None:
        session = self._sessions.main
        if session is None:
            session = await self._sessions.get_main()
            await self._learned(session)
            return
        try:
            row = (await session.fetch(_ALIVE))[0]
        except Unreachable:
            # The server may have restarted between two looks: one new attempt decides.
            await self._sessions.drop_main()
            await self._learned(await self._sessions.get_main())
            return
        self._feel(session.took_seconds)
        facts = session.facts
        seen = (row["in_recovery"], row["started_at"], row["monitor"], row["reads_all"])
        rights = (facts.has("role:pg_monitor"), facts.has("role:pg_read_all_stats"))
        changed = seen != (facts.in_recovery, facts.started_at, *rights)
        if changed or self._stale_facts or time.monotonic() - self._learned_at > RELEARN_SECONDS:
            await session.relearn(anew=self._stale_facts)
            await self._learned(session)

    async def _lives(self) -> bool:
        """Tell whether a server that missed the deadline answers nevertheless; if not, end the session.

        A server that is short of processors would be hurt most by being connected to anew.
        """
        session = self._sessions.main
        if session is None:
            return False
        if not session.waits_for_others:
            await session.recover()
            if session.closed:
                await self._sessions.drop_main()
                return False
            self._distress["up"] = "load"
        # Else it is taken by a slow probe that is still within its own deadline; that deadline decides.
        return self._facts is not None

    def _feel(self, took_seconds: float) -> None:
        """Judge the server's load by what the cheapest of all questions takes, twice in a row."""
        slow = took_seconds > SLOW_SECONDS
        if slow and self._was_slow:
            self._distress["up"] = "load"
        elif not slow:
            self._distress.pop("up", None)
        self._was_slow = slow

    async def _learned(self, session: PostgresSession) -> None:
        self._learned_at = float("-inf")  # until the end is reached: it may be cut short by a deadline
        if self._facts is not None and self._facts.identity != session.facts.identity:
            self._denied.clear()
        self._facts = session.facts
        rows = await session.fetch(_DATABASES)
        names = [row["name"] for row in rows if row["open"] and self._is_wanted(row["name"])]
        shut = [row["name"] for row in rows if not row["open"] and self._is_wanted(row["name"])]
        main = self._options.dbname
        self._databases = tuple(sorted(names, key=lambda name: (name != main, name)))
        choice = chosen(self._definitions, self._code, session.facts)
        self._plan = {name: query.probe.info for name, query in choice.queries.items()}
        self._plan |= {name: one.info for name, one in choice.code.items()}
        # What the main database lacks another may have: that is seen in each.
        every: tuple[ProbeDef | CodeProbe, ...] = (*self._definitions, *self._code)
        elsewhere = {
            one.info.name: one.info
            for one in every
            if one.info.scope is Scope.DATABASE and _local(one, session.facts)
        }
        here = (one for one in choice.rejections if one.what or one.probe not in elsewhere)
        self._rejections = (*here, *_shut(shut, session.facts))
        self._plan |= elsewhere
        self._absent.clear()
        self._ahead.forget()
        self._runners = {
            key: runner for key, runner in self._runners.items()
            if key[0] in self._plan and not isinstance(runner, _Declared | Rejection)
        }  # fmt: skip
        self._learned_at = time.monotonic()
        self._stale_facts = False

    def _is_wanted(self, database: str) -> bool:
        choice = self._options.databases
        return any(fnmatch.fnmatchcase(database, pattern) for pattern in choice.include) and not any(
            fnmatch.fnmatchcase(database, pattern) for pattern in choice.exclude
        )

    async def _ask(self, info: ProbeInfo, database: str, session: PostgresSession) -> Result:
        key = (info.name, database if info.scope is Scope.DATABASE else "")
        runner = self._runners.get(key)
        if runner is None:
            runner = self._runners[key] = self._make(info.name, session.facts)
        if isinstance(runner, Rejection):
            self._absent[info.name, database] = runner
            return Result(())
        where = self._ahead.told(info.name, session) if self._goes_along(info) else session
        if not isinstance(runner, _Declared):
            return await runner.run(where)
        rows = await where.fetch(runner.query.sql)
        frame, dropped = runner.maker.frame(rows)
        return Result((frame,), dropped)

    def _goes_along(self, info: ProbeInfo) -> bool:
        """Tell whether a probe may be asked in one statement with others: what users wrote asks alone."""
        ours = info.name not in self._sources
        return ours and info.scope is Scope.SERVER and info.cost is Cost.LIGHT

    def _make(self, name: str, facts: Facts) -> _Declared | Runner | Rejection:
        """Chosen again for the database at hand: extensions and tables differ from one to the next."""
        choice = chosen(self._definitions, self._code, facts)
        if name in choice.code:
            return choice.code[name].make(self._target)
        if name not in choice.queries:
            whole = (one for one in choice.rejections if one.probe == name and not one.what)
            return next(whole, Rejection(name, "", "not declared"))
        return _Declared(choice.queries[name], FrameMaker(choice.queries[name]))

    def _judge(self, error: CollectError, probe: str, database: str) -> Failure:
        if isinstance(error, NotAllowed):
            self._denied[probe, database] = (time.monotonic(), str(error))
        if isinstance(error, NotSupported):
            # Something was dropped or upgraded: ask again what there is. Not each time, though: what
            # stays wrong is a mistake in a query.
            now = time.monotonic()
            if now - self._unsupported_at > UNSUPPORTED_AGAIN_SECONDS:
                self._stale_facts, self._unsupported_at = True, now
            self._runners.pop((probe, database), None)
        return Failure(error.cause, self._placed(str(error), probe))

    def _placed(self, message: str, probe: str) -> str:
        """Add to a message about a probe of the user's own where it is declared."""
        source = self._sources.get(probe, "")
        return message if source in message else f"{message} ({probe} is declared in {source})"

    def _failed(self, probe: str, database: str, began: float, failure: Failure) -> Observation:
        return Observation(
            probe=probe,
            database=database,
            at=time.time(),
            took_seconds=time.monotonic() - began,
            failure=failure,
        )

    def _down(self, error: CollectError) -> Up:
        self._distress.clear()
        return Up(up=False, at=time.time(), failure=Failure(error.cause, str(error)))


def _local(probe: ProbeDef | CodeProbe, facts: Facts) -> bool:
    """Tell whether a probe fits, but for things that may differ from one database to the next."""
    if probe.role not in ("any", facts.role):
        return False
    need = choose.missing(probe.needs, facts.has)
    common = ("version:", "setting:", "role:", "superuser", "pg_catalog.", "function:pg_catalog.")
    return not any(one.strip().removeprefix("!").startswith(common) for one in need.split("|"))


def _absences(absent: Mapping[tuple[str, str], Rejection], databases: int) -> list[Rejection]:
    """Return one rejection for each probe that some databases cannot answer; only some are named."""
    by_probe: dict[str, list[tuple[str, Rejection]]] = {}
    for (probe, database), one in absent.items():
        by_probe.setdefault(probe, []).append((database, one))
    found = []
    for probe, places in by_probe.items():
        one = places[0][1]
        names = [database for database, _ in places]
        named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        where = "" if len(places) >= databases else f" (in {named})"
        found.append(Rejection(probe, "", one.reason + where, one.expected or bool(where)))
    return found


def _shut(databases: Sequence[str], facts: Facts) -> list[Rejection]:
    """Return the one reason for databases that may not be entered; only some are named."""
    if not databases:
        return []
    named = ", ".join(databases[:_NAMED]) + (", ..." if len(databases) > _NAMED else "")
    grant = f"GRANT CONNECT ON DATABASE {quote_ident(databases[0])} TO {quote_ident(facts.user)}"
    reason = f"the role may not connect to {len(databases)} databases ({named}): {grant}, or exclude them"
    return [Rejection("databases", "", reason)]
