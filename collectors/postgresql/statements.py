"""pg_stat_statements: the top statements with series of their own, and the rest in one row."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from collectors.model import Cost, Frame, Kind, LabelValues, MetricDef, Number, ProbeInfo, Target, frame_of
from collectors.postgresql.names import Names
from collectors.postgresql.probe import CodeProbe, Result, Session
from collectors.postgresql.ranked import Choice, Ranked
from collectors.postgresql.statement_columns import COLUMNS, Column, Source, source
from collectors.postgresql.statement_memory import memory_of

MOST = 50
FULL_SECONDS = 120.0
"""How often all statements are read, to choose among them and to add up the rest; in between only those
that have series: reading thousands costs the server and us most of what watching costs."""
_EARLY = 0.9
"""What comes a little early counts: the next run may be half a minute later."""
FIRST_FULL_RUNS = 2
"""All are read until the choice has seen this much: a newcomer needs two full readings."""
CHEAP_ENTRIES = 1000
"""Up to so many statements are read whole each time: that costs less than being late."""
REST_KEY: LabelValues = ("", "", "other")
"""Labels of the row that stands for every statement without series of its own."""


def _gauge(name: str, text: str, unit: str = "", kind: Kind = Kind.GAUGE) -> MetricDef:
    return MetricDef(name=f"pg_stat_statements_{name}", kind=kind, help=text, unit=unit)


STATE = (
    _gauge("entries", "Statements that pg_stat_statements holds now."),
    _gauge("entries_max", "Statements that pg_stat_statements can hold (pg_stat_statements.max)."),
    _gauge(
        "evictions_total",
        "Times the least used statements were thrown out because pg_stat_statements was full.",
        kind=Kind.COUNTER,
    ),
    _gauge("reset_timestamp_seconds", "When all statistics were reset last.", "seconds"),
    _gauge(
        "entry_resets_total",
        "Statements whose counters went back, so that what they did in between is not in `other`.",
        kind=Kind.COUNTER,
    ),
    _gauge("hidden_entries", "Statements of other users that our role may not see: they are in no series."),
)


class TopFrames:
    """Turns rows of statements into a frame, keeping the choice stable. `most` 0 means all."""

    def __init__(
        self,
        most: int,
        full_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        *,
        cheap_entries: int = CHEAP_ENTRIES,
        first_full_runs: int = FIRST_FULL_RUNS,
    ) -> None:
        self._cheap_entries = cheap_entries
        self._first_full_runs = first_full_runs
        self._most = most
        self._full_seconds = full_seconds
        self._now = now
        self._full_at = float("-inf")
        self._entries = 0
        self._asked: tuple[Source, Ranked] | None = None
        self._names = Names()
        self._members: list[Any] = []
        self._keys: list[LabelValues] = []
        self._full_runs = 0
        self.resets_total = 0

    async def frame(self, session: Session, source_: Source) -> tuple[Frame, Choice, int]:
        """Ask the server; return the frame, the choice behind it and how many rows there are."""
        if self._asked is None or self._asked[0].sql != source_.sql:
            self._asked = (source_, Ranked(source_.layout, self._most))
        asked, ranked = self._asked
        choice = await self._choice(session, asked, ranked)
        self.resets_total = ranked.resets_total
        if choice.members is not self._members or self._names.due:
            await self._names.learn(
                session, {key[0] for key in choice.members}, {key[1] for key in choice.members}
            )
            keys = [
                (self._names.user(user), self._names.database(database), str(queryid))
                for user, database, queryid in choice.members
            ]
            self._keys = self._keys if keys == self._keys[:-1] else [*keys, REST_KEY]
            self._members = choice.members
        block_size = int(session.facts.settings.get("block_size") or 8192)
        columns = _columns(choice, asked.columns, block_size)
        frame = Frame(tuple(column.metric for column in asked.columns), self._keys, columns)
        return frame, choice, self._entries

    async def _choice(self, session: Session, asked: Source, ranked: Ranked) -> Choice:
        identity = session.facts.identity
        settled = self._members and self._full_runs >= self._first_full_runs
        many = self._most > 0 and self._entries > max(self._most, self._cheap_entries)
        if settled and many and self._now() < self._full_at + _EARLY * self._full_seconds:
            # As text: for arrays of numbers the driver would have to learn a type in each session, dearly.
            queryids = list({str(key[2]) for key in self._members})
            rows = await session.fetch(f"{asked.sql} where s.queryid = any($1::text[]::int8[])", queryids)
            if (newer := ranked.refresh(rows, identity)) is not None:
                return newer
        rows = await session.fetch(asked.sql)
        self._full_at, self._entries = self._now(), len(rows)
        self._full_runs += 1
        return ranked.choose(rows, identity)


class Statements:
    """The probe `statements` of one target."""

    def __init__(
        self,
        target: Target,
        full_seconds: float = FULL_SECONDS,
        *,
        cheap_entries: int = CHEAP_ENTRIES,
        first_full_runs: int = FIRST_FULL_RUNS,
    ) -> None:
        self._memory = memory_of(target)
        detail = getattr(target.options, "statements_detail", False)
        self._wanted = tuple(column for column in COLUMNS if detail or not column.detail)
        self._top = TopFrames(
            getattr(target.options, "statements_max", MOST),
            full_seconds,
            cheap_entries=cheap_entries,
            first_full_runs=first_full_runs,
        )
        self._source: tuple[object, Source] | None = None

    async def run(self, session: Session) -> Result:
        """Read all counters and never a text, whose file may be large."""
        if self._source is None or self._source[0] is not session.facts:
            self._source = (session.facts, source(session.facts, self._wanted))
        frame, choice, entries = await self._top.frame(session, self._source[1])
        self._memory.queryids = tuple({key[2] for key in choice.members})
        state = await self._state(session, entries, choice.hidden)
        return Result([frame, state], choice.dropped)

    async def _state(self, session: Session, entries: int, hidden: int) -> Frame:
        most, dealloc, reset = (await session.fetch(_state_sql(session)))[0]
        values = (entries, most, dealloc, reset, self._top.resets_total, hidden)
        return frame_of(STATE, [((), values)])


def _state_sql(session: Session) -> str:
    facts = session.facts
    schema = facts.extensions["pg_stat_statements"].schema
    most = "pg_catalog.current_setting('pg_stat_statements.max', true)::int8"
    if not facts.has(f"{schema}.pg_stat_statements_info"):
        return f"select {most}, null::int8, null::float8"
    return (
        f"select {most}, i.dealloc::int8, extract(epoch from i.stats_reset)::float8 "  # noqa: S608
        f"from {facts.schema_of('pg_stat_statements')}.pg_stat_statements_info i"
    )


def _columns(choice: Choice, columns: Sequence[Column], block_size: int) -> Sequence[Sequence[Number | None]]:
    """Return the members' values with the rest at the end, in base units, one column per metric."""
    values = list(zip(*choice.rows, strict=True))[3:] if choice.rows else [() for _ in columns]
    rest = iter(choice.rest)
    done: list[Sequence[Number | None]] = []
    for column, numbers in zip(columns, values, strict=False):
        last = next(rest) if column.merge == "sum" else None
        scale = column.scale or block_size
        if scale == 1:
            done.append((*numbers, last))
        else:
            scaled = [number if number is None else number * scale for number in numbers]
            done.append([*scaled, last if last is None else last * scale])
    return done


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="statements",
            every_seconds=30,
            within_seconds=5,
            cost=Cost.MEDIUM,
            metrics=(*(column.metric for column in COLUMNS), *STATE),
            rows_max=MOST + 1,
        ),
        help=(
            "Top statements of pg_stat_statements by time, calls, reads and writes, temporary files and WAL. "
            'The row queryid="other" adds up what all others did since the daemon began to watch; it and the '
            "choice are renewed every two minutes, and each time while there are at most 1,000."
        ),
        make=Statements,
        needs=("extension:pg_stat_statements",),
    ),
)
