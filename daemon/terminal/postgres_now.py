"""Who is connected to a PostgreSQL target right now: sessions, lock queues, replicas."""

from __future__ import annotations

from daemon.terminal import postgres_names as names
from daemon.terminal.figures import count, seconds, size
from daemon.terminal.look import Look
from daemon.terminal.section import Cell, Row, Section, ranked

_RECEIVER = ("application_name", "client_addr", "state", "slot_name")
_WAIT = ("state", "wait_event_type", "wait_event")
_HEAD = ("datname", "usename", "application_name", "state")
_REPLICATION_CELLS = (
    Cell("REPLICA", "replica", str, "left", least=10),
    Cell("CLIENT", "client", str, "left", 5),
    Cell("STATE", "state", str, "left", 3),
    Cell("SYNC", "sync", str, "left", 4),
    Cell("LAG", "lag_bytes", size),
    Cell("TIME", "lag_seconds", seconds),
    Cell("UNFLUSHED", "flush_bytes", size, keep=6),
    Cell("SLOT", "slot", str, "left", 2, 8),
    Cell("RETAINS", "retained_bytes", size, keep=2),
)
_SESSION_CELLS = (
    Cell("STATE", "state", str, "left", least=12),
    Cell("WAITS FOR", "waits_for", str, "left", least=12),
    Cell("SESSIONS", "sessions", count),
    Cell("OLDEST XACT", "transaction_seconds", seconds, keep=1),
)
_BLOCKING_CELLS = (
    Cell("BLOCKS", "blocked", count),
    Cell("LONGEST", "longest_wait_seconds", seconds),
    Cell("HEAD IS", "state", str, "left", least=19),
    Cell("USER", "user", str, "left", 3, 8),
    Cell("DATABASE", "database", str, "left", 4, 8),
    Cell("APPLICATION", "application", str, "left", 2, 10),
    Cell("ITS XACT", "transaction_seconds", seconds, keep=1),
)


def replication(look: Look) -> Section:
    """Return who streams from here, and the slots that nobody uses."""
    rows = [*_receivers(look), *_unused_slots(look)]
    rows.sort(key=lambda row: -(row.get("lag_bytes") or row.get("retained_bytes") or 0))
    return Section(name="replication", title="Replication", cells=_REPLICATION_CELLS, rows=rows)


def sessions(look: Look) -> Section:
    """Return sessions by state and what they wait for."""
    oldest = look.grouped_most(names.SESSION_TRANSACTION, *_WAIT)
    rows = [
        {
            "state": key[0],
            "waits_for": ": ".join(filter(None, key[1:])),
            "sessions": number,
            "transaction_seconds": oldest.get(key) or None,
        }
        for key, number in look.grouped(names.SESSIONS, *_WAIT).items()
        if number
    ]
    return Section(
        name="sessions",
        title="Sessions",
        cells=_SESSION_CELLS,
        rows=ranked(rows, "sessions"),
        weight=2,
        empty="nobody is connected, or our role may not see who is (it needs pg_monitor)",
    )


def blocking(look: Look) -> Section:
    """Return the heads of the queues for locks."""
    waits, ages = (look.grouped_most(name, *_HEAD) for name in (names.HEAD_WAIT, names.HEAD_TRANSACTION))
    rows = [
        {
            "database": key[0],
            "user": key[1],
            "application": key[2],
            "state": key[3],
            "blocked": blocked,
            "longest_wait_seconds": waits.get(key),
            "transaction_seconds": ages.get(key),
        }
        for key, blocked in look.grouped(names.HEAD_BLOCKED, *_HEAD).items()
    ]
    depth = look.value(names.BLOCKING_DEPTH)
    title = f"Blocking: {count(look.value(names.BLOCKED))} wait, {count(depth)} deep"
    return Section(name="blocking", title=title, cells=_BLOCKING_CELLS, rows=ranked(rows, "blocked"))


def _receivers(look: Look) -> list[Row]:
    lags, delays, flushes, syncs = (
        look.grouped_most(name, *_RECEIVER)
        for name in (
            names.SENT_TO_BYTES,
            names.SENT_TO_SECONDS,
            names.SENT_TO_FLUSH_BYTES,
            names.SENT_TO_SYNC,
        )
    )
    retained = look.grouped_most(names.SLOT_BYTES, "slot_name")
    return [
        {
            "replica": key[0] or key[1],
            "client": key[1],
            "state": key[2],
            "slot": key[3],
            "sync": "sync" if syncs.get(key) else "async",
            "lag_bytes": lags.get(key),
            "flush_bytes": flushes.get(key),
            "lag_seconds": delays.get(key),
            "retained_bytes": retained.get((key[3],)) if key[3] else None,
        }
        for key in {**syncs, **lags}
    ]


def _unused_slots(look: Look) -> list[Row]:
    retained = look.grouped_most(names.SLOT_BYTES, "slot_name")
    return [
        {"replica": "", "state": "not in use", "slot": key[0], "retained_bytes": retained.get(key)}
        for key, active in look.grouped_most(names.SLOT_ACTIVE, "slot_name").items()
        if not active
    ]
