"""The state of the shop in the terminal: a table that lives, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from collectors.definition import duration_text
from daemon.demo.breakage import Broken
from daemon.demo.readings import FIGURES, Sight, Told
from daemon.terminal import figures
from daemon.terminal.screen import Column, table


def _state(sight: Sight) -> Text:
    if sight.up is None:
        return Text("unknown", style="yellow")
    return Text("up", style="green") if sight.up else Text(f"DOWN {sight.cause}", style="bold red")


def _connections(sight: Sight) -> str:
    used, most = sight.text("connections"), sight.text("connections_max")
    return used if most == figures.UNKNOWN else f"{used}/{most}"


_ALERTS = 8
_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_COLUMNS: tuple[Column[Sight], ...] = (
    Column("target", lambda sight: sight.name),
    Column("state", _state),
    Column("role", lambda sight: sight.role or figures.UNKNOWN, keep=3),
    Column("version", lambda sight: sight.version.split(" ")[0] or figures.UNKNOWN, keep=9),
    Column("conn", _connections, "right"),
    Column("tps", lambda sight: sight.text("commits"), "right"),
    Column("hit", lambda sight: figures.share(sight.cache_hit), "right", keep=5),
    Column("lag", lambda sight: sight.text("lag_seconds"), "right"),
    Column("lag bytes", lambda sight: sight.text("lag_bytes"), "right", keep=4),
    Column("dead rows", lambda sight: sight.text("dead_tuples"), "right", keep=2),
    Column("blocked", lambda sight: sight.text("blocked"), "right"),
    Column("longest query", lambda sight: sight.text("longest_query"), "right", keep=6),
    Column("oldest tx", lambda sight: sight.text("oldest_transaction"), "right", keep=7),
    Column("xid age", lambda sight: sight.text("xid_age"), "right", keep=8),
)


def picture(
    sights: Mapping[str, Sight],
    broken: Sequence[Broken],
    trouble: str,
    width: int,
    alerts: Sequence[Told] = (),
) -> RenderableType:
    """Return what is shown on a terminal of that width; `trouble` is why the daemon did not answer."""
    shown = [sight for sight in sights.values() if sight.engine == "postgresql"]
    parts: list[RenderableType] = [table(_COLUMNS, shown, width), Text()]
    if trouble:
        parts.append(Text(trouble, style="red"))
    if not broken:
        parts.append(Text("Nothing is broken. Try: dbarchitect demo break lock-pile-up", style="dim"))
    for one in broken:
        parts.append(Text.assemble(("broken  ", "bold red"), (one.fault.name, "bold"), f"  {_since(one)}"))
        parts.append(Text(f"        {one.said or 'being made ...'}"))
        parts.extend(Text(f"        {line}", style="cyan") for line in signs(one, sights))
    if alerts:
        parts.append(Text())
    for told in alerts[:_ALERTS]:
        style = _STYLES.get(told.severity, "") if told.state == "firing" else "dim"
        parts.append(Text.assemble((f"{told.state:8}", style), (told.name, style), f"  {told.summary}"))
    if len(alerts) > _ALERTS:
        parts.append(Text(f"        and {len(alerts) - _ALERTS} more: dbarchitect alerts", style="dim"))
    return Group(*parts)


def lines(
    sights: Mapping[str, Sight], broken: Sequence[Broken], trouble: str, alerts: Sequence[Told] = ()
) -> list[str]:
    """Return the same as plain lines, one for each target, each fault and each alert that fires."""
    clock = time.strftime("%H:%M:%S")
    found = [
        f"{clock} {sight.name}: " + ", ".join(_words(sight))
        for sight in sights.values()
        if sight.engine == "postgresql"
    ]
    found += [f"{clock} broken: {one.fault.name}: " + "; ".join(signs(one, sights)) for one in broken]
    firing = [told for told in alerts if told.state == "firing"]
    found += [f"{clock} alert: {told.severity} {told.name}: {told.summary}" for told in firing]
    return [*found, f"{clock} {trouble}"] if trouble else found


def signs(one: Broken, sights: Mapping[str, Sight]) -> list[str]:
    """Return how the daemon sees a fault."""
    found = []
    for sign in one.fault.signs:
        sight = sights.get(sign.target)
        if sight is None:
            continue
        if sign.reading == "up":
            found.append(f"{sign.target}: {_state(sight).plain} {sight.message}".rstrip())
        else:
            figure = FIGURES[sign.reading]
            every = f", asked every {figure.every}" if figure.every else ""
            number = f"{figure.title} {sight.text(sign.reading)}"
            found.append(f"{sign.target}: {number}  ({figure.metrics[0]}{every})")
    return found


def _words(sight: Sight) -> list[str]:
    if sight.up is not True:
        return [_state(sight).plain, sight.message]
    return [
        f"up, {sight.role} {sight.version.split(' ')[0]}",
        f"{_connections(sight)} connections",
        f"{sight.text('commits')} tps",
        f"hit {figures.share(sight.cache_hit)}",
        f"lag {sight.text('lag_seconds')} {sight.text('lag_bytes')}",
        f"{sight.text('dead_tuples')} dead rows",
        f"{sight.text('blocked')} blocked",
        f"longest query {sight.text('longest_query')}",
        f"oldest transaction {sight.text('oldest_transaction')}",
        f"xid age {sight.text('xid_age')}",
    ]


def _since(one: Broken) -> str:
    return f"for {duration_text(round(time.monotonic() - one.since))}"
