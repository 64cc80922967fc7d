"""What watching costs the server, by role: statements, their time, backends and their CPU."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache

import asyncpg

from collectors.postgresql import catalogue, learn
from collectors.postgresql.observer import RELEARN_SECONDS
from tests.bench.collect_process import cpu_seconds

UNKNOWN_PERIOD_SECONDS = 300.0
"""For a statement that did not run in the window and belongs to no declared probe: it is charged so often."""
_STATEMENTS = """
select s.queryid, s.query, s.calls, s.plans, s.total_exec_time, s.total_plan_time, s.rows
from pg_stat_statements s where s.userid = $1::regrole
"""
_ON_CONNECTING = ("typeinfo_tree", "from pg_catalog.pg_settings where name =")
"""What stands in statements that are only asked by a new session: no part of the steady state."""
_SESSIONS = (
    "select pid, extract(epoch from backend_start)::float8 as began from pg_stat_activity where usename = $1"
)
_LITERAL = re.compile(r"\$\d+|'(?:[^']|'')*'|-?\b\d+(?:\.\d+)?\b|\bepoch\b|\s+")
_PIECE = re.compile(r"\{[a-z_:]+\}")
_TELLING = 15
"""Characters of SQL that are enough to tell whose it is."""


@dataclass(frozen=True, slots=True)
class Statement:
    query: str
    calls: int
    plans: int
    exec_ms: float
    plan_ms: float
    rows: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a role has cost up to now."""

    statements: dict[int, Statement]
    backends: dict[int, float]
    """CPU seconds of each living backend."""


@dataclass(frozen=True, slots=True)
class Costly:
    """One statement's share."""

    query: str
    calls: float
    plans: float
    exec_ms: float
    plan_ms: float
    every_seconds: float | None
    """Set when it did not run in the window and was charged at its own pace."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Per scrape, averaged over a window."""

    exec_ms: float
    plan_ms: float
    slow_ms: float
    """The share of statements that run more seldom than the window is long; not in `exec_ms`."""
    backend_cpu_ms: float
    queries: float
    rows: float
    sessions: int
    ranking: list[Costly]


async def ledger(admin: asyncpg.Connection, role: str) -> Ledger:
    rows = await admin.fetch(_STATEMENTS, role)
    pids = [row["pid"] for row in await admin.fetch(_SESSIONS, role)]
    return Ledger(
        {
            row["queryid"]: Statement(
                row["query"],
                row["calls"],
                row["plans"],
                row["total_exec_time"],
                row["total_plan_time"],
                row["rows"],
            )
            for row in rows
        },
        {pid: cpu_seconds(pid) for pid in pids},
    )


def cost(before: Ledger, after: Ledger, scrapes: int, interval_seconds: float) -> Cost:
    """Return what one scrape costs; statements that did not run in the window are charged at their pace."""
    nothing = Statement("", 0, 0, 0.0, 0.0, 0)
    exec_ms = plan_ms = slow_ms = calls = rows = 0.0
    ranking = []
    for queryid, now in after.statements.items():
        then = before.statements.get(queryid, nothing)
        ran = now.calls - then.calls
        if ran:
            spent, planned = (now.exec_ms - then.exec_ms) / scrapes, (now.plan_ms - then.plan_ms) / scrapes
            plans = (now.plans - then.plans) / scrapes
            exec_ms += spent
            plan_ms += planned
            calls += ran / scrapes
            rows += (now.rows - then.rows) / scrapes
            ranking.append(Costly(now.query, ran / scrapes, plans, spent, planned, None))
        elif not any(words in now.query for words in _ON_CONNECTING):
            every = _pace(now.query)
            share = (now.exec_ms + now.plan_ms) / now.calls * interval_seconds / every
            slow_ms += share
            ranking.append(Costly(now.query, interval_seconds / every, 0.0, share, 0.0, every))
    backend = sum(cpu - before.backends.get(pid, 0.0) for pid, cpu in after.backends.items())
    ranking.sort(key=lambda one: -one.exec_ms - one.plan_ms)
    return Cost(
        exec_ms, plan_ms, slow_ms, backend / scrapes * 1000, calls, rows, len(after.backends), ranking
    )


def shape(query: str) -> str:
    """Return a statement without its constants and blanks: so its text is found again in the statistics."""
    return _LITERAL.sub("", query)


def _pace(query: str) -> float:
    """Return how often a statement is asked, in seconds, by the probe that it belongs to."""
    text = shape(query)
    fitting = [(len(end), every) for end, every in _ends() if text.endswith(end)]
    return max(fitting)[1] if fitting else UNKNOWN_PERIOD_SECONDS


@cache
def _ends() -> tuple[tuple[str, float], ...]:
    """Return how the SQL of each probe ends (its columns differ from server to server), and its pace."""
    found = []
    for probe in catalogue.declared():
        end = shape(_PIECE.split(probe.sql)[-1])
        if len(end) >= _TELLING:
            found.append((end, probe.info.every_seconds))
    for name in catalogue.CODE_MODULES:
        module = importlib.import_module(f"collectors.postgresql.{name}")
        every = min(probe.info.every_seconds for probe in module.PROBES)
        found += [(shape(text), every) for text in vars(module).values() if _is_sql(text)]
    found += [(shape(text), RELEARN_SECONDS) for text in vars(learn).values() if _is_sql(text)]
    return tuple((end, every) for end, every in found if every)


def _is_sql(text: object) -> bool:
    return isinstance(text, str) and "select" in text and len(text) > _TELLING
