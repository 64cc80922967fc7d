"""`dbarchitect alerts`: what fires and what is about to, the worst first."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from collectors.strict_yaml import did_you_mean
from daemon.terminal.client import Address, CannotAsk, Client, connected
from daemon.terminal.figures import UNKNOWN, seconds
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.screen import Column, console, plain, table
from daemon.terminal.view import targets as ask_targets

_SEVERITIES = {"critical": 0, "warning": 1, "info": 2}
_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_STATES = ("firing", "pending")
_NAMELESS = ("alertname", "severity", "target")
_NAMES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One alert as it is listed."""

    name: str
    severity: str
    target: str
    state: str
    active_at: float
    """Unix time, seconds."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    sources: Sequence[str]
    """`rules`, `alertmanager`, or both."""
    value: str

    @property
    def order(self) -> tuple[int, int, float, str]:
        """Return where it stands: what fires first, the severe first, the older first."""
        severity = _SEVERITIES.get(self.severity, len(_SEVERITIES))
        return (_STATES.index(self.state), severity, self.active_at, self.name)


def alerts(
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    target: Annotated[list[str] | None, typer.Option(help="Of these targets only.")] = None,
    firing: Annotated[bool, typer.Option("--firing", help="Leave out what is still pending.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the description and all labels.")
    ] = False,
    output: Annotated[Output, typer.Option(help="table or json.")] = Output.TABLE,
) -> None:
    """Show the alerts of the daemon's rules, and those that Alertmanagers sent it.

    Exit code 0: whatever there is. 2: the daemon could not be asked.
    """
    where = address(url, config, token_file, ca_file)
    try:
        found = asyncio.run(_ask(where, target or ()))
    except CannotAsk as error:
        give_up(str(error))
    lines = sorted(
        (
            line
            for line in found
            if line.state in _STATES[: 1 if firing else 2] and (not target or line.target in target)
        ),
        key=lambda line: line.order,
    )
    if output is Output.JSON:
        typer.echo(json.dumps({"alerts": [asdict(line) for line in lines]}, indent=2))
    else:
        _print(console(), lines, verbose=verbose)


async def _ask(where: Address, targets: Sequence[str]) -> list[Line]:
    async with connected(where) as client:
        answer = await client.json("/api/v1/alerts")
        try:
            lines = [_line(each) for each in answer["data"]["alerts"]]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise CannotAsk(client.stranger("/api/v1/alerts", "it has another form")) from None
        if unknown := set(targets) - {line.target for line in lines}:
            # No alerts of a name that is spelt wrong would read as if all were well.
            await _check_targets(client, sorted(unknown))
        return lines


async def _check_targets(client: Client, names: Sequence[str]) -> None:
    known = [target.name for target in await ask_targets(client)]
    for name in names:
        if name not in known:
            raise CannotAsk(f"there is no target {name!r}; {did_you_mean(name, known) or _there_are(known)}")


def _there_are(known: Sequence[str]) -> str:
    return f"there are {', '.join(known[:_NAMES])}" if known else "there are none"


def _line(alert: Mapping[str, Any]) -> Line:
    labels = alert["labels"]
    return Line(
        name=labels.get("alertname", UNKNOWN),
        severity=labels.get("severity", ""),
        target=labels.get("target", labels.get("instance", "")),
        state=alert["state"],
        active_at=dt.datetime.fromisoformat(alert["activeAt"]).timestamp(),
        labels=labels,
        annotations=alert["annotations"],
        sources=alert.get("sources", ["rules"]),
        value=alert.get("value", ""),
    )


def _print(screen: Console, lines: Sequence[Line], *, verbose: bool) -> None:
    if not lines:
        screen.print("No alerts.")
        return
    screen.print(table(_columns(), lines, screen.width))
    if verbose:
        for line in lines:
            screen.print()
            screen.print(Text(plain(f"{line.name} {line.target}"), style=_STYLES.get(line.severity, "")))
            for name, text in line.annotations.items():
                screen.print(Text.assemble((f"  {plain(name)}: ", "dim"), _indented(text)), soft_wrap=True)
            pairs = ", ".join(
                f"{name}={value}" for name, value in line.labels.items() if name not in _NAMELESS
            )
            screen.print(Text.assemble(("  labels: ", "dim"), plain(pairs)), soft_wrap=True)


def _indented(text: str) -> str:
    return "\n    ".join(plain(line) for line in text.strip().splitlines())


def _columns() -> tuple[Column[Line], ...]:
    now = dt.datetime.now(dt.UTC).timestamp()
    return (
        Column("SEVERITY", lambda one: Text(one.severity or UNKNOWN, style=_STYLES.get(one.severity, ""))),
        Column("ALERT", lambda one: one.name, least=20),
        Column("TARGET", lambda one: one.target or UNKNOWN, least=12),
        Column("STATE", lambda one: Text(one.state, style="" if one.state == "firing" else "dim"), keep=1),
        Column("SINCE", lambda one: seconds(max(0.0, now - one.active_at)), "right", keep=2),
        Column("SUMMARY", lambda one: " ".join(one.annotations.get("summary", "").split()), least=10, keep=3),
    )
