"""The screen of a PostgreSQL target."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.terminal import postgres_names as names
from daemon.terminal import postgres_now, postgres_work
from daemon.terminal.figures import UNKNOWN, count, per_second, seconds, share, size
from daemon.terminal.look import Look, part
from daemon.terminal.section import Fact, Screen

_NEARLY_FULL = 0.9
_LONG_SECONDS = 300.0
"""A transaction that is open for longer is worth a glance."""
_LATE_SECONDS = 10.0


def screen(look: Look, statements_by: str, tables_by: str) -> Screen:
    """Return what to show; `*_by` are the orders of the rows."""
    target = look.target
    started = look.value(names.STARTED)
    uptime = f"up {seconds(look.age(started))}" if started is not None else ""
    title = (target.name, f"PostgreSQL {target.version}".strip(), target.role, uptime)
    if not target.up:
        return Screen(title=title)
    return Screen(
        title=title,
        facts=list(_facts(look)),
        sections=(
            postgres_now.blocking(look),
            postgres_now.replication(look),
            postgres_work.statements(look, statements_by),
            postgres_now.sessions(look),
            postgres_work.tables(look, tables_by),
            postgres_work.databases(look),
        ),
    )


def _facts(look: Look) -> Iterator[Fact]:
    commits, rollbacks = look.rate(names.COMMITS), look.rate(names.ROLLBACKS)
    yield _number("tps", None if commits is None else commits + (rollbacks or 0.0))
    yield _number("rollbacks", rollbacks, per=True)
    yield _connections(look)
    for title, name in (("active", names.ACTIVE), ("idle in transaction", names.IDLE_IN_TRANSACTION)):
        yield _number(title, look.value(name))
    waiting = look.value(names.WAITING)
    yield Fact(title="waiting for locks", value=waiting, text=count(waiting), bad=bool(waiting))
    hit = part(look.rate(names.BLOCKS_HIT), look.rate(names.BLOCKS_READ))
    yield Fact(title="cache hit", value=hit, text=share(hit))
    wal = look.rate(names.WAL_BYTES)
    wal = look.rate(names.WAL_POSITION) if wal is None else wal
    yield Fact(title="WAL", value=wal, text=per_second(size(wal)))
    temp = look.rate(names.TEMP_BYTES)
    yield Fact(title="temp", value=temp, text=per_second(size(temp)))
    yield _number("deadlocks", look.total(names.DEADLOCKS))
    oldest = look.value(names.OLDEST_TRANSACTION)
    yield Fact(
        title="oldest transaction", value=oldest, text=seconds(oldest), bad=(oldest or 0.0) > _LONG_SECONDS
    )
    yield from _horizon(look)
    yield from _lag(look)
    if look.value(names.ARCHIVE_FAILING):
        yield Fact(title="archiving", value="failing", text="failing", bad=True)


def _number(title: str, value: float | None, *, per: bool = False) -> Fact:
    return Fact(title=title, value=value, text=per_second(count(value)) if per else count(value))


def _connections(look: Look) -> Fact:
    used, usable = look.value(names.USED), look.value(names.USABLE)
    used = look.total(names.BACKENDS) if used is None else used
    text = count(used) if usable is None else f"{count(used)}/{count(usable)}"
    full = used is not None and usable is not None and used >= _NEARLY_FULL * usable
    return Fact(title="connections", value={"used": used, "usable": usable}, text=text, bad=full)


def _horizon(look: Look) -> Iterator[Fact]:
    """Give what keeps VACUUM from removing dead rows, of all tables or of the catalogs."""
    by = ("holds", "kind", "name")
    seconds_held = look.grouped_most(names.HORIZON_SECONDS, *by)
    seen = set()
    for key, age in sorted(look.grouped_most(names.HORIZON_AGE, *by).items(), reverse=True):
        holds, kind, name = key
        if (kind, name) in seen:
            continue
        seen.add((kind, name))
        held_for = seconds_held.get(key)
        text = f"{kind.replace('_', ' ')} {name}".strip() + f", {count(age)} xacts"
        text += f" in {seconds(held_for)}" if held_for is not None else ""
        title = "catalog xmin held by" if holds == "catalogs" else "xmin held by"
        value = {"kind": kind, "name": name, "age": age, "seconds": held_for}
        yield Fact(title=title, value=value, text=text, bad=(held_for or 0.0) > _LONG_SECONDS)


def _lag(look: Look) -> Iterator[Fact]:
    """Give a replica's own lag."""
    if look.target.role != "replica":
        return
    lag = look.value(names.REPLICATION_LAG)
    state = next((key[0] for key, on in look.grouped(names.REPLICATION_STATE, "state").items() if on), "")
    text = " ".join(
        filter(None, (seconds(lag) if lag is not None else UNKNOWN, f"({state})" if state else ""))
    )
    bad = (lag or 0.0) > _LATE_SECONDS or state in ("disconnected", "paused", "unknown")
    yield Fact(title="lag", value={"seconds": lag, "state": state}, text=text, bad=bad)
