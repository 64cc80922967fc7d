"""`dbarchitect status`: every target on one line, and below what does not work."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.text import Text

from daemon.terminal.client import Address, CannotAsk, connected
from daemon.terminal.figures import UNKNOWN, count, seconds
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.screen import Column, console, plain, table
from daemon.terminal.view import Overview, TargetView, overview

SOMETHING_DOWN = 1
_REASONS = 8
"""Lines about what is not collected, without --verbose."""


def status(
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    output: Annotated[Output, typer.Option(help="table or json.")] = Output.TABLE,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name everything that is not collected.")
    ] = False,
) -> None:
    """Show every target: up or down, since when and why; how old its data are; what fails.

    Exit code 0: all are up. 1: one is down or was not asked yet. 2: the daemon could not be asked.
    """
    where = address(url, config, token_file, ca_file)
    try:
        seen = asyncio.run(_ask(where))
    except CannotAsk as error:
        give_up(str(error))
    if output is Output.JSON:
        typer.echo(json.dumps(_as_json(seen), indent=2))
    else:
        _print(console(), seen, verbose=verbose)
    if not all(target.up for target in seen.targets):
        raise typer.Exit(SOMETHING_DOWN)


async def _ask(where: Address) -> Overview:
    async with connected(where) as client:
        return await overview(client, sessions=True)


def _print(screen: Console, seen: Overview, *, verbose: bool) -> None:
    if not seen.targets:
        screen.print("The daemon has no targets: add some to its configuration and send it SIGHUP.")
        return
    screen.print(table(_columns(seen), seen.targets, screen.width))
    lines = [*_faults(seen), *_not_collected(seen, verbose=verbose)]
    if lines:
        screen.print()
        screen.print(Group(*lines))


def _columns(seen: Overview) -> tuple[Column[TargetView], ...]:
    return (
        Column("TARGET", lambda one: one.name, least=12),
        Column("ENGINE", lambda one: one.engine, keep=3),
        Column("ROLE", lambda one: one.role or UNKNOWN, keep=4),
        Column("VERSION", lambda one: one.version.partition(" ")[0] or UNKNOWN, keep=5),
        Column("STATE", _state),
        Column("SINCE", lambda one: _ago(one.since, seen.now), "right", keep=2),
        Column("DATA", lambda one: _ago(one.newest, seen.now), "right", keep=1),
        Column("SESSIONS", lambda one: count(seen.sessions.get(one.name)), "right", keep=7),
        Column("SERIES", lambda one: count(one.series), "right", keep=6),
        Column("FAILING", _failing, "right", keep=2),
        Column("DISTRESS", lambda one: one.distress.replace("_", " "), keep=3),
    )


def _state(one: TargetView) -> Text:
    if one.up is None:
        return Text("not asked yet", style="yellow")
    return Text("up", style="green") if one.up else Text(f"DOWN {one.cause}".strip(), style="bold red")


def _failing(one: TargetView) -> Text:
    number = one.failing_probes
    return Text(count(number), style="yellow" if number else "")


def _ago(moment: float | None, now: float) -> str:
    return UNKNOWN if moment is None else seconds(max(0.0, now - moment))


def _faults(seen: Overview) -> Iterator[Text]:
    for one in seen.targets:
        if one.up is False:
            yield _line(f"{one.name} is down", one.message or one.cause, "bold red")
        for fault in one.failing:
            place = f"{fault.probe} in {fault.database}" if fault.database else fault.probe
            yield _line(f"{one.name}: {place} fails", f"{fault.cause}: {fault.message}", "yellow")


def _not_collected(seen: Overview, *, verbose: bool) -> Iterator[Text]:
    """Give a line for each reason, with all that misses for it.

    Without `verbose` only for whole probes, and only where there is something to mend.
    """
    targets: dict[tuple[str, str], list[str]] = {}
    for one in seen.targets:
        by_reason: dict[str, list[str]] = {}
        for each in one.not_collected:
            if verbose or not (each.what or each.expected):
                by_reason.setdefault(each.reason, []).append(each.what or each.probe)
        for reason, what in by_reason.items():
            targets.setdefault((", ".join(dict.fromkeys(what)), reason), []).append(one.name)
    shown = list(targets.items())[: None if verbose else _REASONS]
    for (missing, reason), names in shown:
        yield _line(f"not collected from {', '.join(names)}: {missing}", reason, "dim")
    hidden = len(targets) - len(shown)
    if hidden:
        yield _line(f"{hidden} more", "--verbose names all that is not collected", "dim")


def _line(what: str, why: str, style: str) -> Text:
    return Text.assemble((plain(f"{what}: "), style), plain(why))


def _as_json(seen: Overview) -> dict[str, object]:
    return {
        "now": seen.now,
        "targets": [{**_fields(one), "sessions": seen.sessions.get(one.name)} for one in seen.targets],
    }


def _fields(one: TargetView) -> dict[str, object]:
    fields = dataclasses.asdict(one)
    del fields["answered"]
    return fields
