"""Texts of statements: fetched once for each statement that has series, kept out of its labels.

Asking for one text makes the server read its whole file of texts, so this is done rarely, for all new
statements at once, and the more rarely the longer it took.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from collectors.model import Cost, Frame, Kind, MetricDef, ProbeInfo, Target, frame_of
from collectors.postgresql.probe import CodeProbe, Result, Session
from collectors.postgresql.statement_memory import memory_of

EVERY_SECONDS = 60.0
LENGTH = 1000
IDS_PER_QUERY = 1000
SHARE_OF_TIME = 0.005
"""Of the wall clock, for fetching texts: a file that takes 1 s to read is read every 200 s."""
_MISSES = 3
"""A statement whose text was not found this often is not asked for again."""

KNOWN = MetricDef(
    name="pg_stat_statements_texts_known",
    kind=Kind.GAUGE,
    help="Statements with series of their own whose text is known.",
)
TOOK = MetricDef(
    name="pg_stat_statements_texts_fetch_seconds",
    kind=Kind.GAUGE,
    help="Time that the last reading of texts took.",
    unit="seconds",
)
QUERY_ID = MetricDef(
    name="pg_stat_statements_query_id",
    kind=Kind.GAUGE,
    help="Text of a statement, value 1. Off unless asked for: texts as labels cost much in a store.",
    labels=("queryid", "query"),
)
QUERY_LABEL_LENGTH = 120

# convert_to gives bytes: a text that is not valid in its encoding must not lose all the others.
_SQL = """
select distinct on (s.queryid) s.queryid,
  pg_catalog.convert_to(pg_catalog.left(s.query, {length}),
    case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)
from {schema}.pg_stat_statements(true) s
where s.queryid = any($1::text[]::int8[]) and s.query is not null
"""
_SPACE = re.compile(r"\s+")
_KEEPS_LITERALS = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(?:select|insert|update|delete|merge|with|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
_CREDENTIAL = re.compile(r"(://[^:/\s@]*:)[^@\s]*@|(\bpassword\s*=\s*)[^\s']+", re.IGNORECASE)


class StatementTexts:
    """The probe `statement_texts` of one target."""

    def __init__(self, target: Target, now: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory_of(target)
        self._now = now
        self._not_before = 0.0
        self._took_seconds: float | None = None
        self._misses: dict[int, int] = {}

    async def run(self, session: Session) -> Result:
        """Fetch the texts of statements that are new among those exported; raise CollectError."""
        memory = self._memory
        wanted = set(memory.queryids)
        memory.texts = {queryid: text for queryid, text in memory.texts.items() if queryid in wanted}
        self._misses = {queryid: count for queryid, count in self._misses.items() if queryid in wanted}
        new = [
            one for one in memory.queryids if one not in memory.texts and self._misses.get(one, 0) < _MISSES
        ]
        if new and self._now() >= self._not_before:
            await self._fetch(session, new[:IDS_PER_QUERY])
        known = sum(queryid in memory.texts for queryid in wanted)
        return Result([frame_of((KNOWN, TOOK), [((), (known, self._took_seconds))])])

    async def _fetch(self, session: Session, queryids: list[int]) -> None:
        began = self._now()
        sql = _SQL.format(schema=session.facts.schema_of("pg_stat_statements"), length=LENGTH)
        try:
            rows = await session.fetch(sql, list(map(str, queryids)))
        finally:
            self._took_seconds = self._now() - began
            self._not_before = began + self._took_seconds / SHARE_OF_TIME
        # Servers of one application have the same statements: one copy of each text serves all.
        found = {queryid: sys.intern(presentable(data.decode("utf-8", "replace"))) for queryid, data in rows}
        self._memory.texts.update(found)
        for queryid in queryids:
            if queryid not in found:
                self._misses[queryid] = self._misses.get(queryid, 0) + 1


class StatementQueryId:
    """The probe `statement_query_id` of one target: the texts as labels, for those who want that."""

    def __init__(self, target: Target) -> None:
        self._memory = memory_of(target)

    async def run(self, session: Session) -> Result:  # noqa: ARG002 - what is known is shown, nothing asked
        """Show the texts that `statement_texts` has fetched."""
        texts = self._memory.texts
        keys = [
            (str(queryid), texts[queryid][:QUERY_LABEL_LENGTH])
            for queryid in self._memory.queryids
            if queryid in texts
        ]
        return Result([Frame((QUERY_ID,), keys, [[1] * len(keys)])])


def presentable(text: str) -> str:
    """Return a text on one line, without what may be a secret.

    pg_stat_statements puts $1 for the constants of queries, not for those of utility statements, where
    passwords stand: all literals of the latter are masked.
    """
    if not _KEEPS_LITERALS.match(text):
        text = _LITERAL.sub("'***'", text)
    text = _CREDENTIAL.sub(lambda match: f"{match[1]}***@" if match[1] else f"{match[2]}***", text)
    return _SPACE.sub(" ", text).strip()


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="statement_texts",
            every_seconds=EVERY_SECONDS,
            within_seconds=20,
            cost=Cost.MEDIUM,
            metrics=(KNOWN, TOOK),
        ),
        help="Texts of the statements that have series, for the API and the terminal; never labels.",
        make=StatementTexts,
        needs=("extension:pg_stat_statements",),
    ),
    CodeProbe(
        info=ProbeInfo(
            name="statement_query_id",
            every_seconds=EVERY_SECONDS,
            within_seconds=2,
            metrics=(QUERY_ID,),
            rows_max=500,
        ),
        help="Texts of statements as a label of an info metric, as postgres_exporter has it.",
        make=StatementQueryId,
        default=False,
        needs=("extension:pg_stat_statements",),
    ),
)
